"""The report of recordings: everything that is seen can be heard, from one page that needs no other file."""

import base64
import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.evaluations import tiny_evaluation
from tiny.recipes import PRIOR, RATE, SPEECH, SPLITS, TOKENIZER, TRAINING

from codeword.config import Cifar10Config, LibriSpeechConfig, Recipe, SyntheticSpeechConfig, validate
from codeword.data import open_dataset
from codeword.data.recordings import Recordings
from codeword.evaluation.measure.phones import PHONES
from codeword.evaluation.report.page import report
from codeword.evaluation.report.speech_figures import codeword_colours
from codeword.evaluation.report.speech_sections import phone_shares
from codeword.evaluation.report.speech_signals import gather_recordings
from codeword.evaluation.report.tables import other_codecs, rate_table, reasons, result_rows
from codeword.evaluation.results import Evaluation, Metric, Rate
from codeword.store import write_json
from codeword.training import Run, train


def trained(folder: Path, **parts: object) -> Run:
    recipe = {
        "name": "tiny-speech",
        "data": SPEECH | SPLITS,
        "tokenizer": TOKENIZER,
        "prior": PRIOR,
        "tokenizer_training": TRAINING,
        "prior_training": TRAINING,
        **parts,
    }
    return train(validate(Recipe, recipe, place="test"), folder, devices=1)


def metric(value: float, unit: str = "u") -> Metric:
    return Metric(value=value, low=value - 1, high=value + 1, unit=unit)


def rate(codes: int, bits: float, **figures: float) -> Rate:
    named = {"bits_per_second_nominal": bits, **figures}
    return Rate(codes=codes, metrics={name: metric(value) for name, value in named.items()})


def evaluated(run: Run, **parts: object) -> Run:
    """As if `evaluate` had found these figures: judges take longer than a report."""
    found = tiny_evaluation(
        recipe="tiny-speech",
        signals=5,
        metrics={"per": metric(31.5, "%"), "stoi": metric(0.8), "bits_per_second_nominal": metric(350)},
        **parts,
    )
    write_json(run.evaluation_path, found.model_dump(mode="json"))
    return run


