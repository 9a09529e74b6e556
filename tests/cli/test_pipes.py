"""`-` in place of a file: standard input and output carry the data, and nothing else."""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny.cli import run_cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a picture and a recording, and an empty one for temporary files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    Image.fromarray(np.arange(16 * 20 * 3, dtype=np.uint8).reshape(16, 20, 3)).save("a.jpg")
    soundfile.write("a.flac", np.sin(np.arange(1600) / 20), 16000)
    return tmp_path


def give(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(("name", "suffix"), [("a.jpg", ".png"), ("a.flac", ".wav")])
def test_data_go_through_pipes(
    name: str, suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run_cli("compress", name, "--out", "a.cw") == 0
    assert run_cli("decompress", "a.cw", "--out", f"a{suffix}") == 0
    capfdbinary.readouterr()
    give(Path(name).read_bytes(), monkeypatch)
    assert run_cli("compress", "-", "--out", "-") == 0
    compressed = capfdbinary.readouterr()
    assert compressed.err.startswith(b"- -> -: ")
    give(compressed.out, monkeypatch)
    assert run_cli("info", "-", "--json") == 0
    assert list(json.loads(capfdbinary.readouterr().out)["signals"]) == [f"stdin{suffix}"]
    give(compressed.out, monkeypatch)
    assert run_cli("decompress", "-", "--out", "-", "--json") == 0
    decompressed = capfdbinary.readouterr()
    assert decompressed.out == Path(f"a{suffix}").read_bytes()
    assert json.loads(decompressed.err)["results"][f"stdin{suffix}"]["out"] == "-"
    # One end may be a file.
    assert run_cli("decompress", "a.cw", "--out=-") == 0
    assert capfdbinary.readouterr().out == decompressed.out
    assert os.listdir(folder / "temporary") == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["compress", "-", "--out", "-"], 2, "no known medium; give the medium: images, audio"),
        (["compress", "-", "--out", "-", "--medium", "audio"], 1, "- cannot be read as audio"),
        (["compress", "-", "--out", "-", "--medium", "smells"], 2, "There is no medium 'smells'"),
        (["decompress", "-", "--out", "-"], 1, "was not written by `codeword compress`"),
    ],
)
def test_failures_leave_standard_output_empty(
    words: list[str],
    code: int,
    says: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    give(b"neither a picture nor a recording", monkeypatch)
    assert run_cli(*words, "--json") == code
    captured = capfdbinary.readouterr()
    assert captured.out == b""
    assert says in captured.err.decode()
    assert os.listdir(folder / "temporary") == []


def test_standard_output_takes_one_signal(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    Path("b.jpg").write_bytes(Path("a.jpg").read_bytes())
    assert run_cli("compress", "a.jpg", "b.jpg", "--out", "two.cw") == 0
    capfdbinary.readouterr()
    assert run_cli("decompress", "two.cw", "--out", "-") == 2
    captured = capfdbinary.readouterr()
    assert (captured.out, b"holds 2; give a folder" in captured.err) == (b"", True)


@pytest.mark.usefixtures("folder")
def test_binary_data_are_not_written_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert run_cli("compress", "a.jpg", "--out", "-") == 2
    os.close(ours)
    assert "Standard output is a terminal" in capsys.readouterr().err


def test_a_reader_that_ends_early_ends_the_command_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "codeword", "recipes"]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_empty_standard_input_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    give(b"", monkeypatch)
    assert run_cli("compress", "-", "--out", "-") == 2
    assert "Standard input is empty; check the program before the pipe." in capsys.readouterr().err
