"""Commands that write files: they lose nothing, name what they do not take, and leave no temporary files."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny.cli import run_cli

from codeword.cli import show
from codeword.codec import Codec, Signal
from codeword.files import read
from codeword.pretrained import load_pretrained


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture, alone in a folder."""
    (tmp_path / "w").mkdir()
    Image.linear_gradient("L").resize((24, 20)).convert("RGB").save(tmp_path / "w" / "p.png")
    return tmp_path / "w" / "p.png"


def test_the_original_is_not_replaced_by_its_lossy_copy(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, original = photo.with_name("p.cw"), photo.read_bytes()
    assert run_cli("compress", photo, "--out", archive) == 0
    compressed = archive.read_bytes()
    for out in (photo.parent, photo):
        assert run_cli("decompress", archive, "--out", out) == 2
        assert "p.png exists already; choose another path, or give --force" in capsys.readouterr().err
    assert run_cli("compress", photo, "--out", archive) == 2
    assert run_cli("compress", photo, "--out", photo, "--force") == 2
    assert "is an input" in capsys.readouterr().err
    assert (photo.read_bytes(), archive.read_bytes()) == (original, compressed)
    assert run_cli("decompress", archive, "--out", photo.parent, "--force") == 0
    assert photo.read_bytes() != original
    assert run_cli("compress", photo, "--out", archive, "--force") == 0
    assert sorted(os.listdir(photo.parent)) == ["p.cw", "p.png"]


def test_a_folder_and_a_device_are_no_place_for_a_file(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(photo.with_name("pipe"))
    for out, says in ((photo.parent, "is a folder"), (photo.with_name("pipe"), "is a device or a pipe")):
        for force in ([], ["--force"]):
            assert run_cli("compress", photo, "--out", out, *force) == 2
            assert says in capsys.readouterr().err
    assert photo.with_name("pipe").is_fifo()


def test_signals_of_one_name_all_come_back(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, angle in (("a", 90), ("b", 180)):
        (tmp_path / folder).mkdir()
        with Image.open(photo) as image:
            image.rotate(angle).save(tmp_path / folder / "x.png")
    with Image.open(photo) as image:
        image.save(tmp_path / "a" / "x.bmp")
    assert run_cli("compress", tmp_path / "a", tmp_path / "b" / "x.png", "--out", tmp_path / "all.cw") == 0
    assert run_cli("decompress", tmp_path / "all.cw", "--out", tmp_path / "back") == 0
    found = {path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*.png")}
    assert found == {"a/x.bmp.png", "a/x.png", "b/x.png"}
    # An archive of an earlier version, in which two signals have the same name.
    x, content = read(photo), io.BytesIO()
    signals = [Signal("x.png", tuple(y.shape[1:]), lambda y=y: [y]) for y in (x, 255 - x)]  # type: ignore[misc]
    Codec(load_pretrained("images")).write(content, signals)
    (tmp_path / "old.cw").write_bytes(content.getvalue())
    capsys.readouterr()
    assert run_cli("decompress", tmp_path / "old.cw", "--out", tmp_path / "old", "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results["x-2.png"]["stored_name"] == "x.png"
    assert (tmp_path / "old" / "x.png").read_bytes() != (tmp_path / "old" / "x-2.png").read_bytes()
    assert run_cli("info", tmp_path / "old.cw", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["signals"]) == ["x.png", "x-2.png"]


def test_names_that_are_not_utf_8_come_back_and_no_name_controls_the_terminal(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = os.fsencode(tmp_path) + b"/in/\xff \x1b[31m\n.png"
    (tmp_path / "in").mkdir()
    os.rename(photo, strange)
    (tmp_path / "in" / "\x1b[2J.png").write_bytes(b"no image")
    assert run_cli("compress", tmp_path / "in", "--out", tmp_path / "a.cw") == 1
    assert run_cli("info", tmp_path / "a.cw") == 0
    assert run_cli("decompress", tmp_path / "a.cw", "--out", tmp_path / "out") == 0
    assert run_cli("reconstruct", "images", os.fsdecode(strange), "--out", tmp_path / "same") == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert r"\x1b[2J.png is not an image" in printed.err
    for folder in ("out", "same"):
        assert os.listdir(os.fsencode(tmp_path / folder)) == [os.path.basename(strange)]


def test_printable_text_is_unchanged() -> None:
    assert show.printable("Grüße, 日本.wav: 88 %") == "Grüße, 日本.wav: 88 %"
    assert show.printable("a\tb\x07\x9b\u202e\udcff") == r"a\tb\x07\x9b\u202e\udcff"


WRITER = """
import sys
from pathlib import Path
from codeword.cli import app, main
from codeword.store import atomic_file

@app.command
def wait(out: Path) -> None:
    with atomic_file(out) as file:
        print("started", flush=True)
        sys.stdin.read()

main(["wait", sys.argv[1]])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_temporary_file_outlives_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"started\n"
        assert len(os.listdir(tmp_path)) == 1
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert process.stderr.read() == (b"Error: Interrupted.\n" if number == signal.SIGINT else b"")
    assert os.listdir(tmp_path) == []
