"""Comparisons: the plan has every combination once, seeds are averaged, and what is finished is kept."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.cli import run_cli

from codeword.comparison import Comparison, Setting, Trial, compare, read_setting
from codeword.comparison.names import names_of
from codeword.comparison.page import effect, write_page
from codeword.comparison.plan import MAX_TRIALS, combinations, folder_name, in_order, recipe_value
from codeword.comparison.results import find_best, grouped, is_better
from codeword.config import load_recipe, validate_json
from codeword.config.writing import toml_value
from codeword.errors import RecipeError, UsageError
from codeword.training import Run

TINY = [
    "data.train=8",
    "data.valid=4",
    "data.test=4",
    "tokenizer.trunk.width=4",
    "tokenizer.quantizer.codebook_sizes=[8]",
    "tokenizer_training.steps=2",
    "prior_training.steps=1",
]
SEEDS = Setting("seed", ("0", "1"))
JUDGED = {"probe_accuracy", "probe_accuracy_pixels"}

plain = st.integers(-5, 5) | st.text("ab c.-", min_size=1).filter(lambda text: text.strip() == text)
values = st.lists(plain | st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=4, unique_by=json.dumps)


@given(values)
def test_values_of_a_setting_reach_the_recipe_as_they_were(found: list[object]) -> None:
    setting = read_setting("description=" + ",".join(json.dumps(value) for value in found))
    assert len(setting.values) == len(found)
    for value, wanted in zip(setting.values, found, strict=True):
        if isinstance(wanted, str):
            assert load_recipe("demo-images", overrides=[f"description={value}"]).description == wanted
        else:
            assert json.loads(value) == wanted


def test_words_and_tables_are_values() -> None:
    assert read_setting("data.kind=cifar10,drawn").values == ("cifar10", "drawn")
    tables = read_setting('tokenizer.quantizer={kind="vector", dim=8, lookup_dim=4},{kind="finite-scalar"}')
    recipes = [load_recipe("demo-images", overrides=[f"{tables.path}={value}"]) for value in tables.values]
    assert [recipe.tokenizer.quantizer.kind for recipe in recipes] == ["vector", "finite-scalar"]


@pytest.mark.parametrize("text", ["", "beta", "=1", "a..b=1", "a=", "a=1,,2"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not of the form"):
        read_setting(text)


def test_a_value_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="names a value twice"):
        read_setting("seed=1,1")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 3), st.booleans())
def test_a_plan_has_each_combination_once(counts: list[int], seeds: int, one_at_a_time: bool) -> None:
    settings = [Setting(f"a.{i}", tuple(map(str, range(n)))) for i, n in enumerate(counts)]
    settings += [Setting("seed", tuple(map(str, range(seeds))))] if seeds else []
    found = combinations(settings, one_at_a_time=one_at_a_time)
    assert len({json.dumps(trial) for trial in found}) == len(found)
    assert len({folder_name(number, trial) for number, trial in enumerate(found)}) == len(found)
    repeats = max(seeds, 1)
    if one_at_a_time:
        assert len(found) == (1 + sum(counts)) * repeats
        changed = [len(trial.keys() - {"seed"}) for trial in found]
        assert changed == [0] * repeats + [1] * (len(found) - repeats)
    else:
        everything = product(*(setting.values for setting in settings))
        assert [tuple(trial.values()) for trial in found] == list(everything)


def test_a_plan_is_bounded_and_names_a_setting_once() -> None:
    many = Setting("a", tuple(map(str, range(MAX_TRIALS + 1))))
    for settings, said in [([many], "at most 1,000"), ([SEEDS, SEEDS], "named twice")]:
        with pytest.raises(UsageError, match=said):
            combinations(settings, one_at_a_time=False)


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), unique=True))
def test_numbers_are_in_order_and_words_stay_in_theirs(numbers: list[float]) -> None:
    assert [json.loads(value) for value in in_order(map(json.dumps, numbers))] == sorted(numbers)
    assert [json.loads(v) for v in in_order(json.dumps([n]) for n in numbers)] == [[n] for n in sorted(numbers)]
    words = ['"b"', "none", *map(json.dumps, numbers)]
    assert in_order(words) == words


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("seed", "0"),
        ("tokenizer.quantizer.beta", "0.25"),
        ("tokenizer.quantizer", "as in the recipe"),
        ("tokenizer.quantizer.size.start", "none"),
    ],
)
def test_the_value_of_a_recipe_is_read_as_a_setting(path: str, wanted: str) -> None:
    assert recipe_value(load_recipe("cifar10"), path) == wanted


def test_the_value_of_a_recipe_changes_nothing_as_a_setting() -> None:
    recipe = load_recipe("cifar10")
    for path in ("data.kind", "tokenizer.quantizer.codebook_sizes", "tokenizer_training.learning_rate"):
        assert load_recipe("cifar10", overrides=[f"{path}={recipe_value(recipe, path)}"]) == recipe


leaves = (
    st.booleans() | st.integers(0, 3) | st.sampled_from(["ema", "linear"]) | st.lists(st.integers(0, 9), max_size=3)
)
tables = st.dictionaries(st.sampled_from(["kind", "dim", "cosine"]), leaves | st.fixed_dictionaries({"start": leaves}))


@given(st.lists(tables | leaves, min_size=1, max_size=5))
def test_different_values_have_different_names(found: list[object]) -> None:
    written = list(dict.fromkeys(map(toml_value, found)))
    names = names_of(written)
    assert list(names) == written
    assert len({name.tick for name in names.values()}) == len({name.text for name in names.values()}) == len(written)
    assert all(len(name.tick) <= 16 for name in names.values())


def test_tables_are_named_by_what_they_do_not_share() -> None:
    sizes = [f'{{kind="vector", dim=8, codebook_sizes=[{n}], cosine=true}}' for n in (8, 16)]
    setting = read_setting(f'tokenizer.quantizer={sizes[0]},{sizes[1]},{{kind="finite-scalar", dim=8}}')
    texts = [name.text for name in names_of(setting.values).values()]
    assert texts == ["vector, codebook_sizes = [8], cosine", "vector, codebook_sizes = [16], cosine", "finite-scalar"]
    assert [name.tick for name in names_of(setting.values).values()] == ["1", "2", "3"]
    assert [name.text for name in names_of(setting.values[:2]).values()] == [
        "codebook_sizes = [8]",
        "codebook_sizes = [16]",
    ]
    alone = names_of(setting.values[2:])
    assert [name.text for name in alone.values()] == ["finite-scalar, dim = 8"]


def trials(measures: dict[tuple[str, str], float], name: str = "total_bpd") -> list[Trial]:
    return [
        Trial(folder=f"{a}-{seed}", values={"a": a, "seed": seed}, measures={name: value})
        for (a, seed), value in measures.items()
    ]


def test_seeds_are_averaged_and_the_best_mean_wins() -> None:
    done = trials({("x", "0"): 1.0, ("x", "1"): 5.0, ("y", "0"): 2.0, ("y", "1"): 2.5})
    x, y = grouped(done)
    assert x.measures["total_bpd"] == (3.0, 1.0, 5.0)
    assert find_best(done, None) == ("total_bpd", y)
    higher = trials({("x", "0"): 1.0, ("y", "0"): 2.0}, "psnr_db")
    assert find_best(higher, "psnr_db")[1].values == {"a": "y"}
    assert is_better("log_mel_distance", 1, 2)
    assert is_better("stoi", 2, 1)


def test_failed_trials_count_in_no_mean() -> None:
    failed = Trial(folder="f", values={"a": "x", "seed": "1"}, error="It diverged.")
    (group,) = grouped([*trials({("x", "0"): 1.0}), failed])
    assert group.measures["total_bpd"].mean == 1.0
    with pytest.raises(UsageError, match=r"every training failed, the first one so: It diverged\."):
        find_best([failed], None)
    with pytest.raises(UsageError, match="there are total_bpd"):
        find_best(trials({("x", "0"): 1.0}), "loss")


def test_one_command_compares_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the three trainings was stopped, and one diverges."""
    rates = read_setting("tokenizer_training.learning_rate=0.001,1e30")
    out, overrides = tmp_path / "out", [word for override in TINY for word in ("--set", override)]
    arguments = ["demo-images", "--out", out, "--over", f"{rates.path}={','.join(rates.values)}", "--workers", "2"]
    first = combinations([rates], one_at_a_time=False)[0]
    stopped = load_recipe("demo-images", overrides=[*TINY, *(f"{path}={value}" for path, value in first.items())])
    Run.create(out / "runs" / folder_name(0, first), stopped, resume=False)
    (out / "plan.json").write_text(
        json.dumps(
            {
                "recipe": load_recipe("demo-images", overrides=TINY).model_dump(mode="json"),
                "trials": combinations([rates], one_at_a_time=False),
            }
        )
    )
    assert run_cli("compare", *arguments, *overrides, "--test", "--json") == 0
    found = validate_json(Comparison, capsys.readouterr().out, place="the output")
    kept, failed = found.trials
    assert found.best == {rates.path: "0.001"}
    assert {"total_bpd", "usage", "psnr_db", "peak_mib"} <= kept.measures.keys()
    assert "lower" in (failed.error or "")
    assert not kept.measures.keys() & JUDGED
    assert found.test[kept.folder].keys() == kept.measures.keys() - {"peak_mib", "step_ms"} | JUDGED
    page = (out / "index.html").read_text()
    assert kept.folder in page
    assert "Failed" in page
    rows = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert [row["folder"] for row in rows] == [kept.folder, failed.folder]
    assert float(rows[0]["total_bpd"]) == kept.measures["total_bpd"]

    written = (out / "runs" / kept.folder / "tokenizer" / "model.safetensors").stat().st_mtime_ns
    again = compare("demo-images", [rates], out, overrides=TINY, workers=1)
    assert again.trials[0] == kept
    assert (out / "runs" / kept.folder / "tokenizer" / "model.safetensors").stat().st_mtime_ns == written
    judged = compare("demo-images", [rates], out, overrides=TINY, workers=1, objective="probe_accuracy")
    assert kept.measures.items() <= judged.trials[0].measures.items() | {("peak_mib", kept.measures["peak_mib"])}
    assert judged.trials[0].measures.keys() == kept.measures.keys() | JUDGED
    with pytest.raises(UsageError, match="holds another comparison"):
        compare("demo-images", [SEEDS], out, overrides=TINY)


