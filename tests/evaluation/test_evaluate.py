"""The numbers: what they mean, and that they do not depend on how they are batched."""

from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.recipes import tiny

from codeword.data import open_dataset
from codeword.errors import ModelError, UsageError
from codeword.evaluation import Evaluation, evaluate
from codeword.evaluation.measure.images import measure, signal_variance
from codeword.evaluation.measure.intervals import mean_interval, resampled_interval, share_interval
from codeword.evaluation.results import read_evaluation
from codeword.store import locked
from codeword.training import Run, train

NAMES = {
    "mse",
    "mse_over_variance",
    "psnr_db",
    "ssim",
    "usage",
    "perplexity",
    "bits_per_code",
    "bits_per_code_given_label",
    "code_bpd",
    "pixel_bpd",
    "total_bpd",
    "bernoulli_proxy_bits",
    "mse_plus_vq_loss",
    "probe_accuracy",
    "probe_accuracy_pixels",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(), tmp_path_factory.mktemp("evaluation") / "run")


@pytest.fixture(scope="module")
def evaluation(run: Run) -> Evaluation:
    return evaluate(run)


def value(evaluation: Evaluation, name: str) -> float:
    return evaluation.metrics[name].value


def test_names_values_and_intervals(run: Run, evaluation: Evaluation) -> None:
    assert evaluation.metrics.keys() == NAMES
    assert (evaluation.recipe, evaluation.split, evaluation.signals, evaluation.seed) == ("demo-images", "test", 16, 0)
    for metric in evaluation.metrics.values():
        assert metric.low <= metric.value <= metric.high
        assert metric.unit
    assert read_evaluation(run) == evaluation


def test_what_codes_save_is_against_a_run_without_them(run: Run, evaluation: Evaluation, tmp_path: Path) -> None:
    constant = ['tokenizer.quantizer={kind="none",dim=8}', 'prior={kind="uniform"}']
    other = train(tiny(*constant), tmp_path / "constant")
    alone = evaluate(other)
    assert value(alone, "code_bpd") == 0
    found = evaluate(run, no_codes=other.folder, split="valid")
    assert found.metrics.keys() == NAMES | {"no_codes_bpd", "codes_save_bpd"}
    assert found.metrics["no_codes_bpd"] == evaluate(other, split="valid").metrics["total_bpd"]
    saved = value(found, "no_codes_bpd") - value(found, "total_bpd")
    assert value(found, "codes_save_bpd") == pytest.approx(saved, abs=1e-6)
    for wrong in (run, train(tiny(*constant, "data.size=8"), tmp_path / "smaller")):
        with pytest.raises(UsageError, match="is no run without codes on the same data; train the same recipe with"):
            evaluate(run, no_codes=wrong.folder)


def test_the_total_is_codes_plus_pixels(run: Run, evaluation: Evaluation) -> None:
    total = value(evaluation, "code_bpd") + value(evaluation, "pixel_bpd")
    assert value(evaluation, "total_bpd") == pytest.approx(total, rel=1e-6)
    symbols_per_dim = run.prior().symbols / (3 * 16 * 16)
    assert value(evaluation, "code_bpd") == pytest.approx(
        value(evaluation, "bits_per_code") * symbols_per_dim, rel=1e-5
    )


def test_figures_agree_with_what_the_models_say_themselves(run: Run, evaluation: Evaluation) -> None:
    tokenizer, prior = run.tokenizer(), run.prior()
    x = open_dataset(run.recipe().data, "test").take(range(16)).x
    codes = tokenizer.encode(x)
    assert value(evaluation, "pixel_bpd") == pytest.approx(
        float(-tokenizer.log_prob(x).mean()) / log(2) / 768, rel=1e-4
    )
    assert value(evaluation, "code_bpd") == pytest.approx(
        float(-prior.log_prob(codes).mean().detach()) / log(2) / 768, rel=1e-4
    )
    expected = tokenizer.likelihood.mean(tokenizer.features(codes)).detach()
    assert value(evaluation, "mse") == pytest.approx(float(((expected - x) / 255).square().mean()), rel=1e-4)
    variance = float((open_dataset(run.recipe().data, "train").take(range(64)).x / 255).var(correction=0))
    assert value(evaluation, "mse_over_variance") == pytest.approx(value(evaluation, "mse") / variance, rel=1e-4)


