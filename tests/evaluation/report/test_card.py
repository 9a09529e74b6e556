"""The model card, and the folder it lies in: it says what is true of this model, and nothing a recipe smuggles in."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny.tokenizers import SPEECH, waveform

from codeword.cli.exporting import export_model
from codeword.config import (
    Cifar10Config,
    DataConfig,
    ImageFolderConfig,
    PixelCNNConfig,
    PriorModelConfig,
    Recipe,
    SyntheticSpeechConfig,
    TokenizerConfig,
    WaveNetConfig,
    load_recipe,
)
from codeword.errors import ModelError, UsageError
from codeword.evaluation import Evaluation, Metric
from codeword.evaluation.report.card import card
from codeword.evaluation.results import Rate
from codeword.model import CARD_FILE, PRIOR, Model
from codeword.priors import build_prior
from codeword.store import CONFIG_FILE, WEIGHTS_FILE, write_json
from codeword.tokenizer import Tokenizer
from codeword.training import Run

HOSTILE = "a|b\n---\nlicense: mit\n# <script>alert(1)</script> `x` {{ 7 * 7 }}"


def finished(folder: Path, recipe: Recipe, grid: tuple[int, ...]) -> Run:
    """A run as training leaves it."""
    torch.manual_seed(0)
    run = Run.create(folder, recipe, resume=False)
    tokenizer = Tokenizer(recipe.tokenizer)
    tokenizer.save_pretrained(run.tokenizer_path)
    fitted = PriorModelConfig(architecture=recipe.prior, grid=grid, codebook_sizes=tokenizer.quantizer.codebook_sizes)
    build_prior(fitted).save_pretrained(run.prior_path)
    return run


def pictures(folder: Path, data: DataConfig, name: str = "mine", description: str = "") -> Run:
    recipe = Recipe(
        name=name,
        description=description,
        data=data,
        tokenizer=TokenizerConfig(trunk=load_recipe("cifar10").tokenizer.trunk.model_copy(update={"width": 8})),
        prior=PixelCNNConfig(layers=1, width=8, head_width=8),
    )
    return finished(folder, recipe, (2, 2))


@pytest.fixture
def speech(tmp_path: Path) -> Run:
    recipe = Recipe(
        name="tiny-speech",
        data=SyntheticSpeechConfig(sample_rate=8000, train=2, valid=2, test=2),
        tokenizer=SPEECH,
        prior=WaveNetConfig(dilations=(1, 2), width=4, skip_width=4, head_width=4),
    )
    return finished(tmp_path / "run", recipe, (25,))


def evaluated(run: Run, **changes: object) -> Evaluation:
    metric = Metric(value=1.25, low=1.0, high=1.5, unit="bit/code under the prior")
    fields = {"recipe": "r", "split": "test", "signals": 1234, "seed": 0, "commit": "c", "machine": "m"}
    evaluation = Evaluation.model_validate(fields | {"metrics": {"bits_per_code": metric}} | changes)
    write_json(run.evaluation_path, evaluation.model_dump(mode="json"))
    return evaluation


def text_of(run: Run) -> str:
    return card(run, Model(run.tokenizer(), run.prior()), weights_bytes=1_230_000)


def test_a_card_without_an_evaluation_says_so(tmp_path: Path) -> None:
    text = text_of(pictures(tmp_path, Cifar10Config()))
    assert "has not been evaluated" in text
    assert "%" not in text.partition("## Evaluation")[2]


def test_a_card_holds_what_the_model_depends_on_and_what_was_measured(tmp_path: Path) -> None:
    run = pictures(tmp_path, Cifar10Config())
    evaluated(run)
    text = text_of(run)
    front, _, rest = text.removeprefix("---\n").partition("---\n")
    assert "license: apache-2.0\n" in front
    assert "datasets:\n- uoft-cs/cifar10\n" in front
    assert "| Bits per code | 1.25 | 1.00 – 1.50 | bit/code under the prior |" in rest
    assert "1,234 signals of the test split" in rest
    assert "rounded to 8 bits" not in rest
    model = Model(run.tokenizer(), run.prior())
    for fact in (model.fingerprint, "1.23 MB", run.environment()["commit"], "Krizhevsky", "4 x 4 pixels"):
        assert fact in rest
    # Tables are whole: every line of one has as many cells as its head.
    lines = rest.splitlines()
    for line, after in pairwise(lines):
        if line.startswith("|") and after.startswith("|"):
            assert line.replace("\\|", "").count("|") == after.replace("\\|", "").count("|")


def test_the_example_in_a_card_runs(tmp_path: Path) -> None:
    run = pictures(tmp_path / "run", Cifar10Config())
    export_model(run.folder, tmp_path / "model", compact=False, onnx=False, force=False)
    example = (tmp_path / "model" / CARD_FILE).read_text().partition("```python\n")[2].partition("```")[0]
    x = torch.randint(256, (2, 3, 9, 8))
    names = {"x": x}
    exec(example.replace("path/to/this/folder", str(tmp_path / "model")), names)
    assert names["decoded"].shape == x.shape


def test_onnx_files_are_listed_with_what_they_take_and_give(speech: Run) -> None:
    model = Model(speech.tokenizer(), speech.prior())
    text = card(speech, model, weights_bytes=1, programs={"onnx/decoder.onnx": "codes [batch, cells, codes] to signal"})
    assert "| `onnx/decoder.onnx` | `codes [batch, cells, codes] to signal` |" in text
    assert "ONNX" not in card(speech, model, weights_bytes=1)


def test_rates_and_voices_of_speech_are_in_its_card(speech: Run) -> None:
    rate = Metric(value=750, low=750, high=750, unit="bit/s")
    stoi = Metric(value=0.8, low=0.7, high=0.9, unit="1 is equal")
    bits = {"bits_per_second_real": rate.model_copy(update={"value": 702}), "bits_per_second_nominal": rate}
    rates = [Rate(codes=k, metrics={**bits, "stoi": stoi}) for k in (1, 3)]
    evaluated(speech, rates=[r.model_dump() for r in rates], left_out={"per": "no listeners"})
    text = text_of(speech)
    assert "| 3 | 702 |  | 750 | 0.80 (0.70 – 0.90) |" in text
    assert "3 codes out of 8, 9 bits. The first 1 of them also decode alone" in text
    assert "Not measured: per. Reason: no listeners" in text
    assert "2 voices" in text
    assert "x = " not in text


def test_data_of_ones_own_are_not_given_away(tmp_path: Path) -> None:
    text = text_of(pictures(tmp_path, ImageFolderConfig(root=Path("/home/ann/secret"))))
    assert "license:" not in text
    assert "/home/ann" not in text
    assert "has to choose the licence" in text


def test_nothing_in_a_recipe_leaves_its_place(tmp_path: Path) -> None:
    text = text_of(pictures(tmp_path, Cifar10Config(), name=HOSTILE, description=HOSTILE))
    outside = "".join(part for i, part in enumerate(text.split("```")) if i % 2 == 0)
    assert "<script>" not in outside
    assert "\n# \\" not in outside
    assert "\nlicense: mit" not in text
    assert text.count("{{ 7 * 7 }}") == text.count('"name": ') + text.count('"description": ')
    assert text.count("\n---\n") == 1  # The end of the front matter.


def test_a_shipped_recipe_is_named_and_not_repeated(tmp_path: Path) -> None:
    recipe = load_recipe("demo-images")
    run = finished(tmp_path, recipe, (8, 8))
    text = text_of(run)
    assert "codeword train demo-images" in text
    assert "```json" not in text


@pytest.mark.parametrize("compact", [False, True])
def test_an_exported_run_is_a_whole_model(speech: Run, tmp_path: Path, compact: bool) -> None:
    speech_model = Model(speech.tokenizer(), speech.prior())
    evaluated(speech)
    out = tmp_path / "model"
    written = export_model(speech.folder, out, compact=compact, onnx=False, force=False)
    loaded = Model.load(out)
    assert written["fingerprint"] == loaded.fingerprint
    assert (loaded.fingerprint == speech_model.fingerprint) is not compact
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert files == {CARD_FILE, "modeling_codeword.py"} | {
        f"{p}{n}" for p in ("", f"{PRIOR}/") for n in (CONFIG_FILE, WEIGHTS_FILE)
    }
    assert written["weights_bytes"] == sum((out / p / WEIGHTS_FILE).stat().st_size for p in ("", PRIOR))
    text = (out / CARD_FILE).read_text()
    assert loaded.fingerprint in text
    assert ("rounded to 8 bits" in text) is compact
    x = waveform(1, 500)
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(x), size=(500,)).shape == x.shape


def test_export_writes_over_nothing_and_leaves_nothing_half_done(speech: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already holds something"):
        export_model(speech.folder, speech.folder, compact=False, onnx=False, force=False)
    with pytest.raises(ModelError, match="There is no model folder"):
        export_model(tmp_path / "gone", tmp_path / "model", compact=False, onnx=False, force=False)
    (speech.prior_path / CONFIG_FILE).unlink()
    with pytest.raises(UsageError, match="no trained prior"):
        export_model(speech.folder, tmp_path / "model", compact=False, onnx=False, force=False)
    assert os.listdir(tmp_path) == ["run"]
