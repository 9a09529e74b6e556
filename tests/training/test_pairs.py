"""A recipe for pairs from its training to its evaluation and its samples, of written and spoken digits."""

import zlib
from dataclasses import replace
from functools import partial
from math import log
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tiny.cli import run_cli
from tiny.digits import RANGES, SPEAKERS, write_digits
from tiny.recipes import IDENTITY, JUDGE, TOKENIZER, TRAINING

from codeword.cli.pairing import sample_given
from codeword.codec.pairs import PairCodec
from codeword.config import Recipe, recipe_toml, validate
from codeword.errors import DataError, ModelError, RecipeError, UsageError
from codeword.evaluation import evaluate, report
from codeword.evaluation.report.metrics import TITLES
from codeword.evaluation.report.pair_sections import pair_sections
from codeword.evaluation.report.pair_signals import gather_pairs
from codeword.files import compress, decompress, describe_compressed
from codeword.files.pairs import PairModel
from codeword.priors import Sampler
from codeword.training import Run, train

_TRANSFORMER = {"kind": "transformer", "layers": 1, "width": 8, "heads": 2, "hidden": 8, "head_width": 8}
_IMAGES = {
    "trunk": {"kind": "conv", "width": 4, "residual_width": 4, "residual_blocks": 1, "strides": [2, 2]},
    "quantizer": {"kind": "vector", "codebook_sizes": [8], "dim": 4},
}
_IDENTITY_OF_SOUND = {
    **{"ndim": 1, "channels": 1, "values": 65536, "sample_rate": 8000},
    **{"trunk": IDENTITY, "quantizer": IDENTITY | {"codebook_sizes": [65536]}, "likelihood": IDENTITY},
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("recipes")
    write_digits(folder)
    written = {"kind": "mnist", "root": str(folder), **RANGES}
    heard = SPEAKERS | {"kind": "spoken-digits", "root": str(folder), "crop_samples": 640}
    likelihood = {"kind": "spectrogram", "n_fft": 320, "hop": 80, "mels": 20}
    sound = {name: TOKENIZER[name] for name in TOKENIZER if name not in ("head", "likelihood", "conditional")}
    judge = JUDGE | {"perception_training": TRAINING}
    prior = {"prior": _TRANSFORMER, "prior_training": TRAINING, "tokenizer_training": TRAINING}
    trees = {
        "written": prior | {"name": "written", "data": written, "tokenizer": _IMAGES},
        "heard": prior | {"name": "heard", "data": heard, "tokenizer": sound | {"likelihood": likelihood}},
        "written-judge": judge | {"data": written},
        "heard-judge": judge | {"data": heard, "tokenizer": _IDENTITY_OF_SOUND},
    }
    for name, tree in trees.items():
        (folder / f"{name}.toml").write_text(recipe_toml(validate(Recipe, tree, place=name)))
    first, second, *judges = (str(folder / f"{name}.toml") for name in trees)
    pairs = {"kind": "pairs", "first": first, "second": second, "judges": judges}
    return validate(
        Recipe,
        {
            "name": "pairs",
            "data": pairs,
            "prior": _TRANSFORMER | {"dropout": 0.1},
            "prior_training": TRAINING | {"steps": 4},
        },
        place="here",
    )


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe, tmp_path_factory.mktemp("runs") / "run")