RATES = {
    "rates": (rate(1, 150, per=60, stoi=0.6), rate(3, 350, per=31.5, stoi=0.8, pesq_wb=1.4)),
    "baselines": (rate(1, 150, per=70, stoi=0.5), rate(3, 350, per=40, stoi=0.7)),
    "left_out": {"pesq_wb": "needs <pesq>", "stoi": "needs <pesq>", "baselines": "another rate"},
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = evaluated(trained(tmp_path_factory.mktemp("audio-report") / "run"), **RATES)
    return report(run, samples=4)


def sounds(page: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Every sound next to the page: 16-bit samples and their rate."""
    return {path.stem: soundfile.read(path, dtype="int16") for path in page.parent.glob("*.flac")}


def test_every_sound_is_in_the_page_and_beside_it(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    embedded = [base64.b64decode(data) for data in re.findall(r"data:audio/flac;base64,([A-Za-z0-9+/=]+)", html)]
    files = {path.name: path.read_bytes() for path in page.parent.glob("*.flac")}
    assert len(embedded) == html.count("<audio controls") == len(files)
    assert set(embedded) == set(files.values())
    for content in embedded:
        heard, sample_rate = soundfile.read(io.BytesIO(content))
        assert sample_rate == RATE
        assert heard.ndim == 1
        assert len(heard) > RATE


def test_the_page_needs_nothing_but_itself_and_stays_light(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    sources = re.findall(r"<[^>]*\s(?:src|href|srcset|data|poster|action)\s*=\s*\"([^\"]*)\"", html)
    assert {source.split(",")[0] for source in sources} == {"data:image/png;base64", "data:audio/flac;base64"}
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b|@import|url\(", html)
    assert len(html) < 6e6


def test_what_is_called_original_is_the_recording_sample_by_sample(page: Path) -> None:
    test = open_dataset(SyntheticSpeechConfig(**(SPEECH | SPLITS)), "test")
    assert isinstance(test, Recordings)
    whole = [(test.read(i)[0] - 32768).to(torch.int16).numpy().tobytes() for i in range(5)]
    heard = [sounds(page)[f"reconstruction-{i}-original"][0].tobytes() for i in (1, 2, 3)]
    found = [[i for i, recording in enumerate(whole) if piece in recording] for piece in heard]
    assert [len(places) for places in found] == [1, 1, 1]
    assert len({places[0] for places in found}) == 3


def test_every_rate_and_voice_can_be_heard(page: Path) -> None:
    names = {path.stem for path in page.parent.glob("*.flac")}
    for i in (1, 2, 3):
        versions = ("original", "1-codes", "1-codes-kmeans", "3-codes", "3-codes-kmeans", "opus")
        assert {f"reconstruction-{i}-{version}" for version in versions} <= names
    html = page.read_text(encoding="utf-8")
    assert html.count("350 bit/s · PER 31.5 % · STOI 0.800 · PESQ 1.40") == 3
    assert html.count("k-means, 350 bit/s · PER 40.0 % · STOI 0.700") == 3
    # Two sources, from one code and from three; the original is heard once for each.
    assert len([name for name in names if re.match(r"conversion-\d-\d-codes-as-[123]$", name)]) == 2 * 2 * 3
    assert len([name for name in names if re.match(r"conversion-\d-\d-codes-original$", name)]) == 2
    assert len([name for name in names if re.match(r"sample-\d$", name)]) == 4
    figures = {path.stem for path in page.parent.glob("*.png")}
    assert figures == {
        "loss",
        "codebook-over-time",
        "codebook-use",
        "rate-distortion",
        "reconstruction-1",
        "reconstruction-2",
        "reconstruction-3",
        "code-tracks",
        "codes-by-phones",
        "conversions",
        "samples",
        "samples-by-class",
    }


def test_what_was_left_out_is_said_with_its_reason(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "<dt>pesq_wb, stoi</dt><dd>needs &lt;pesq&gt;</dd>" in html
    assert "<dt>baselines</dt><dd>another rate</dd>" in html


def test_the_words_are_those_of_audio(page: Path) -> None:
    text = unescape(page.read_text(encoding="utf-8"))
    assert "50 cells a second of 8 × 4 × 4 codewords: 350 bit/s at most (150 with the first 1)" in text
    assert "the distance of spectra" in text
    assert "Bernoulli" not in text
    assert "Phone error rate" in text


def test_one_seed_gives_one_page(page: Path) -> None:
    before = page.read_bytes()
    assert report(page.parent.parent, samples=4).read_bytes() == before


def test_without_speakers_phones_rates_or_length_the_report_is_shorter(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for i in range(20):
        length = int(generator.integers(300, 2500))
        soundfile.write(tmp_path / f"{i}.wav", generator.normal(0, 0.1, length).clip(-1, 1), RATE)
    run = trained(
        tmp_path / "run",
        data={"kind": "audio-folder", "root": tmp_path, "sample_rate": RATE, "crop_samples": 1600},
        tokenizer=TOKENIZER | {"conditional": False, "quantizer": {"kind": "vector", "codebook_sizes": [8], "dim": 8}},
        prior={"kind": "uniform"},
    )
    folder = report(evaluated(run), samples=1).parent
    figures = {path.stem for path in folder.glob("*.png")}
    assert figures & {"conversions", "codes-by-phones", "rate-distortion", "samples-by-class"} == set()
    assert {"code-tracks", "samples", "reconstruction-1"} <= figures
    assert "Results at each rate" not in (folder / "index.html").read_text(encoding="utf-8")


def test_a_decoder_that_draws_sample_by_sample_is_heard_for_a_second(tmp_path: Path) -> None:
    run = evaluated(
        trained(
            tmp_path / "run",
            data=SPEECH | SPLITS | {"values": 256},
            tokenizer={
                "ndim": 1,
                "channels": 1,
                "sample_rate": RATE,
                "trunk": {"kind": "conv", "width": 4, "residual_width": 4, "residual_blocks": 1},
                "quantizer": {"kind": "vector", "codebook_sizes": [8], "dim": 4},
                "likelihood": {"kind": "wavenet", "dilations": [1], "width": 4, "skip_width": 4, "features": 4},
            },
            prior={"kind": "pixelcnn", "layers": 1, "width": 4, "head_width": 4},
        )
    )
    recordings = gather_recordings(
        run, Evaluation.model_validate_json(run.evaluation_path.read_bytes()), samples=1, seed=0
    )
    assert recordings.decoded[1].shape == (3, 1, RATE)
    # This prior walks its own grid only, which is a crop long.
    assert recordings.samples.shape == (1, 1, 1600)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_every_codeword_has_a_colour(codewords: int, dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 5, (codewords,), generator=generator)
    colours = codeword_colours(torch.randn(codewords, dim, generator=generator), counts)
    assert colours.shape == (codewords, 3)
    assert bool(((colours >= 0) & (colours <= 1)).all())


@given(st.integers(1, 30), st.integers(0, 99))
def test_each_code_shares_itself_out_among_phones(codes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 4, (codes, len(PHONES)), generator=generator)
    counts[torch.rand(codes, generator=generator) < 0.3] = 0
    counts[0, 1] = 1
    shares, phones = phone_shares(counts)
    assert shares.shape == (len(phones), int((counts.sum(1) > 0).sum()))
    assert set(phones) == {PHONES[i] for i in counts.sum(0).nonzero()[:, 0]}
    torch.testing.assert_close(shares.sum(0), torch.ones(shares.shape[1], dtype=torch.float64))
    # From left to right the likeliest phone only moves down.
    likeliest = shares.argmax(0)
    assert bool((likeliest.diff() >= 0).all())


def test_the_rate_table_sets_each_rate_above_its_baseline() -> None:
    evaluation = tiny_evaluation(**RATES)
    real = {"bits_per_second_real": metric(410, "bit/s")}
    low, high = evaluation.rates
    high = high.model_copy(update={"metrics": high.metrics | real})
    table = rate_table(evaluation.model_copy(update={"rates": (low, high)}))
    assert table.columns == ("PER, % ↓", "STOI ↑", "PESQ ↑")
    assert [(row.codes, row.bits_per_second, row.baseline) for row in table.rows] == [
        (1, ("", "", "150"), False),
        (1, ("", "", "150"), True),
        (3, ("410", "", "350"), False),
        (3, ("", "", "350"), True),
    ]
    # Neither the first rate nor the baselines know their PESQ.
    assert [bool(row.figures[2][0]) for row in table.rows] == [False, False, True, False]
    assert reasons(evaluation) == [("pesq_wb, stoi", "needs <pesq>"), ("baselines", "another rate")]


def test_a_model_of_one_rate_stands_beside_its_baseline_too() -> None:
    metrics = rate(2, 450, per=50).metrics
    alone = tiny_evaluation(metrics=metrics)
    compared = tiny_evaluation(metrics=metrics, baselines=(rate(2, 450, per=55),))
    assert rate_table(alone).rows == ()
    assert [row.baseline for row in rate_table(compared).rows] == [False, True]


def test_published_figures_of_speech_stand_beside_librispeech_only() -> None:
    found = {"waveform_mse": metric(0.005), "phoneme_accuracy": metric(50), "si_sdr_db": metric(-3)}
    evaluation = tiny_evaluation(metrics=found)
    distortion, error, accuracy = result_rows(evaluation, LibriSpeechConfig())
    assert distortion.interval == "−4.0 – −2.0"
    assert [reference.figure for reference in error.references] == ["0.0053–0.006"]
    assert [reference.figure for reference in accuracy.references] == ["49.3"]
    assert all(not row.references for row in result_rows(evaluation, SyntheticSpeechConfig()))
    assert other_codecs(LibriSpeechConfig())
    assert other_codecs(Cifar10Config()) == ()
