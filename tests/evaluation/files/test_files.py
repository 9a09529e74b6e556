"""Real files: every byte is counted, the decoded signal is compared, and theory stands next to it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.recipes import PRIOR, SPEECH, TOKENIZER, TRAINING, tiny

from codeword.cli import show
from codeword.codec import Codec, Container, Signal
from codeword.config import Recipe, validate
from codeword.data import open_dataset
from codeword.errors import UsageError
from codeword.evaluation import Evaluation, evaluate, report
from codeword.evaluation.files import audio_formats, image_formats, measure_files
from codeword.evaluation.files.amounts import OtherFormat
from codeword.evaluation.files.image_formats import images_a_file, psnr_db
from codeword.evaluation.files.measure import matched
from codeword.evaluation.measure import judges
from codeword.evaluation.report.figures import png
from codeword.evaluation.report.files import file_table, files_sections
from codeword.evaluation.results import FileFormat, exactly, read_evaluation
from codeword.media.waves import dequantise, quantise
from codeword.model import Model
from codeword.training import Run, train

SIGNALS = 6


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(f"evaluation.limit={SIGNALS}"), tmp_path_factory.mktemp("files") / "images")


@pytest.fixture(scope="module")
def of_images(images: Run) -> Evaluation:
    return evaluate(images, files=True)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = {
        "name": "tiny-speech",
        "data": SPEECH | {"train": 8, "valid": 4, "test": 1},
        "tokenizer": TOKENIZER,
        "prior": PRIOR,
        "tokenizer_training": TRAINING,
        "prior_training": TRAINING,
        "evaluation": {"baselines": False},
    }
    return train(validate(Recipe, recipe, place="test"), tmp_path_factory.mktemp("files") / "speech", devices=1)


@pytest.fixture(scope="module")
def of_speech(speech: Run) -> Evaluation:
    return evaluate(speech, files=True)


def one(evaluation: Evaluation, name: str, setting: str) -> FileFormat:
    (found,) = (f for f in evaluation.files if (f.name, f.setting) == (name, setting))
    return found


def test_our_bytes_are_those_of_the_codec(images: Run, of_images: Evaluation) -> None:
    data = open_dataset(images.recipe().data, "test")
    signals = [Signal(str(i), (16, 16), lambda i=i: [data.take([i]).x[0]]) for i in range(SIGNALS)]  # type: ignore[misc]
    with (images.folder / "together.cw").open("wb") as out:
        written = Codec(Model.load(images.folder)).write(out, signals)
    found = one(of_images, "Codeword", "one file")
    assert (found.bytes, found.overhead_bytes) == (written.bytes, written.overhead_bytes)
    assert found.bytes == (images.folder / "together.cw").stat().st_size
    assert found.rate.value == pytest.approx(8 * found.bytes / (SIGNALS * 768))
    Container((images.folder / "together.cw").read_bytes(), "the file")


def test_a_payload_costs_what_theory_says(of_images: Evaluation, of_speech: Evaluation) -> None:
    ours = [f for f in (*of_images.files, *of_speech.files) if f.name == "Codeword"]
    assert len(ours) == 3 + 3
    for file in ours:
        assert file.theory is not None
        assert file.overhead_bytes is not None
        payload = 8 * (file.bytes - file.overhead_bytes)
        assert file.theory.gap == pytest.approx(100 * (payload / file.theory.bits - 1))
        # A coder's last word may be 4 bytes longer in each file, and is a little off by rounding probabilities.
        assert abs(payload - file.theory.bits) < 40 * file.files + 0.01 * file.theory.bits, file.setting


def test_theory_is_that_of_the_evaluation(of_images: Evaluation) -> None:
    together = one(of_images, "Codeword", "one file, lossless")
    assert together.theory is not None
    bits = of_images.metrics["total_bpd"].value * SIGNALS * 768
    # It is measured with codes under whichever coder was smallest, which is at most the prior's cost and a table.
    assert together.theory.bits <= 1.001 * bits
    assert together.theory.bits == pytest.approx(bits, rel=0.05)
    assert together.rate.value == pytest.approx(of_images.metrics["total_bpd"].value, rel=0.05)


def test_distortion_is_measured_on_what_is_read_back(images: Run, of_images: Evaluation) -> None:
    found = [one(of_images, "Codeword", s) for s in ("one file", "a file each")]
    assert len({file.metrics["psnr_db"].value for file in found}) == 1
    tokenizer = images.tokenizer()
    x = open_dataset(images.recipe().data, "test").take(range(SIGNALS)).x
    expected = psnr_db(tokenizer.decode(tokenizer.encode(x)), x)
    assert found[0].metrics["psnr_db"].value == pytest.approx(float(expected.mean()), rel=1e-5)
    # Of real numbers, the evaluation's own is a little better than that of whole ones.
    assert found[0].metrics["psnr_db"].value == pytest.approx(of_images.metrics["psnr_db"].value, abs=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("picture", image_formats.LADDER, ids=lambda p: f"{p.title}, {p.setting}")
def test_every_picture_comes_back_in_its_place(picture: OtherFormat, channels: int) -> None:
    # Images of one colour each, which every format keeps apart.
    images = torch.tensor([30, 90, 150, 210, 250], dtype=torch.uint8).view(5, 1, 1, 1).repeat(1, channels, 16, 32)
    sizes, found = image_formats.round_trip(images, picture)
    assert len(sizes) == (1 if picture.together else 5)
    assert found.shape == images.shape
    assert (found.int() - images.int()).abs().max() <= (0 if picture.lossless else 40)


def test_large_images_are_laid_side_by_side_in_bounded_pictures() -> None:
    assert images_a_file((32, 32)) == 128**2
    assert images_a_file((3000, 2000)) == 1
    assert images_a_file((9000, 2000)) == 1


@pytest.mark.parametrize("values", [256, 65536])
@pytest.mark.parametrize("form", audio_formats.LADDER, ids=lambda f: f"{f.name}, {f.setting}")
def test_every_sound_comes_back_in_its_place(form: OtherFormat, values: int) -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.arange(16_000) / 16_000
    wave = 0.3 * torch.sin(700 * t) * torch.sin(2 * torch.pi * (200 + 300 * t) * t)
    wave = dequantise(quantise(wave + 0.01 * torch.randn(16_000, generator=generator), values), values)
    size, found = audio_formats.round_trip(wave, form, sample_rate=16_000)
    assert 100 < size < 32_000
    assert found.shape == (16_000,)
    original = audio_formats.pcm16(wave).float() / 32768
    if form.lossless:
        assert torch.equal(found, original)
    else:
        # Shifted by a few samples it would not be alike any more.
        assert float(torch.corrcoef(torch.stack([found, original]))[0, 1]) > 0.7


def test_a_rate_that_no_format_has_is_named(speech: Run) -> None:
    recipe = speech.recipe()
    data = open_dataset(recipe.data.model_copy(update={"sample_rate": 11_000}), "test")
    found = measure_files(Model.load(speech.folder), data, recipe.evaluation, progress=lambda done, total: None)
    assert "11000 Hz" in found.left_out["Opus"]
    assert {file.name for file in found.files} == {"Codeword", "FLAC"}


def test_every_rate_of_speech_is_a_file(of_speech: Evaluation) -> None:
    low, high = one(of_speech, "Codeword", "1 code a cell"), one(of_speech, "Codeword", "3 codes a cell")
    assert low.rate.value < high.rate.value
    assert low.rate.unit == "bit/s"
    flac = one(of_speech, "FLAC", "level 8")
    assert 0 < flac.metrics["bits_per_sample"].value < 17
    assert flac.rate.value == pytest.approx(8000 * flac.metrics["bits_per_sample"].value)
    missing = judges.missing_judges()
    for file in (low, high, *(f for f in of_speech.files if f.name in ("Opus", "MP3"))):
        assert "log_mel_distance" in file.metrics
        assert all((name in file.metrics) <= (name not in missing) for name in ("per", "stoi", "pesq_wb"))


def test_what_cannot_be_lossless_says_why(of_speech: Evaluation) -> None:
    assert all(file.kind == "lossy" for file in of_speech.files if file.name == "Codeword")
    assert "lossless needs" in of_speech.left_out["lossless files"]


def entry(name: str, setting: str, rate: float) -> FileFormat:
    return FileFormat(
        name=name,
        setting=setting,
        kind="lossy",
        signals=1,
        files=1,
        bytes=1,
        rate=exactly(rate, "bit/s"),
        metrics={"stoi": exactly(0.5, "1 is equal")},
    )


@given(st.floats(1, 100), st.lists(st.floats(1, 100), min_size=1, max_size=6))
def test_the_match_is_the_nearest_rate_that_is_not_below(ours: float, theirs: list[float]) -> None:
    files = matched([entry("Codeword", "whole", ours), *(entry("JPEG", str(r), r) for r in theirs)])
    chosen = [file.rate.value for file in files if file.matches]
    assert chosen == ([min(r for r in theirs if r >= ours)] if max(theirs) >= ours else [])
    assert all(file.matches in ((), ("whole",)) for file in files)


def test_files_are_kept_shown_and_drawn(images: Run, of_images: Evaluation, of_speech: Evaluation) -> None:
    assert read_evaluation(images) == of_images
    assert json.loads(images.evaluation_path.read_text())["files"][0]["name"] == "Codeword"
    for evaluation, panels in ((of_images, 1), (of_speech, 1)):
        table = file_table(evaluation)
        assert 4 < len(table.rows) <= 24
        assert {row.name for row in table.rows} >= {"Codeword"}
        assert all(len(row.cells) == len(table.columns) for row in table.rows)
        (section,) = files_sections(evaluation)
        figure = section.draw()
        assert len(figure.axes) >= panels
        assert all(axes.get_xscale() == "log" for axes in figure.axes)
        assert png(figure).startswith(b"\x89PNG")
    page = report(images, samples=2).read_text()
    assert "Real files" in page
    assert (images.report_path / "files-rate-distortion.png").is_file()


def test_the_terminal_shows_the_table_and_json_has_all(
    of_images: Evaluation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show.evaluation(of_images, as_json=False)
    printed = capsys.readouterr().out
    assert "Codeword, one file, lossless" in printed
    assert "PNG, side by side, optimize" in printed
    assert f"{one(of_images, 'PNG', 'optimize').bytes:,}" in printed
    show.evaluation(of_images, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["files"]) == len(of_images.files)


def test_without_files_there_are_none(images: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(images.folder, tmp_path / "copy")
    found = evaluate(copy, limit=1)
    assert (found.files, found.signals) == ((), 1)
    assert file_table(found).rows == ()
    assert files_sections(found) == []


def test_a_limit_below_one_is_refused(images: Run) -> None:
    with pytest.raises(UsageError, match="limit must be 1 or more, not 0"):
        evaluate(images, limit=0)
