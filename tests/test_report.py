"""The report: one page that needs nothing else, and says what was measured."""

import base64
import re
from pathlib import Path

import pytest
from PIL import Image
from test_training import tiny

from codeword.errors import UsageError
from codeword.evaluation import evaluate, report
from codeword.evaluation.metrics import Evaluation
from codeword.training import Run, train

HOSTILE = "<script>alert('hello')</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(f"name={HOSTILE}", f"description={HOSTILE}"), tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    with pytest.raises(UsageError, match="has not been evaluated; run `codeword evaluate"):
        report(run)
    return evaluate(run, split="valid")


@pytest.fixture(scope="module")
def page(run: Run, evaluation: Evaluation) -> str:
    return report(run, samples=4).read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(page: str) -> None:
    loads = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert loads
    assert all(address.startswith(("data:", "#")) for address in loads)
    assert "<script" not in page
    assert "@import" not in page


def test_every_figure_is_a_picture_and_lies_beside_the_page(page: str, run: Run) -> None:
    embedded = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    beside = {path.read_bytes() for path in run.report_path.glob("*.png")}
    assert len(embedded) >= 8
    assert set(embedded) == beside
    for path in run.report_path.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 50


def test_every_metric_and_its_circumstances_are_named(page: str, evaluation: Evaluation) -> None:
    for name in evaluation.metrics:
        assert name in page
    for word in (evaluation.commit, evaluation.machine, "valid split", "not a likelihood"):
        assert word in page


def test_words_from_a_recipe_stay_words(page: str) -> None:
    assert "&lt;script&gt;alert" in page


def test_published_figures_stand_beside_cifar10_alone(page: str) -> None:
    assert "4.67" not in page


def test_no_samples_is_refused(run: Run, evaluation: Evaluation) -> None:
    with pytest.raises(UsageError, match="samples must be 1 or more"):
        report(run, samples=0)


def test_the_page_is_replaced_whole(run: Run, page: str) -> None:
    names = sorted(p.name for p in Path(run.report_path).iterdir())
    report(run, samples=4)
    assert sorted(p.name for p in Path(run.report_path).iterdir()) == names