def test_one_at_a_time_has_the_recipe_once_and_shows_it_with_every_setting(tmp_path: Path) -> None:
    """All trainings of the comparison are finished, so that only its plan and its page are made."""
    settings = [read_setting("tokenizer.quantizer.beta=1,0.25,0.1"), read_setting("tokenizer.quantizer.dim=4,64")]
    beta, dim = (setting.path for setting in settings)
    recipe, plan = load_recipe("cifar10"), [{}, {beta: "1"}, {beta: "0.1"}, {dim: "4"}]
    for number, changed in enumerate(plan):
        folder = tmp_path / "runs" / folder_name(number, changed)
        folder.mkdir(parents=True)
        trial = Trial(folder=folder.name, values=changed, measures={"total_bpd": 4.0 + number})
        (folder / "trial.json").write_text(trial.model_dump_json())
    (tmp_path / "plan.json").write_text(json.dumps({"recipe": recipe.model_dump(mode="json"), "trials": plan}))
    result = compare("cifar10", settings, tmp_path, one_at_a_time=True)
    assert [trial.values for trial in result.trials] == plan
    assert result.best == {}
    for path, names, means in ((beta, ["0.1", "0.25", "1"], [6, 4, 5]), (dim, ["4", "64"], [7, 4])):
        panel = effect(result, path, recipe, names_of(names))
        assert panel is not None
        assert panel.x_names == names
        drawn = {line.label: (list(line.x), list(line.y)) for line in panel.lines}
        assert drawn["mean"] == drawn["a run"] == (list(range(len(names))), means)
        assert drawn["the recipe's value"] == ([1], [4])
    assert (tmp_path / "figures" / "settings.png").stat().st_size > 1000


