"""Downloads from a real server that fails in many ways, and archives that try to write outside their folder."""

import hashlib
import io
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from tiny.http_server import QuietHandler, serving

from codeword.data.cifar10 import BATCHES, BINARY_BYTES
from codeword.data.files.download import (
    LIBRISPEECH,
    Source,
    Subset,
    download,
    extract,
    fetch_cifar10,
    fetch_librispeech,
)
from codeword.errors import DataError, UsageError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


@dataclass
class Server:
    """Serves `content`; `misbehave` may answer a request in its own way, and says so by returning True."""

    content: bytes = CONTENT
    misbehave: Callable[[BaseHTTPRequestHandler, int], bool] = lambda handler, start: False
    honours_ranges: bool = True
    starts: list[int] = field(default_factory=list)
    url: str = ""

    def source(self, content: bytes | None = None, max_bytes: int = 1 << 20) -> Source:
        return Source(self.url, hashlib.md5(content or self.content).hexdigest(), max_bytes)


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "bytes=0-")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if served.honours_ranges else 0
            served.starts.append(start)
            self.close_connection = True
            if served.misbehave(self, start):
                return
            if start >= len(served.content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
            self.send_header("Content-Length", str(len(served.content) - start))
            self.end_headers()
            self.wfile.write(served.content[start:])

    with serving(Handler) as url:
        served.url = f"{url}/archive.tar.gz"
        yield served


def fetch(server: Server, path: Path, **changes: object) -> None:
    download(server.source(**changes), path, stall_s=0.3, pause_s=0.001)  # type: ignore[arg-type]


def announce(handler: BaseHTTPRequestHandler, length: int, start: int = 0) -> None:
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def test_a_good_server_is_asked_once(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    fetch(server, tmp_path / "file")
    assert server.starts == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_cuts_are_resumed_where_they_happened(server: Server, tmp_path: Path) -> None:
    def cut(handler: BaseHTTPRequestHandler, start: int) -> bool:
        if len(server.starts) > 3:
            return False
        announce(handler, len(CONTENT) - start, start)
        handler.wfile.write(CONTENT[start : start + 70_000])
        return True

    server.misbehave = cut
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.starts[0] == 0
    assert 0 < server.starts[1] < server.starts[3]


def test_a_later_run_goes_on_from_what_is_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.starts == [123_456]


def test_a_whole_part_needs_no_more_than_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.honours_ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:123_456])
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_stall_is_cut_off_and_tried_again(server: Server, tmp_path: Path) -> None:
    def stall(handler: BaseHTTPRequestHandler, start: int) -> bool:
        if len(server.starts) > 1:
            return False
        announce(handler, len(CONTENT))
        handler.wfile.write(CONTENT[:1000])
        handler.wfile.flush()
        time.sleep(0.6)
        return True

    server.misbehave = stall
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_never_finishes_is_given_up_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    def cut(handler: BaseHTTPRequestHandler, start: int) -> bool:
        announce(handler, len(CONTENT) - start, start)
        handler.wfile.write(CONTENT[start:30_000])
        return True

    server.misbehave = cut
    with pytest.raises(DataError, match=r"failed 5 times.*30,000 bytes are kept.*continues from there"):
        fetch(server, tmp_path / "file")
    assert CONTENT.startswith((tmp_path / "file.part").read_bytes())
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_is_right_is_never_kept(server: Server, tmp_path: Path, announced: bool) -> None:
    def flood(handler: BaseHTTPRequestHandler, start: int) -> bool:
        handler.send_response(200)
        if announced:
            handler.send_header("Content-Length", str(10**15))
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(CONTENT)
        except OSError:
            pass
        return True

    server.misbehave = flood
    with pytest.raises(DataError, match="serves more than"):
        fetch(server, tmp_path / "file")
    held = sum(p.stat().st_size for p in tmp_path.iterdir())
    assert held <= 1 << 20


def test_a_line_that_always_cuts_but_brings_something_gets_there(server: Server, tmp_path: Path) -> None:
    def cut(handler: BaseHTTPRequestHandler, start: int) -> bool:
        announce(handler, len(CONTENT) - start, start)
        handler.wfile.write(CONTENT[start : start + 30_000])
        return True

    server.misbehave = cut
    fetch(server, tmp_path / "file")
    assert len(server.starts) == 10
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_of_another_file_is_started_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    fetch(server, tmp_path / "file")
    assert server.starts == [1000, 0]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_bytes_are_deleted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="served a file with MD5"):
        fetch(server, tmp_path / "file", content=b"something else")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_gone_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    def gone(handler: BaseHTTPRequestHandler, start: int) -> bool:
        handler.send_error(404)
        return True

    server.misbehave = gone
    with pytest.raises(DataError, match="answered 404"):
        fetch(server, tmp_path / "file")
    assert len(server.starts) == 1


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing was received"):
        download(Source("http://127.0.0.1:9/x", "0", 10), tmp_path / "x", stall_s=0.2, pause_s=0.001)


