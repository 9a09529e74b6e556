"""The report: one page that opens anywhere, with every number, and with nothing from a recipe run as HTML."""

import base64
import io
import re
from html import unescape
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny.evaluations import tiny_evaluation

from codeword.config import (
    Cifar10Config,
    ConvTrunkConfig,
    PriorModelConfig,
    Recipe,
    TokenizerConfig,
    UniformPriorConfig,
    VectorQuantizerConfig,
    validate,
)
from codeword.errors import UsageError
from codeword.evaluation import evaluate
from codeword.evaluation.report.figures import png
from codeword.evaluation.report.image_sections import image_sections
from codeword.evaluation.report.image_signals import ReportImages, judged
from codeword.evaluation.report.page import report
from codeword.evaluation.report.tables import result_rows
from codeword.evaluation.results import Evaluation, Metric, read_evaluation
from codeword.priors import build_prior
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Tokenizer
from codeword.training import Run, train

HOSTILE = "</title><script>alert(1)</script>"
TRAINING = {"steps": 4, "batch_size": 8, "evaluate_every": 2, "valid_signals": 8, "warmup_steps": 1, "precision": "32"}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run, not evaluated, whose name and description try to leave their place."""
    recipe = {
        "name": HOSTILE,
        "description": '<img src="http://example.org/x.png" onerror=alert(1)> & {{ 7 * 7 }}',
        "data": {"kind": "synthetic-images", "size": 16, "train": 32, "valid": 8, "test": 12},
        "tokenizer": {
            "trunk": {"kind": "conv", "width": 8, "residual_width": 4, "residual_blocks": 1},
            "quantizer": {"kind": "vector", "codebook_sizes": [16], "dim": 4},
        },
        "prior": {"kind": "pixelcnn", "layers": 2, "width": 4, "head_width": 8},
        "tokenizer_training": TRAINING,
        "prior_training": TRAINING,
    }
    return train(validate(Recipe, recipe, place="test"), tmp_path_factory.mktemp("report") / "run", devices=1)


@pytest.fixture(scope="session")
def page(trained: Run) -> Path:
    evaluate(trained, device="cpu")
    return report(trained, samples=5)


def test_a_run_that_was_not_evaluated_says_what_to_do(trained: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path)
    copy.recipe_path.write_bytes(trained.recipe_path.read_bytes())
    with pytest.raises(UsageError, match="codeword evaluate"):
        report(copy)
    assert not copy.report_path.exists()


def test_samples_below_one_are_refused(trained: Run) -> None:
    with pytest.raises(UsageError, match="samples must be 1 or more"):
        report(trained, samples=0)


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    sources = re.findall(r"<[^>]*\s(?:src|href|srcset|data|poster|action)\s*=\s*\"([^\"]*)\"", html)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"<(script|link|iframe|object|embed|base)\b|@import|url\(", html)


def test_every_figure_is_in_the_page_and_beside_it(page: Path) -> None:
    embedded = {
        base64.b64decode(data) for data in re.findall(r"base64,([A-Za-z0-9+/=]+)", page.read_text(encoding="utf-8"))
    }
    files = {path.stem: path.read_bytes() for path in page.parent.glob("*.png")}
    assert set(files) == {
        "loss",
        "codebook-over-time",
        "codebook-use",
        "reconstructions",
        "code-maps",
        "codebook",
        "samples",
        "samples-by-class",
    }
    assert set(files.values()) == embedded
    for content in files.values():
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert image.width > 200
    assert sorted(path.suffix for path in page.parent.iterdir()) == [".html"] + [".png"] * len(files)


def test_every_metric_and_fact_is_named(page: Path, trained: Run) -> None:
    text = unescape(page.read_text(encoding="utf-8"))
    evaluation = read_evaluation(trained)
    assert all(f"<code>{name}</code>" in text for name in evaluation.metrics)
    assert "Bernoulli proxy (not a likelihood)" in text
    assert f"{evaluation.metrics['total_bpd'].value:.3f} bits" in text
    for fact in (evaluation.commit, evaluation.machine, "test split", "12 signals", "4 × 4 cells of 16 codewords"):
        assert fact in text
    # Figures for CIFAR-10 say nothing about other data.
    assert "For comparison" not in text


def test_a_recipe_cannot_write_html(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html
    assert "<img src=&#34;" not in html
    assert "&lt;img src=" in html
    assert "{{ 7 * 7 }}" in html


def test_one_seed_gives_one_page(page: Path, trained: Run) -> None:
    before = page.read_bytes()
    assert report(trained.folder, samples=5) == page
    assert page.read_bytes() == before


def test_published_figures_stand_beside_cifar10_only() -> None:
    metric = Metric(value=4.6712, low=4.65, high=4.69, unit="bit/dim")
    exact = Metric(value=0.25, low=0.25, high=0.25, unit="s")
    evaluation = tiny_evaluation(metrics={"of_tomorrow": exact, "total_bpd": metric})
    total, unknown = result_rows(evaluation, Cifar10Config())
    assert (total.value, total.interval, total.highlighted) == ("4.671", "4.650 – 4.690", True)
    assert [reference.figure for reference in total.references] == ["4.67", "4.51", "5.87", "4.61"]
    assert (unknown.title, unknown.value, unknown.references) == ("of_tomorrow", "0.2500", ())


def test_grey_images_of_odd_size_with_product_codes_are_drawn() -> None:
    tokenizer = Tokenizer(
        TokenizerConfig(
            channels=1,
            trunk=ConvTrunkConfig(width=8, residual_width=4, residual_blocks=1),
            quantizer=VectorQuantizerConfig(codebook_sizes=(5, 3), dim=4),
        )
    ).eval()
    x = torch.randint(256, (3, 1, 18, 13), generator=torch.Generator().manual_seed(0))
    codes = tokenizer.encode(x)
    usage = CodeUsage(tokenizer.quantizer.codebook_sizes)
    usage.add(codes)
    images = ReportImages(
        tokenizer=tokenizer,
        prior=build_prior(
            PriorModelConfig(
                architecture=UniformPriorConfig(), grid=(5, 4), codebook_sizes=tokenizer.quantizer.codebook_sizes
            )
        ),
        split="test",
        x=x,
        codes=codes,
        counts=usage.counts,
        counted=3,
        code_summary="5 × 4 cells",
        samples=x,
        samples_by_class=x[:, None],
        # A folder may be called anything: no formula, and no font need have its letters.
        class_names=("$x_{", "名", "a name that is far too long"),
        seed=0,
    )
    for section in image_sections(images):
        with Image.open(io.BytesIO(png(section.draw()))) as image:
            assert min(image.size) > 10, section.name


def test_the_share_of_samples_that_a_judge_reads_is_with_them() -> None:
    names = {"accuracy_samples": 86.2, "accuracy_reconstruction": 97.9, "accuracy_original": 100.0}
    metrics = {name: Metric(value=value, low=0, high=100, unit="%") for name, value in names.items()}
    fields = {"recipe": "r", "split": "test", "signals": 1, "seed": 0, "commit": "c", "machine": "m"}
    found = judged(Evaluation.model_validate(fields | {"metrics": metrics}))
    assert "reads 86 % of such samples as their class, 98 % of reconstructions and 100 % of originals" in found
    del metrics["accuracy_samples"]
    assert judged(Evaluation.model_validate(fields | {"metrics": metrics})) == ""
