"""Results of the parts of the benchmarks, as one JSON object or as a table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Ratio:
    """Our speed divided by the peer's; `ours` and `peer` describe the two."""

    name: str
    value: float
    ours: str
    peer: str


@dataclass(frozen=True)
class Report:
    """Ratios and the figures behind them; the names of figures end in their units."""

    ratios: list[Ratio] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def as_json(reports: Sequence[Report], machine: str) -> str:
    """One object: every ratio and every figure by name, and the machine as text."""
    tree: dict[str, Any] = {
        "ratios": {ratio.name: rounded(ratio.value) for report in reports for ratio in report.ratios},
        "figures": {name: rounded(value) for report in reports for name, value in report.figures.items()},
        "machine": machine,
    }
    return json.dumps(tree, indent=2, allow_nan=False)


def as_tables(reports: Sequence[Report], machine: str) -> list[Table]:
    """A table of the ratios, each row naming its peer, and one of the figures."""
    ratios = Table(title=machine, title_justify="left")
    for name in ("ratio", "value", "ours", "peer"):
        # A truncated name cannot be looked up.
        ratios.add_column(name, no_wrap=name in ("ratio", "value"))
    figures = Table("figure", "value")
    for report in reports:
        for ratio in report.ratios:
            ratios.add_row(ratio.name, f"{ratio.value:.3g}", ratio.ours, ratio.peer)
        for name, value in report.figures.items():
            figures.add_row(name, f"{rounded(value):,}")
    return [table for table in (ratios, figures) if table.row_count]


def rounded(value: float) -> float:
    """Rounded to four significant digits: a timing has no more."""
    return float(f"{value:.4g}")