def archive(path: Path, entries: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra or []:
            tar.addfile(info)
    return path


def test_archives_unpack_without_their_outermost_folder(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {"folder/one": b"1", "./folder/in/two": b"22", "three": b"333"})
    extract(packed, tmp_path / "out", max_bytes=10)
    out = tmp_path / "out"
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == {"one": b"1", "in/two": b"22", "three": b"333"}


def link(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("folder/link")
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("entries", "extra"),
    [
        ({"../escape": b"x"}, []),
        ({"/absolute": b"x"}, []),
        ({"folder/../../escape": b"x"}, []),
        ({"folder/fine": b"x"}, [link(tarfile.SYMTYPE)]),
        ({"folder/fine": b"x"}, [link(tarfile.LNKTYPE)]),
        ({"folder/fine": b"x"}, [link(tarfile.FIFOTYPE)]),
        ({"folder/large": bytes(1000)}, []),
    ],
)
def test_hostile_archives_leave_nothing(
    entries: dict[str, bytes], extra: list[tarfile.TarInfo], tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    packed = archive(inside / "a.tar.gz", entries, extra)
    with pytest.raises(DataError, match="delete the archive"):
        extract(packed, inside / "out", max_bytes=100)
    assert [p.name for p in inside.iterdir()] == ["a.tar.gz"]
    assert [p.name for p in tmp_path.iterdir()] == ["inside"]


def test_a_cut_archive_leaves_what_was_there(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {"folder/one": CONTENT})
    packed.write_bytes(packed.read_bytes()[:-5000])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(DataError, match=r"not a complete \.tar\.gz"):
        extract(packed, tmp_path / "out", max_bytes=1 << 20)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["old"]


def test_unpacking_leaves_files_of_others_alone(tmp_path: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", {"folder/one": b"1", "folder/in/two": b"2"})
    (tmp_path / "out" / "in").mkdir(parents=True)
    (tmp_path / "out" / "in" / "notes").write_text("mine")
    extract(packed, tmp_path / "out", max_bytes=10)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["in", "notes", "one", "two"]


def test_cifar10_is_fetched_once(server: Server, tmp_path: Path) -> None:
    empty = bytes(BINARY_BYTES)
    entries = {f"cifar-10-batches-bin/{name}.bin": empty for name in BATCHES}
    server.content = archive(tmp_path / "served.tar.gz", entries).read_bytes()
    root = tmp_path / "root"
    folder = fetch_cifar10(root, source=server.source(), pause_s=0.001)
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.bin" for name in BATCHES)
    assert [p.name for p in root.iterdir()] == [folder.name]
    assert fetch_cifar10(root, source=server.source()) == folder
    assert server.starts == [0]


def test_a_librispeech_subset_joins_those_that_are_there_and_is_fetched_once(server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    other = root / "LibriSpeech" / "test-clean" / "1" / "2"
    other.mkdir(parents=True)
    (other / "1-2-0000.flac").write_bytes(b"there before")
    # A part of the subset, as someone may have copied it by hand.
    part = root / "LibriSpeech" / "dev-clean" / "84" / "121123"
    part.mkdir(parents=True)
    (part / "84-121123-0000.flac").write_bytes(b"flac 0")
    names = [f"dev-clean/84/121123/84-121123-000{i}.flac" for i in range(3)]
    entries = {f"LibriSpeech/{name}": f"flac {i}".encode() for i, name in enumerate(names)}
    server.content = archive(
        tmp_path / "served.tar.gz", {"LibriSpeech/SPEAKERS.TXT": b"84 | F", **entries}
    ).read_bytes()
    subset = Subset(server.source(), utterances=3)
    folder = fetch_librispeech(root, "dev-clean", subset=subset, pause_s=0.001)
    assert folder == root / "LibriSpeech" / "dev-clean"
    assert [p.read_bytes() for p in sorted(folder.rglob("*.flac"))] == [b"flac 0", b"flac 1", b"flac 2"]
    assert (other / "1-2-0000.flac").read_bytes() == b"there before"
    assert (root / "LibriSpeech" / "SPEAKERS.TXT").read_bytes() == b"84 | F"
    assert [p.name for p in root.iterdir()] == ["LibriSpeech"]
    fetch_librispeech(root, "dev-clean", subset=subset)
    assert server.starts == [0]


def test_librispeech_has_seven_subsets_at_its_official_address(tmp_path: Path) -> None:
    assert len(LIBRISPEECH) == 7
    for name, subset in LIBRISPEECH.items():
        assert subset.source.url == f"https://www.openslr.org/resources/12/{name}.tar.gz"
        assert len(subset.source.md5) == 32
    with pytest.raises(UsageError, match="no subset 'dev'; there is dev-clean"):
        fetch_librispeech(tmp_path, "dev")