def test_the_evaluation_has_the_bits_of_pairs_and_what_the_judges_read(run: Run) -> None:
    found = evaluate(run, limit=10)
    metrics = {name: metric.value for name, metric in found.metrics.items()}
    assert found.signals == 10
    assert metrics["pair_bits_saved"] == pytest.approx(metrics["pair_bits_separate"] - metrics["pair_bits"], abs=1e-3)
    sound_first = metrics["pair_bits_sound_first"]
    assert metrics["pair_bits"] + metrics["bits_saved_of_sound"] == pytest.approx(
        sound_first + metrics["bits_saved_of_image"], abs=1e-3
    )
    judged = {f"coherence_{a}{end}" for a in ("image_given_sound", "sound_given_image") for end in ("", "_guided")}
    judged |= {f"accuracy_{of}{noun}" for of in ("", "reconstruction_") for noun in ("image", "sound")}
    assert judged | {"pair_bits_saved_shuffled"} <= metrics.keys() <= TITLES.keys()
    codes = [part.tokenizer().encode(x) for part, x in zip(run.parts(), signals(run), strict=True)]
    with torch.no_grad():
        own = -sum(float(part.prior().log_prob(x).sum()) for part, x in zip(run.parts(), codes, strict=True))
    assert metrics["pair_bits_separate"] == pytest.approx(own / 10 / torch.log(torch.tensor(2.0)).item(), rel=1e-4)


