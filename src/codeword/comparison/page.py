"""The table of a comparison: an HTML page with figures, and a CSV file with the measures of every run."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import isnan
from pathlib import Path

from codeword.comparison.names import Name, names_of
from codeword.comparison.plan import KEPT, SEED, have_order, in_order, recipe_value
from codeword.comparison.results import PEAK_MIB, STEP_MS, Comparison, Group, Spread
from codeword.config import Recipe
from codeword.evaluation.report.figures import BLUE, GREY, ORANGE, Line, Panel, Section, panels_figure
from codeword.evaluation.report.metrics import TITLES
from codeword.evaluation.report.page import PAGE_WIDTH, embedded
from codeword.evaluation.report.templates import render
from codeword.store import write_atomically
from codeword.training.environment import environment

# Those of the report continue the row above.
_TITLES = {
    "code_bpd": "Bits of the codes per dimension",
    "pixel_bpd": "Bits of the signal, given its codes",
    "bits_per_second_prior": "Bit rate under the prior",
    STEP_MS: "Time of a training step, ms",
    PEAK_MIB: "Largest memory, MiB",
}
_COLUMNS = (
    *("total_bpd", "pixel_bpd", "code_bpd", "bits_per_code", "bits_per_token", "mse_over_variance", "psnr_db", "ssim"),
    *("bits_per_second_prior", "per", "stoi", "pesq_wb", "log_mel_distance", "usage", "perplexity", STEP_MS, PEAK_MIB),
)
# The rate and the distortion of each medium.
_CURVES = (("code_bpd", "psnr_db"), ("bits_per_second_prior", "log_mel_distance"))
_PANELS_IN_A_ROW = 3
# With more groups than this, the rate-distortion figure names the best one alone.
_MOST_NAMES = 40

# The names of values, by the path of their setting and the value.
_Called = dict[str, dict[str, Name]]


@dataclass(frozen=True)
class _Row:
    values: list[Name]
    figures: list[tuple[str, str]]
    best: bool


def write_page(comparison: Comparison, out: Path, *, recipe: Recipe) -> None:
    """Write `index.html`, its figures and `comparison.csv` to the folder `out`."""
    groups = comparison.groups()
    called = _called(comparison, recipe)
    measured = {name for group in groups for name in group.measures}
    names = [comparison.objective, *(n for n in _COLUMNS if n in measured and n != comparison.objective)]
    seeds = max(len(group.trials) for group in groups)
    known = environment()
    page = render(
        "compare.html.j2",
        package=__package__,
        comparison=comparison,
        description=recipe.description,
        facts=[
            ("Trainings", f"{len(comparison.trials):,}, of {recipe.tokenizer_training.steps:,} steps unless varied"),
            ("Commit", known["commit"]),
            ("Machine", known["machine"]),
        ],
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
        several_seeds=seeds > 1,
        objective_title=title(comparison.objective).lower(),
        paths=list(called),
        columns=[(title(name), name) for name in names],
        rows=[_row(group, called, names, recipe, best=group.values == comparison.best) for group in groups],
        numbered=any(name.number for of in called.values() for name in of.values()),
        failed=[trial for trial in comparison.trials if trial.error],
        test=comparison.test,
        test_rows=list(_test_rows(comparison)),
        figures=[embedded(section, out / "figures") for section in _sections(comparison, groups, called, recipe)],
        page_width=PAGE_WIDTH,
    )
    write_atomically(out / "comparison.csv", _csv(comparison).encode())
    write_atomically(out / "index.html", page.encode())


def title(name: str) -> str:
    """The title of a measure."""
    return _TITLES.get(name) or TITLES.get(name, name)


def as_text(spread: Spread | None) -> tuple[str, str]:
    """Mean and range with four digits, both empty if there is nothing to show."""
    if spread is None or isnan(spread.mean):
        return "", ""
    mean, low, high = (f"{value:.4g}".replace("-", "−") for value in spread)
    return mean, "" if low == high else f"{low} – {high}"


def _called(comparison: Comparison, recipe: Recipe) -> _Called:
    """The names of all values of each setting but the seed, also of the recipe's value where a trial keeps it."""
    found: dict[str, list[str]] = {path: [] for path in comparison.paths}
    for trial in comparison.trials:
        for path, listed in found.items():
            listed.append(trial.values.get(path, recipe_value(recipe, path)))
    return {path: names_of(in_order(dict.fromkeys(listed))) for path, listed in found.items()}


