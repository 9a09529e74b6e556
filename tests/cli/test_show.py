"""Results as people and programs read them."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from tiny.cli import run_cli
from tiny.evaluations import tiny_evaluation

from codeword.cli import show
from codeword.evaluation import Metric


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two pictures and a recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "pictures/b.png", "pictures/c.png"):
        Image.fromarray(np.full((16, 20, 3), 128, np.uint8)).save(name)
    soundfile.write("a.wav", np.zeros(8000), 16000)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_results_are_sentences_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    original, expected = Path("a.png").stat().st_size, []
    assert run_cli("compress", "a.png", "--out", "a.cw") == 0
    size = Path("a.cw").stat().st_size
    expected.append(f"a.png -> a.cw: {original} -> {size} bytes ({100 * size / original:.1f} %), 20 x 16 pixels")
    assert run_cli("decompress", "a.cw", "--out", "b.png") == 0
    expected.append("a.png -> b.png: 20 x 16 pixels")
    assert run_cli("reconstruct", "images", "a.png", "--out", "out") == 0
    assert run_cli("encode", "images", "a.png", "--out", "a.npz") == 0
    assert run_cli("encode", "speech", "a.wav", "--out", "wav.npz") == 0
    assert run_cli("decode", "speech", "wav.npz", "--out", "out") == 0
    assert run_cli("compress", "pictures", "--out", "pictures.cw") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == expected
    assert lines[2].startswith("a.png -> out/a.png: 20 x 16 pixels, ")
    assert lines[2].endswith(" dB")
    assert lines[3:6] == [
        "a.png: 5 x 4 cells, 1 code each",
        "a.wav: 25 cells, 8 codes each",
        "a.wav -> out/a.wav: 8,000 samples, 0.50 s",
    ]
    assert lines[6].startswith(f"pictures.cw: 2 images, {2 * original} -> ")
    assert run_cli("info", "a.cw") == 0
    assert "  a.png: 20 x 16 pixels\n" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_sizes_in_json_name_their_axes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("compress", "a.png", "--out", "a.cw", "--json") == 0
    written = json.loads(capsys.readouterr().out)["results"]["a.cw"]
    assert written["inputs"] == {"a.png": {"size": {"height": 16, "width": 20}}}
    assert run_cli("encode", "images", "a.png", "--out", "a.npz", "--json") == 0
    coded = json.loads(capsys.readouterr().out)["results"]["a.png"]
    assert (coded["cells"], coded["codes_of_a_cell"]) == ({"rows": 4, "columns": 5}, 1)


def test_notes_follow_their_result() -> None:
    notes = ["3 frames, the first taken"]
    assert list(show.result_lines("a.gif", {"out": "b.png", "notes": notes})) == ["a.gif -> b.png", f"  {notes[0]}"]
    assert list(show.result_lines("a.cw", {"notes": {"a.gif": notes}})) == ["a.cw", f"  a.gif: {notes[0]}"]
    compressed = {"inputs": {"a.gif": {}}, "bytes": 1, "original_bytes": 2, "notes": {"a.gif": notes}}
    assert list(show.result_lines("a.cw", compressed)) == ["a.gif -> a.cw: 2 -> 1 bytes (50.0 %)", f"  {notes[0]}"]


def test_damage_and_a_smaller_format_are_said() -> None:
    result = {"out": "b.png", "lost": "1 of 2 segments", "side_data": "lost"}
    assert list(show.result_lines("a.png", result)) == ["a.png -> b.png: lost 1 of 2 segments, side data lost"]
    result = {"inputs": {"a.png": {}}, "bytes": 2, "original_bytes": 2, "lossless": True, "smaller_as": {"WebP": 1}}
    assert list(show.result_lines("a.cw", result)) == [
        "a.png -> a.cw: 2 -> 2 bytes (100.0 %), lossless, as WebP only 1 bytes"
    ]


@pytest.mark.parametrize(
    "words", [["info", "nowhere"], ["frobnicate"], ["compress"], ["train", "nothing", "--out", "x"]]
)
def test_errors_are_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(*words, "--json") == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"] in captured.err
    assert captured.err.startswith("Error: ")


def test_names_reach_the_terminal_without_control_characters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[31m\udcff\r.png"
    (folder / "a.png").rename(folder / name)
    assert run_cli("encode", "images", name, "--out", "a.npz") == 0
    assert capsys.readouterr().out == "\\x1b[31m\\udcff\\r.png: 5 x 4 cells, 1 code each\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_tables_are_never_cut(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    name = "a_very_long_name_of_a_metric"
    metrics = {name: Metric(value=1, low=0, high=2, unit="bits for each dimension")}
    show.evaluation(tiny_evaluation(metrics=metrics), as_json=False)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert terminal or name in printed


@pytest.mark.usefixtures("folder")
def test_info_describes_pictures_and_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGBA", (7, 9), (0, 0, 0, 0)).save("clear.png")
    wave = np.full((4410, 2), 0.5)
    soundfile.write("talk.wav", wave, 44100, subtype="PCM_24")
    assert run_cli("info", "clear.png", "--json") == 0
    picture = json.loads(capsys.readouterr().out)
    assert picture == {
        "holds": "an image",
        "bytes": Path("clear.png").stat().st_size,
        "format": "PNG",
        "size": {"height": 9, "width": 7},
        "notes": ["transparency laid over white"],
    }
    assert run_cli("info", "talk.wav") == 0
    assert capsys.readouterr().out.splitlines() == [
        "holds        a recording",
        f"bytes        {Path('talk.wav').stat().st_size:,}",
        "format       WAV",
        "encoding     PCM_24",
        "channels     2",
        "sample_rate  44,100",
        "seconds      0.1",
        "size         4,410 samples",
        "44.1 kHz, 2 channels -> 16 kHz mono",
        "24 bits -> 16 bits",
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["cut.png", "cut.wav", "song.m4a", "text.txt"])
def test_info_refuses_what_cannot_be_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    original = Path(f"a{Path(name).suffix}")
    Path(name).write_bytes(original.read_bytes()[:-40] if original.exists() else b"text")
    assert run_cli("info", name) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"Error: {name} ")
    assert captured.err.count("\n") == 1
