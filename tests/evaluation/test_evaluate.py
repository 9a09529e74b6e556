"""The numbers: what they mean, and that they do not depend on how they are batched."""

import json
from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.recipes import tiny

from codeword.codec import Search, search_codes
from codeword.codec.search import price_of
from codeword.config import load_recipe
from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.errors import ModelError, UsageError
from codeword.evaluation import Evaluation, evaluate
from codeword.evaluation.measure.images import measure, signal_variance
from codeword.evaluation.measure.intervals import mean_interval, resampled_interval, share_interval
from codeword.evaluation.results import read_evaluation
from codeword.model import Model
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


def test_codes_that_are_given_are_measured_as_those_of_the_encoder(run: Run) -> None:
    tokenizer, prior = run.tokenizer(), run.prior()
    batch = open_dataset(run.recipe().data, "test").take(range(16))
    own = measure(tokenizer, prior, batch.x, batch.label)
    given = measure(tokenizer, prior, batch.x, batch.label, tokenizer.encode(batch.x))
    assert own.keys() - given.keys() == {"mse_plus_vq_loss"}
    for name, figures in given.items():
        torch.testing.assert_close(figures, own[name])


@pytest.mark.parametrize("search", [Search(effort=4), Search(rate_weight=0.1), Search(2, 0.05, 1)], ids=str)
def test_figures_of_a_search_are_those_of_its_codes(run: Run, search: Search) -> None:
    found, model = evaluate(run, search=search, split="valid"), Model.load(run.folder)
    assert found.search == search
    assert found.metrics.keys() == NAMES - {"mse_plus_vq_loss", "probe_accuracy", "probe_accuracy_pixels"}
    assert found.left_out.keys() == {"mse_plus_vq_loss", "probe_accuracy"}
    x = open_dataset(run.recipe().data, "valid").take(range(16)).x
    codes = search_codes(model.tokenizer, x, search, price=price_of(model, 2))
    with torch.no_grad():
        bits = float(-model.prior.log_prob(codes).mean()) / log(2)
        expected = model.tokenizer.likelihood.mean(model.tokenizer.features(codes))
    assert value(found, "code_bpd") == pytest.approx(bits / 768, rel=1e-4)
    assert value(found, "mse") == pytest.approx(float(((expected - x) / 255).square().mean()), rel=1e-4)


def test_codes_that_are_tried_by_decoding_have_no_larger_error(run: Run, evaluation: Evaluation) -> None:
    errors = [value(evaluation, "mse")] + [value(evaluate(run, search=Search(refine=n)), "mse") for n in (1, 2)]
    assert errors[0] > errors[1] >= errors[2]
    assert read_evaluation(run) == evaluation


@pytest.mark.parametrize(
    ("split", "limit", "search", "name"),
    [
        ("test", None, Search(), "evaluation.json"),
        ("valid", 20, Search(), "evaluation-valid-limit-20.json"),
        ("test", None, Search(8, 0.03, 2), "evaluation-test-effort-8-rate-weight-0.03-refine-2.json"),
        ("test", 1000000, Search(refine=2), "evaluation-test-limit-1000000-refine-2.json"),
        ("valid", None, Search(rate_weight=1), "evaluation-valid-rate-weight-1.json"),
        ("valid", None, Search(rate_weight=1.0), "evaluation-valid-rate-weight-1.json"),
    ],
)
def test_the_file_of_an_evaluation_names_its_settings(
    split: Split, limit: int | None, search: Search, name: str
) -> None:
    assert Run("run").path_of_evaluation(split, limit, search) == Path("run", name)


def test_an_evaluation_from_before_there_were_searches_had_none(run: Run, evaluation: Evaluation) -> None:
    text = run.evaluation_path.read_text()
    stored = json.loads(text)
    assert stored.pop("search") == {"effort": 1, "rate_weight": 0.0, "refine": 0}
    try:
        run.evaluation_path.write_text(json.dumps(stored))
        assert read_evaluation(run) == evaluation
    finally:
        run.evaluation_path.write_text(text)


def test_a_search_that_a_run_does_not_have_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="writes files without a search of codes; leave files out"):
        evaluate(run, search=Search(2), files=True)
    for medium in ("pairs", "tokens"):
        recipe = load_recipe("pairs-digits" if medium == "pairs" else medium)
        other = Run.create(tmp_path / medium, recipe, resume=False)
        with pytest.raises(UsageError, match=f"is a run of {medium}, whose codes have no search; leave out effort"):
            evaluate(other, search=Search(refine=1))
    uniform = train(tiny('prior={kind="uniform"}'), tmp_path / "uniform")
    with pytest.raises(UsageError, match="leave rate_weight out"):
        evaluate(uniform, search=Search(rate_weight=0.1))
    assert evaluate(uniform, search=Search(effort=2)).signals == 16


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