def _row(group: Group, called: _Called, names: list[str], recipe: Recipe, *, best: bool) -> _Row:
    shown = []
    for path, of in called.items():
        name = of[group.values.get(path, recipe_value(recipe, path))]
        shown.append(name if path in group.values else Name(KEPT, name.number or KEPT))
    return _Row(shown, [as_text(group.measures.get(name)) for name in names], best)


def _test_rows(comparison: Comparison) -> Iterator[tuple[str, str, list[str]]]:
    for name in _COLUMNS:
        values = [measures.get(name) for measures in comparison.test.values()]
        if any(value is not None for value in values):
            yield title(name), name, ["" if value is None else f"{value:.4g}" for value in values]


def _sections(comparison: Comparison, groups: list[Group], called: _Called, recipe: Recipe) -> Iterator[Section]:
    panels = [panel for path, of in called.items() if (panel := effect(comparison, path, recipe, of)) is not None]
    if panels:
        yield Section(
            "settings",
            "Effect of the settings",
            "A grey dot is a run, and a blue one the mean of all runs with the same value. All panels have one scale: "
            "settings that matter have means far apart. Rings are the values of the recipe.",
            partial(panels_figure, panels, columns=_PANELS_IN_A_ROW),
        )
    for rate, distortion in _CURVES:
        measured = [group for group in groups if {rate, distortion} <= group.measures.keys()]
        if len(measured) > 1:
            panel = _rate_distortion(comparison, measured, called, rate, distortion)
            caption = "Means over seeds. Fewer bits are to the left; the best one is blue."
            yield Section("rate-distortion", "Rate and distortion", caption, partial(panels_figure, [panel]))


def effect(comparison: Comparison, path: str, recipe: Recipe, called: dict[str, Name]) -> Panel | None:
    """The objective against the values of a setting, in the order of their names `called`.

    None if only one of the values was measured.
    """
    name, own = comparison.objective, recipe_value(recipe, path)
    runs: dict[str, list[float]] = {}
    for trial in comparison.trials:
        # Where settings vary one at a time, trials without any are the recipe itself, which belongs in every panel.
        if name in trial.measures and (path in trial.values or not trial.values.keys() - {SEED}):
            runs.setdefault(trial.values.get(path, own), []).append(trial.measures[name])
    if len(runs) < 2:
        return None
    values = [value for value in called if value in runs]
    means = [sum(runs[value]) / len(runs[value]) for value in values]
    dots = [(place, measure) for place, value in enumerate(values) for measure in runs[value]]
    lines = [
        Line("a run", [place for place, _ in dots], [measure for _, measure in dots], GREY, dots=True),
        Line("mean", range(len(values)), means, BLUE, dots=not have_order(values)),
    ]
    if own in runs:
        place = values.index(own)
        lines.append(Line("the recipe's value", [place], [means[place]], ORANGE, dots=True, dashed=True))
    setting = path.rpartition(".")[2]
    return Panel(setting, title(name), lines, x_label=path, x_names=[called[value].tick for value in values])


def _rate_distortion(comparison: Comparison, groups: list[Group], called: _Called, rate: str, distortion: str) -> Panel:
    lines = []
    for group in groups:
        best = group.values == comparison.best
        label = ", ".join(called[path][value].tick for path, value in group.values.items()) or KEPT
        point = [group.measures[rate].mean], [group.measures[distortion].mean]
        lines.append(
            Line(label if best or len(groups) <= _MOST_NAMES else "", *point, BLUE if best else GREY, dots=True)
        )
    return Panel(title(distortion), title(distortion), lines, x_label=title(rate), names_at_dots=True)


def _csv(comparison: Comparison) -> str:
    """One line for each run: its folder, its settings, and every measure on the validation split."""
    paths = list(dict.fromkeys(path for trial in comparison.trials for path in trial.values))
    names = list(dict.fromkeys(name for trial in comparison.trials for name in trial.measures))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["folder", *paths, *names, "error"])
    for trial in comparison.trials:
        settings = [trial.values.get(path, "") for path in paths]
        writer.writerow([trial.folder, *settings, *(trial.measures.get(n, "") for n in names), trial.error or ""])
    return text.getvalue()