def test_bits_do_not_depend_on_the_batch_size(run: Run) -> None:
    tokenizer, prior = run.tokenizer(), run.prior()
    batch = open_dataset(run.recipe().data, "test").take(range(16))
    whole = measure(tokenizer, prior, batch.x, batch.label)
    for size in (1, 5):
        parts = [
            measure(tokenizer, prior, x, label)
            for x, label in zip(batch.x.split(size), batch.label.split(size), strict=True)
        ]
        for name, figures in whole.items():
            torch.testing.assert_close(figures, torch.cat([p[name] for p in parts]), rtol=1e-4, atol=1e-3)


def test_a_partial_evaluation_has_a_file_of_its_own(run: Run, evaluation: Evaluation) -> None:
    assert evaluate(run, limit=3).signals == 3
    assert evaluate(run, split="valid").split == "valid"
    assert evaluate(run, split="valid", limit=2).signals == 2
    assert read_evaluation(run) == evaluation
    names = {path.name for path in run.folder.glob("evaluation*.json")}
    assert names >= {"evaluation-test-limit-3.json", "evaluation-valid.json", "evaluation-valid-limit-2.json"}


def test_sizes_of_files_stay_while_the_other_measures_are_equal(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    files = evaluate(run, limit=4, files=True).files
    assert files
    assert evaluate(run, limit=4).files == files
    path = run.path_of_evaluation("test", 4)
    path.write_text(
        path.read_text().replace('"mse": {', '"mse": {"value": 9, "low": 9, "high": 9, "unit": ""}, "other": {')
    )
    assert evaluate(run, limit=4).files == ()
    assert "belong to other measures and are left out" in caplog.text
    path.write_text("damaged")
    assert evaluate(run, limit=4).files == ()


def test_a_run_is_measured_while_another_process_trains_on(run: Run) -> None:
    with locked(run.folder):
        assert evaluate(run, limit=2).signals == 2


def test_a_split_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="no split 'tset'; choose train, valid or test"):
        evaluate(run, split="tset")  # type: ignore[arg-type]


def test_a_damaged_evaluation_is_refused(run: Run, evaluation: Evaluation) -> None:
    text = run.evaluation_path.read_text()
    try:
        for damaged in ("{}", text[:-20], text.replace('"metrics"', '"numbers"')):
            run.evaluation_path.write_text(damaged)
            with pytest.raises(ModelError, match=r"evaluation\.json.*codeword evaluate .* again"):
                read_evaluation(run)
    finally:
        run.evaluation_path.write_text(text)


def test_variance_is_over_every_number(run: Run) -> None:
    data = open_dataset(run.recipe().data, "valid")
    everything = data.take(range(len(data))).x.double() / 255
    assert signal_variance(data, values=256) == pytest.approx(float(everything.var(correction=0)))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50))
def test_the_interval_of_a_mean_holds_it(values: list[float]) -> None:
    mean, low, high = mean_interval(torch.tensor(values, dtype=torch.float64))
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert low <= mean <= high


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_the_interval_of_a_share_holds_it_and_stays_within_none_and_all(found: list[bool]) -> None:
    share, low, high = share_interval(torch.tensor(found))
    assert share == pytest.approx(sum(found) / len(found))
    assert 0 <= low <= share <= high <= 1
    assert low < high
    rest, rest_low, rest_high = share_interval(~torch.tensor(found))
    assert (1 - rest, 1 - rest_high, 1 - rest_low) == pytest.approx((share, low, high))


def test_the_interval_of_many_is_that_of_a_mean() -> None:
    found = torch.arange(10_000) % 7 < 2
    assert share_interval(found) == pytest.approx(mean_interval(found), abs=1e-4)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(300):
        _, low, high = mean_interval(torch.randn(60, generator=generator))
        covered += low <= 0 <= high
    assert 270 <= covered <= 298


def test_resampling_measures_the_spread_of_a_mean() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    by_resampling = resampled_interval(lambda rows: float(values[rows].mean()), 400)
    directly = mean_interval(values)
    assert by_resampling[0] == pytest.approx(directly[0])
    assert by_resampling[1] == pytest.approx(directly[1], abs=0.03)
    assert by_resampling[2] == pytest.approx(directly[2], abs=0.03)