def signals(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    from codeword.data import open_dataset

    batch = open_dataset(run.recipe().data, "test").take(range(10))
    return batch.x, batch.second  # type: ignore[attr-defined]


def test_the_report_shows_and_plays_pairs_with_what_is_drawn_for_them(run: Run) -> None:
    evaluation = evaluate(run)
    page = report(run, samples=2).read_text(encoding="utf-8")
    # Of each digit an image with its reconstruction and draws, and players: original, reconstruction, twice two draws.
    assert page.count("<img") == 1 + 10
    assert page.count("<audio") == 10 * 6
    assert "Pair 10: 9" in page
    assert "sounds drawn for an image, with guidance" in page
    assert soundfile.info(run.report_path / "pair-3-sound-guided-2.flac").frames == 640
    pairs = gather_pairs(run, evaluation, samples=3, seed=1)
    image, sound = pairs.media
    assert image.drawn.shape == (10, 3, 3, 28, 28)
    assert torch.equal(sound.x[0], signals(run)[1][0])
    for media, titles in (((image, image), 2), ((sound, sound), 1)):
        sections = pair_sections(run, replace(pairs, media=media))[1:]
        assert len(sections) == 10 * titles
        assert sum(len(section.sounds) for section in sections) == 10 * 3 * 2 * (media[0] is sound)
        sections[0].draw()


def test_a_stopped_training_gives_the_same_prior(recipe: Recipe, run: Run, tmp_path: Path) -> None:
    again = train(recipe, tmp_path / "run")
    assert again.pair_prior().fingerprint == run.pair_prior().fingerprint
    (again.prior_path / "config.json").unlink()
    train(recipe, tmp_path / "run", resume=True)
    assert again.pair_prior().fingerprint == run.pair_prior().fingerprint


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A picture and a recording."""
    image, sound = tmp_path / "a.png", tmp_path / "a.wav"
    Image.new("RGB", (28, 28), (200, 30, 30)).save(image)
    soundfile.write(sound, np.sin(np.arange(500) / 9) / 2, 8000)
    return image, sound


def test_signals_of_one_medium_are_drawn_for_a_given_one_of_the_other(
    run: Run, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (image, sound), sounds, images = pair, tmp_path / "sounds", tmp_path / "images"
    assert run_cli("sample", run.folder, "--given", image, "-n", "3", "--out", sounds) == 0
    assert [soundfile.info(path).frames for path in sorted(sounds.iterdir())] == [640] * 3
    assert run_cli("sample", run.folder, "--given", sound, "-n", "2", "--out", images) == 0
    assert [size_of(path) for path in sorted(images.iterdir())] == [(28, 28)] * 2
    # The prior has hardly learned anything, so that only a large weight is noticed.
    guided = tmp_path / "guided"
    assert run_cli("sample", run.folder, "--given", sound, "-n", "2", "--guidance", "1e7", "--out", guided) == 0
    assert [path.read_bytes() for path in sorted(images.iterdir())] != [
        p.read_bytes() for p in sorted(guided.iterdir())
    ]


def test_what_a_run_of_pairs_does_not_take_is_refused(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    image, other = pair[0], tmp_path / "other"
    sample = partial(
        sample_given, n=1, draw=Sampler(), guidance=1, seed=0, out=other, force=False, progress=lambda done, total: None
    )
    with pytest.raises(UsageError, match="no run of pairs"):
        sample(run.parts()[0].folder, image)
    with pytest.raises(UsageError, match="neither an image nor a recording"):
        sample(run.folder, tmp_path / "a.xyz")
    assert run_cli("sample", run.folder, "--given", image, "--label", "3", "--out", other) == 2
    with pytest.raises(UsageError, match="has its own judges and no files"):
        evaluate(run, files=True)
    with pytest.raises(UsageError, match="takes two files"):
        compress([image], tmp_path / "b.cw", model=run.folder)
    with pytest.raises(UsageError, match="takes two files"):
        compress([image, image], tmp_path / "b.cw", model=run.folder)
    Image.new("RGB", (29, 28)).save(image)
    with pytest.raises(UsageError, match="28 x 29 values, but those of the pairs have 28 x 28"):
        sample(run.folder, image)
    assert not other.exists()


@pytest.mark.parametrize("order", [1, -1])
def test_a_pair_becomes_one_file_and_comes_back(run: Run, pair: tuple[Path, Path], tmp_path: Path, order: int) -> None:
    file, out = tmp_path / "pair.cw", tmp_path / "out"
    assert run_cli("compress", *pair[::order], "--out", file, "--model", run.folder) == 0
    assert run_cli("decompress", file, "--out", out, "--model", run.folder) == 0
    with pytest.raises(DataError, match="the file of a pair"):
        decompress(file, out)
    described = describe_compressed(file)
    assert described["holds"] == "a compressed pair"
    assert described["model"] == PairCodec(PairModel.load(run).prior, PairModel.load(run).tokenizers).fingerprint.hex()
    assert described["signals"] == {"a.png": {"size": {"height": 28, "width": 28}}, "a.wav": {"size": {"samples": 500}}}
    assert soundfile.info(out / "a.wav").frames == 500
    assert size_of(out / "a.png") == (28, 28)
    model = PairModel.load(run)
    codes = model.read(0, pair[0])[0], model.read(1, pair[1])[0]
    codec = PairCodec(model.prior, model.tokenizers)
    found = codec.decompress(file.read_bytes(), "a file")
    assert all(torch.equal(a, b) for a, b in zip(found.codes, codes, strict=True))
    exact, (first, second) = codec.exact, (part[None] for part in codes)
    nats = exact.parts[0].log_prob(first) + exact.given(0, first).log_prob(second)
    assert 8 * len(codec.payload(codes)) < -float(nats) / log(2) + 16
    x = torch.cat(list(model.media[1].read(out / "a.wav", model.tokenizers[1].config)), 1)
    assert x.shape == (1, 500)


def test_damaged_files_and_files_of_another_model_are_refused(
    run: Run, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    file, out = tmp_path / "pair.cw", tmp_path / "out"
    compress(list(pair), file, model=run.folder)
    content = file.read_bytes()
    for damaged in (content[:-1], content[:20], content[:8], content + b"more", content[:30] + b"x" + content[31:]):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match="copy it again"):
            decompress(file, out, model=run.folder)
    body = content[:16] + bytes([content[16] ^ 1]) + content[17:]
    for changed, error in ((body, ModelError), (b"no pair", DataError)):
        checked = changed[:8] + zlib.crc32(changed[12:]).to_bytes(4, "little") + changed[12:]
        file.write_bytes(checked)
        with pytest.raises((error, DataError)):
            decompress(file, out, model=run.folder)
    assert not out.exists()


def test_only_a_transformer_models_pairs(recipe: Recipe) -> None:
    tree = recipe.model_dump() | {"prior": {"kind": "pixelcnn"}}
    with pytest.raises(RecipeError, match="only a transformer"):
        validate(Recipe, tree, place="here")