def test_rows_and_figures_number_the_same_tables(tmp_path: Path) -> None:
    path = "tokenizer.quantizer"
    grids = [f'{{"kind" = "finite-scalar", "channel_levels" = {levels}}}' for levels in ("[8, 8, 8]", "[8, 5, 5, 5]")]
    measures = {"total_bpd": 4.0, "psnr_db": 20.0, "code_bpd": 0.1}
    listed = tuple(
        Trial(folder=str(n), values=v, measures=measures) for n, v in enumerate([{}, *({path: g} for g in grids)])
    )
    recipe = load_recipe("cifar10")
    write_page(Comparison(recipe="cifar10", objective="total_bpd", trials=listed, best={}), tmp_path, recipe=recipe)
    page = (tmp_path / "index.html").read_text()
    for number, name in [
        (1, "as in the recipe"),
        (2, "channel_levels = [8, 8, 8]"),
        (3, "channel_levels = [8, 5, 5, 5]"),
    ]:
        assert f"<b>{number}</b> {name}</th>" in page
    assert (tmp_path / "figures" / "rate-distortion.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_comparison_saves_the_training_and_starts_no_other(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    words = ["compare", "demo-images", "--over", "seed=0,1,2", "--workers", "1", "--out", str(out)]
    # In the background of a shell without job control, SIGINT would be ignored.
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = f"{restore}from codeword.cli import main; main({words!r})"
    running = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    metrics = out / "runs" / "000-seed-0" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(running.pid, number)
    assert running.wait(100) in (128 + number, 130)
    assert [run.name for run in (out / "runs").iterdir()] == ["000-seed-0"]
    assert Run(out / "runs" / "000-seed-0").checkpoint_path("tokenizer").exists()
    assert not (out / "comparison.json").exists()


def test_wrong_values_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="beta"):
        compare("demo-images", [Setting("tokenizer.quantizer.beta", ("0.25", "-1"))], tmp_path / "out")
    for settings, workers, said in [([], 1, "nothing to compare"), ([SEEDS], 0, "must be 1 or more")]:
        with pytest.raises(UsageError, match=said):
            compare("demo-images", settings, tmp_path / "out", workers=workers)
    with pytest.raises(UsageError, match="no measure 'psnr', perhaps psnr_db"):
        compare("demo-images", [SEEDS], tmp_path / "out", objective="psnr")
    assert not (tmp_path / "out").exists()
    (tmp_path / "other" / "runs").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"holds runs, but no plan\.json"):
        compare("demo-images", [SEEDS], tmp_path / "other")
