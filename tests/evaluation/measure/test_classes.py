"""Measures of reconstructions and samples by a judge of classes."""

from pathlib import Path

import pytest
import torch
from tiny.recipes import JUDGE, TINY, tiny
from torch import Tensor

from codeword.codec import Search
from codeword.config import Cifar10Config, ClassesConfig, ClassifierConfig, EvaluationConfig, Recipe, load_recipe
from codeword.data import open_dataset
from codeword.errors import UsageError
from codeword.evaluation import evaluate
from codeword.evaluation.measure.classes import measure_by_judge, open_judge
from codeword.evaluation.results import Metric
from codeword.nn.classifier import Classifier
from codeword.training import Run, train

JUDGED = {"frechet_reconstruction", "frechet_samples", "precision_samples", "recall_samples"}
VAE = [override for override in TINY if "quantizer" not in override and not override.startswith("prior.")]
READ = {"accuracy_original", "accuracy_reconstruction", "accuracy_samples", "accuracy_samples_guided"}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(Recipe.model_validate(JUDGE), tmp_path_factory.mktemp("judge") / "run")


def test_the_judge_measures_reconstructions_and_samples(judge: Run, tmp_path: Path) -> None:
    run = train(tiny(), tmp_path / "run")
    metrics = evaluate(run, judge=judge.folder).metrics
    assert metrics.keys() >= JUDGED | READ
    assert not (JUDGED | READ) & evaluate(run).metrics.keys()
    for name in READ:
        assert 0 <= metrics[name].value <= 100
    # After twelve steps of training, samples and reconstructions are blurs.
    assert metrics["frechet_samples"].value > 0
    assert metrics["frechet_reconstruction"].value > 0
    assert metrics["frechet_samples_guided"].value != metrics["frechet_samples"].value
    # Its folder names the same judge.
    assert evaluate(run, judge=judge.perception_path).metrics == metrics


def test_guidance_of_weight_one_draws_the_samples_without(judge: Run, tmp_path: Path) -> None:
    run = train(tiny(), tmp_path / "run")
    data = open_dataset(run.recipe().data, "test")
    network = open_judge(judge.folder, data, values=256)
    assert network is not None

    def judged(guidance: float) -> dict[str, Metric]:
        config = EvaluationConfig(batch_size=5, guidance=guidance)
        return measure_by_judge(network, run.tokenizer(), run.prior(), data, config, progress=lambda *_: None)[0]

    plain, strong = judged(1.0), judged(4.0)
    for name in ("accuracy_samples", "frechet_samples"):
        assert plain[f"{name}_guided"] == plain[name] == strong[name]
    assert strong["frechet_samples_guided"] != plain["frechet_samples"]


def test_a_perfect_reconstruction_is_read_as_the_original(judge: Run) -> None:
    data = open_dataset(judge.recipe().data, "test")
    network = open_judge(judge.folder, data, values=256)
    assert network is not None
    metrics, left_out = measure_by_judge(
        network, judge.tokenizer(), judge.prior(), data, EvaluationConfig(), progress=lambda done, total: None
    )
    assert metrics["accuracy_reconstruction"] == metrics["accuracy_original"]
    assert metrics["accuracy_original"].value > 30
    assert metrics["frechet_reconstruction"].value == pytest.approx(0, abs=1e-6)
    # Its prior draws noise, of no class.
    assert "accuracy_samples" not in metrics
    assert metrics["precision_samples"].value < 0.5
    assert not left_out


def test_the_judge_sees_the_codes_of_a_search(judge: Run, tmp_path: Path) -> None:
    run = train(tiny(), tmp_path / "run")
    data, tokenizer = open_dataset(run.recipe().data, "test"), run.tokenizer()
    network = open_judge(judge.folder, data, values=256)
    assert network is not None

    def judged(codes: Tensor | None) -> dict[str, Metric]:
        config = EvaluationConfig(batch_size=5)
        return measure_by_judge(
            network, tokenizer, run.prior(), data, config, codes=codes, progress=lambda done, total: None
        )[0]

    codes = tokenizer.encode(data.take(range(len(data))).x)
    assert judged(codes)["frechet_reconstruction"].value == pytest.approx(judged(None)["frechet_reconstruction"].value)
    assert judged(0 * codes)["frechet_reconstruction"] != judged(codes)["frechet_reconstruction"]
    found = evaluate(run, judge=judge.folder, search=Search(refine=1))
    assert found.metrics.keys() >= JUDGED | READ


def test_latents_without_codes_have_no_samples(judge: Run, tmp_path: Path) -> None:
    quantizer = 'tokenizer.quantizer={kind="gaussian",dim=8}'
    run = train(load_recipe("demo-images", overrides=[*VAE, quantizer, 'prior={kind="uniform"}']), tmp_path / "run")
    result = evaluate(run, judge=judge.folder)
    assert "frechet_reconstruction" in result.metrics
    assert "probe_accuracy" in result.metrics
    assert "frechet_samples" not in result.metrics
    assert "a VAE" in result.left_out["frechet_samples"]


def test_a_judge_of_other_classes_is_refused(judge: Run, tmp_path: Path) -> None:
    config = ClassifierConfig(architecture=ClassesConfig(stem=4, widths=(4,)), classes=("cat", "dog"))
    Classifier(config).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="2 classes that are not those of the data; train one on this data"):
        evaluate(judge, judge=tmp_path)


def test_the_judge_in_the_package_fits_cifar10(cifar_root: Path) -> None:
    data = open_dataset(Cifar10Config(root=cifar_root), "valid")
    judge = open_judge(None, data, values=256)
    assert judge is not None
    batch = data.take(range(1000))
    with torch.no_grad():
        assert float((judge(batch.x).argmax(1) == batch.label).float().mean()) > 0.88
