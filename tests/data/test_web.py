"""Archives and tables by address, from a real server: read as the same files on this machine, and downloaded once."""

import re
import shutil
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from tiny.cli import run_cli
from tiny.http_server import QuietHandler, serving
from tiny.sources import COUNT, all_signals, picture, recipe_of, sound, train_and_stop, write_archives, write_parquet
from tiny.tokens import IMAGES, contents, save_tokenizer
from tiny.weights import assert_equal

from codeword.config import AudioSourceConfig, ImageSourceConfig
from codeword.data import open_dataset
from codeword.data.files import web
from codeword.data.files.download import Source, download
from codeword.data.items import list_items
from codeword.errors import DataError
from codeword.training import train


@dataclass
class Site:
    """A server of the files in `root`; `asked` are the paths of its requests, in order."""

    root: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site, and an empty folder of copies."""
    monkeypatch.setenv("CODEWORD_DATA", str(tmp_path / "data"))
    served = Site(tmp_path / "site")
    served.root.mkdir()

    class Handler(QuietHandler, SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            SimpleHTTPRequestHandler.__init__(self, *arguments, directory=str(served.root))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            served.asked.append(self.path)
            SimpleHTTPRequestHandler.do_GET(self)

    with serving(Handler) as url:
        served.url = url
        yield served


def copies(site: Site) -> list[Path]:
    return [path for path in (site.root.parent / "data" / web.FOLDER).glob("*/*") if not path.name.startswith(".")]


def test_archives_by_address_are_those_on_this_machine(site: Site) -> None:
    local = write_archives(site.root, ".png", [picture(seed) for seed in range(COUNT)])
    address = f"{site.url}/shard-{{000..002}}.tar"
    expected = all_signals(ImageSourceConfig(source=local, size=16))
    assert all_signals(ImageSourceConfig(source=address, size=16)) == expected
    assert site.asked == [f"/shard-{i:03}.tar" for i in range(3)]
    here, there = list_items(local, IMAGES), list_items(address, IMAGES)
    assert [item.id for item in here] == [item.id for item in there]
    assert there[0].source == f"{site.url}/shard-000.tar:0000.png"
    # A machine that another one sends an item to downloads the archive of that item.
    shutil.rmtree(site.root.parent / "data")
    with there[0].open() as copied, here[0].open() as original:
        assert copied.data.read_bytes() == original.data.read_bytes()  # type: ignore[union-attr]
    assert site.asked[3:] == ["/shard-000.tar"]


def test_tables_and_recordings_by_address(site: Site) -> None:
    table = write_parquet(site.root / "t.parquet", "image", [picture(seed) for seed in range(9)])
    expected = all_signals(ImageSourceConfig(source=table, size=16))
    assert all_signals(ImageSourceConfig(source=f"{site.url}/t.parquet?version=2", size=16)) == expected
    local = write_archives(site.root, ".flac", [sound(seed) for seed in range(9)])
    fields = {"sample_rate": 8000, "crop_samples": 500}
    address = f"{site.url}/shard-{{000..002}}.tar"
    expected, found = (all_signals(AudioSourceConfig(source=source, **fields)) for source in (local, address))  # type: ignore[arg-type]
    assert expected == found


def test_names_leave_out_what_may_be_secret() -> None:
    assert web.public_name("https://ann:word@host:81/a/b.tar?signature=s") == "https://host:81/a/b.tar"
    paths = {web.local_path(f"https://host/{name}") for name in ("a.tar", "b/a.tar", "a.tar?x=1")}
    assert len(paths) == 3
    assert {path.name for path in paths} == {"a.tar"}


def test_what_cannot_be_read_is_one_sentence(site: Site) -> None:
    (site.root / "page.tar").write_text("<html>" * 999)
    (site.root / "page.parquet").write_text("<html>" * 999)
    with serving(QuietHandler) as gone:
        pass
    for address, message in (
        (f"{site.url}/missing.tar", "answered 404 File not found; check the address"),
        (f"{site.url}/page.tar", r"page.tar is no tar archive \(.+\); check the address"),
        (f"{site.url}/page.parquet", r"can be opened .*; delete its copy .*page.parquet to fetch it again"),
        (f"{site.url}/pictures.zip", "is no address of a .tar or a .parquet"),
    ):
        with pytest.raises(DataError, match=message) as raised:
            open_dataset(ImageSourceConfig(source=address), "train")
        assert "\n" not in str(raised.value)
    assert [path.name for path in copies(site)] == ["page.parquet"]
    with pytest.raises(DataError, match=r"failed 5 times in a row \(ConnectError.*Check the connection"):
        web.local_copy(f"{gone}/a.tar", pause_s=0.001)


def test_an_archive_cut_short_on_the_server_is_read_as_far_as_it_goes(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    write_archives(site.root, ".png", [picture(seed) for seed in range(COUNT)])
    path = site.root / "shard-001.tar"
    with tarfile.open(path) as archive:
        cut = archive.getmembers()[8].offset + 100
    path.write_bytes(path.read_bytes()[:cut])
    data = open_dataset(ImageSourceConfig(source=f"{site.url}/shard-001.tar"), "train")
    assert len(data) == 2
    (copy,) = copies(site)
    assert re.search(rf"{site.url}/shard-001.tar is damaged .*; delete its copy {copy} to fetch it again", caplog.text)


def test_a_download_without_a_checksum_continues_only_the_same_file(site: Site, tmp_path: Path) -> None:
    content = bytes(range(256)) * 500
    version = '"one"'
    starts: list[str | None] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            start = self.headers.get("Range") if self.headers.get("If-Range") == version else None
            starts.append(start)
            first = int(start.removeprefix("bytes=").removesuffix("-")) if start else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("ETag", version)
            self.end_headers()
            # The first answer breaks off in the middle.
            self.wfile.write(content[first : len(content) // 2 if len(starts) == 1 else None])
            self.close_connection = True

    path = tmp_path / "a.tar"
    with serving(Handler) as url:
        source = Source(f"{url}/a.tar", None, 1 << 20)
        download(source, path, pause_s=0.001)
        assert path.read_bytes() == content
        assert starts == [None, f"bytes={len(content) // 2}-"]
        download(source, path)
        assert len(starts) == 2
        # The rest of another version, or of an unknown one, does not fit.
        for known in ('"two"', None):
            path.unlink()
            path.with_name("a.tar.part").write_bytes(b"older")
            if known:
                path.with_name("a.tar.part.version").write_text(known)
            download(source, path)
            assert path.read_bytes() == content
            assert starts[-1] is None
        path.unlink()
        with pytest.raises(DataError, match="serves more than"):
            download(Source(source.url, None, len(content) - 1), path)
    assert not list(tmp_path.glob("a.tar*"))


def test_a_stopped_training_goes_on_without_the_server(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archives(site.root, ".png", [picture(seed) for seed in range(COUNT)])
    recipe = recipe_of(2, f"{site.url}/shard-{{000..002}}.tar")
    whole = train(recipe, tmp_path / "whole")
    train_and_stop(recipe, tmp_path / "stopped", monkeypatch)
    shutil.rmtree(site.root)
    resumed = train(recipe, tmp_path / "stopped", resume=True)
    for part in ("tokenizer", "prior"):
        assert_equal(*(dict(getattr(run, part)().state_dict()) for run in (whole, resumed)))
    assert len(site.asked) == 3


def test_processes_that_need_the_same_file_download_it_once(site: Site) -> None:
    content = bytes(1 << 24)
    (site.root / "a.tar").write_bytes(content)
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(web.local_copy, [f"{site.url}/a.tar"] * 4))
    assert [path.read_bytes() for path in paths] == [content]
    assert site.asked == ["/a.tar"]


def test_tokens_of_archives_by_address(site: Site, tmp_path: Path) -> None:
    write_archives(site.root, ".png", [picture(seed) for seed in range(8)])
    save_tokenizer(tmp_path / "model", 2)
    tokenize = ("tokenize", tmp_path / "model", f"{site.url}/shard-{{000..002}}.tar", "--shard-items", "3")
    assert run_cli(*tokenize, "--out", tmp_path / "a") == 0
    shutil.rmtree(site.root)
    (tmp_path / "b").mkdir()
    for path in (tmp_path / "a").iterdir():
        if "00000" in path.name or path.suffix == ".json":
            shutil.copy(path, tmp_path / "b")
    # A run that was stopped after its first shard goes on without the server.
    assert 0 < len(contents(tmp_path / "b")) < len(contents(tmp_path / "a"))
    assert run_cli(*tokenize, "--out", tmp_path / "b") == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(site.asked) == 3
