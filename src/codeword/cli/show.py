"""Printing of results: values on stdout, everything else on stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from codeword.comparison import Comparison
    from codeword.evaluation import Evaluation, Metric
    from codeword.files import Outcome


def printable(text: str) -> str:
    """The text with control characters as escapes, because the name of a file must not control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(text: str) -> None:
    """One line for a person, on stderr."""
    print(printable(text), file=sys.stderr)


class LogHandler(logging.Handler):
    """Prints each message of the library's log on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        say(record.getMessage())


def error(message: str, *, as_json: bool) -> None:
    """The message of an error on stderr, and as a JSON object on stdout for a program that reads JSON."""
    if as_json:
        print(json.dumps({"error": message}))
    say(f"Error: {message}")


def pairs(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Names and values; a signal takes one line, as a result does."""
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        print(*map(printable, _lines(values)), sep="\n")


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    width = max((len(name) for name, value in values.items() if not isinstance(value, Mapping)), default=0)
    for name, value in values.items():
        if name == "notes":
            yield from value
        elif name == "size":
            yield f"{name:<{width}}  {_size(value)}"
        elif not isinstance(value, Mapping):
            yield f"{name:<{width}}  {_text(value)}"
        elif "size" in value:
            yield from result_lines(name, value)
        else:
            yield name
            yield from (f"  {line}" for line in _lines(value))


def _text(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(_text, value)) or "none"
        case _:
            return str(value)


def _size(size: Mapping[str, int]) -> str:
    """Width x height of an image, or the number of samples."""
    unit = "samples" if "samples" in size else "values" if "depth" in size else "pixels"
    return f"{_product(size)} {unit}"


def _product(axes: Mapping[str, int]) -> str:
    return " x ".join(f"{n:,}" for n in tuple(axes.values())[::-1])


_PHRASES: dict[str, Callable[[Any], str]] = {
    "size": _size,
    "seconds": "{:.2f} s".format,
    "cells": lambda cells: f"{_product(cells)} cells",
    "codes_of_a_cell": lambda count: "1 code each" if count == 1 else f"{count} codes each",
    "psnr_db": "{:.1f} dB".format,
    "log_mel_distance": "log-mel distance {:.3f}".format,
    "speaker": "speaker {}".format,
    "phones": "{} phones".format,
    "lost": "lost {}".format,
    "side_data": "side data {}".format,
    "lossless": lambda lossless: "lossless" if lossless else "",
    "smaller_as": lambda sizes: ", ".join(f"as {name} only {size:,} bytes" for name, size in sizes.items()),
}
"""Values of a result for people, in the order of a line; other values are in the JSON only."""


def result_lines(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """The result of one input, or of the one output of several, as a line for people, and a line for each note."""
    phrases = []
    if "inputs" in result:
        bytes_, original = result["bytes"], result["original_bytes"]
        phrases.append(f"{original:,} -> {bytes_:,} bytes ({100 * bytes_ / original:.1f} %)")
        if len(result["inputs"]) == 1:
            ((source, description),) = result["inputs"].items()
            notes = result.get("notes", {}).get(source, [])
            name, result = source, {**result, "out": name, **description, "notes": notes}
        else:
            phrases.insert(0, f"{len(result['inputs']):,} {result['medium']}")
    phrases += [write(result[key]) for key, write in _PHRASES.items() if result.get(key) is not None]
    head = f"{name} -> {result['out']}" if "out" in result else name
    yield ": ".join(filter(None, [head, ", ".join(filter(None, phrases))]))
    notes = result.get("notes", [])
    if isinstance(notes, Mapping):
        notes = [f"{of}: {', '.join(texts)}" for of, texts in notes.items()]
    yield from (f"  {note}" for note in notes)


def evaluation(result: "Evaluation", *, as_json: bool) -> None:
    """An evaluation, as its JSON or as a table."""
    if as_json:
        print(json.dumps(result.model_dump(mode="json"), indent=2))
        return
    title = f"{result.recipe}, {result.split} split, {result.signals} signals, seed {result.seed}"
    tables = [_metrics(title, result.metrics)]
    for whose, rates in (("The model", result.rates), ("k-means", result.baselines)):
        tables += [_metrics(f"{whose}, {rate.codes} codes a cell", rate.metrics) for rate in rates]
    if result.files:
        tables.append(_files(result))
    _console().print(*tables, sep="\n")
    for name, reason in result.left_out.items():
        say(f"{name} was left out: {reason}")


def evaluations(results: "Mapping[str, Evaluation]", *, as_json: bool) -> None:
    """Several evaluations by name: one JSON object, or their tables."""
    if as_json:
        print(json.dumps({name: result.model_dump(mode="json") for name, result in results.items()}, indent=2))
        return
    for result in results.values():
        evaluation(result, as_json=False)


def comparison(result: "Comparison", *, as_json: bool) -> None:
    """A comparison, as its JSON or as a table of the measure that decides."""
    if as_json:
        print(json.dumps(result.model_dump(mode="json"), indent=2))
        return
    from rich.table import Table

    groups = result.groups()
    paths = result.paths
    table = Table(title=f"{result.recipe}, validation split")
    for heading in (*paths, result.objective, "over seeds"):
        table.add_column(heading, overflow="fold")
    for group in groups:
        spread = group.measures.get(result.objective)
        shown = ("failed", "") if spread is None else (f"{spread.mean:.4g}", f"{spread.low:.4g} to {spread.high:.4g}")
        best = group.values == result.best
        table.add_row(*(group.values.get(p, "") for p in paths), *shown, style="bold" if best else None)
    _console().print(table)
    chosen = ", ".join(f"{path}={value}" for path, value in result.best.items())
    print(printable(f"best by {result.objective}: {chosen or 'the recipe as it is'}"))


def _console() -> "Console":
    """A console on stdout; where that is no terminal, its width is that of the widest table, so that none is cut."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=1000)


def _metrics(title: str, metrics: "Mapping[str, Metric]") -> "Table":
    from rich.table import Table

    table = Table(title=title)
    for heading, side in (("metric", "left"), ("value", "right"), ("95 % interval", "right"), ("unit", "left")):
        table.add_column(heading, justify=side, overflow="fold")  # type: ignore[arg-type]
    for name, metric in metrics.items():
        table.add_row(name, f"{metric.value:.4g}", f"{metric.low:.4g} to {metric.high:.4g}", metric.unit)
    return table


def _files(result: "Evaluation") -> "Table":
    from rich.table import Table

    from codeword.evaluation.report.files import file_table

    found = file_table(result)
    notes = [f"{row.name}, {row.setting}: {row.note}." for row in found.rows if row.note]
    table = Table(title="Real files", caption="\n".join([found.caption, *notes]), caption_justify="left")
    table.add_column("format", overflow="fold")
    for column in found.columns:
        table.add_column(column, justify="right", overflow="fold")
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


def outcome(done: "Outcome", *, as_json: bool, on_stderr: bool = False) -> int:
    """Results on stdout, or on stderr, and failures on stderr; the exit code: 1 if anything failed."""
    place = sys.stderr if on_stderr else sys.stdout
    if as_json:
        print(json.dumps({"results": done.results, "failures": done.failures}, indent=2), file=place)
    else:
        for name, result in done.results.items():
            lines = result_lines(name, result) if isinstance(result, Mapping) else [f"{_text(result)} {name}"]
            print(*map(printable, lines), sep="\n", file=place)
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
