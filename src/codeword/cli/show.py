"""Printing of results: values on stdout, everything else on stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from codeword.evaluation import Evaluation, Metric
    from codeword.files import Outcome


def printable(text: str) -> str:
    """The text with control characters as escapes, because the name of a file must not control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str) -> None:
    """One line for a person, on stderr."""
    print(printable(text), file=sys.stderr)


class LogHandler(logging.Handler):
    """Says each message of the library's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say one message."""
        say(record.getMessage())


def pairs(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Names and values."""
    if as_json:
        print(json.dumps(values, indent=2))
        return
    lines = {printable(name): printable(str(value)) for name, value in values.items()}
    width = max(map(len, lines), default=0)
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")


def evaluation(result: "Evaluation", *, as_json: bool) -> None:
    """An evaluation, as its JSON or as a table."""
    if as_json:
        print(json.dumps(result.model_dump(mode="json"), indent=2))
        return
    from rich.console import Console

    title = f"{result.recipe}, {result.split} split, {result.signals} signals, seed {result.seed}"
    tables = [_metrics(title, result.metrics)]
    for whose, rates in (("The model", result.rates), ("k-means", result.baselines)):
        tables += [_metrics(f"{whose}, {rate.codes} codes a cell", rate.metrics) for rate in rates]
    if result.files:
        tables.append(_files(result))
    Console().print(*tables, sep="\n")
    for name, reason in result.left_out.items():
        say(f"{name} was left out: {reason}")


def evaluations(results: "Mapping[str, Evaluation]", *, as_json: bool) -> None:
    """Several evaluations by name: one JSON object, or their tables."""
    if as_json:
        print(json.dumps({name: result.model_dump(mode="json") for name, result in results.items()}, indent=2))
        return
    for result in results.values():
        evaluation(result, as_json=False)


def _metrics(title: str, metrics: "Mapping[str, Metric]") -> "Table":
    from rich.table import Table

    table = Table(title=title)
    for heading, side in (("metric", "left"), ("value", "right"), ("95 % interval", "right"), ("unit", "left")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for name, metric in metrics.items():
        table.add_row(name, f"{metric.value:.4g}", f"{metric.low:.4g} to {metric.high:.4g}", metric.unit)
    return table


def _files(result: "Evaluation") -> "Table":
    from rich.table import Table

    from codeword.evaluation.report.files import file_table

    found = file_table(result)
    notes = [f"{row.name}, {row.setting}: {row.note}." for row in found.rows if row.note]
    table = Table(title="Real files", caption="\n".join([found.caption, *notes]), caption_justify="left")
    table.add_column("format")
    for column in found.columns:
        table.add_column(column, justify="right")
    for row in found.rows:
        table.add_row(f"{row.name}, {row.setting}", *row.cells)
    return table


def validation(last: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    """The last validation record of each part."""
    if as_json:
        print(json.dumps(last, indent=2))
        return
    for part, record in last.items():
        figures = {name: v for name, v in record.items() if name not in ("part", "split")}
        print(f"{part}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def outcome(done: "Outcome", *, as_json: bool) -> int:
    """Results on stdout and failures on stderr; the exit code: 1 if anything failed."""
    if as_json:
        print(json.dumps({"results": done.results, "failures": done.failures}, indent=2))
    else:
        pairs(done.results, as_json=False)
    for sentence in done.failures.values():
        say(f"Error: {sentence}")
    return 1 if done.failures else 0


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of done and total."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
