"""Figures of a report: functions from data to a Matplotlib figure, without the global state of pyplot."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter
from PIL import Image
from torch import Tensor

DPI = 150
WIDTH_INCHES = 10.0

BLUE, ORANGE, GREEN, GREY, INK = "#1f5f99", "#c8601a", "#3f8f5f", "#a9b6c4", "#222b36"
CODE_COLOURS = (BLUE, ORANGE, GREEN, "#8a5aa8", "#b0914a", "#4aa3b0", "#b04a6d", "#6d7b8a")

_MAX_MAGNIFICATION = 24


@dataclass(frozen=True)
class Sound:
    """A recording to play: x (1, T), integers in [0, values); `name` is its file name without suffix."""

    name: str
    label: str
    x: Tensor
    sample_rate: int
    values: int


@dataclass(frozen=True)
class Section:
    """One figure of the report with its caption; `name` is its file name without suffix.

    `sounds` are rows of players, each with a label. With `small_palette` the figure has 128 colours: the file of a
    spectrogram is then a third as large.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]
    sounds: Sequence[tuple[str, Sequence[Sound]]] = ()
    small_palette: bool = False


@dataclass(frozen=True)
class Line:
    """One curve with a dot at each point. A `faint` curve is thin and has no dots, for many noisy points.

    With `dots` it is large dots without a line, hollow if it is also `dashed`.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    faint: bool = False
    dashed: bool = False
    dots: bool = False
    step_s: float = 0
    """Seconds that a step of x takes, if x are steps of a training."""


@dataclass(frozen=True)
class Panel:
    """One set of axes; `limit` is a value with its label, drawn as a dashed line; `log_x` is for rates.

    `x_names` are the names of the places 0, 1, and so on of the x axis, if these are not numbers. With `names_at_dots`
    the label of a line stands next to its first point, in place of a legend.
    """

    title: str
    y_label: str
    lines: Sequence[Line]
    x_label: str = "training step"
    limit: tuple[float, str] | None = None
    percent: bool = False
    log_x: bool = False
    x_names: Sequence[str] = ()
    names_at_dots: bool = False


def panels_figure(panels: Sequence[Panel], *, columns: int | None = None) -> Figure:
    """Panels side by side; values that span more than a factor of ten get a logarithmic axis.

    With `columns`, the number of panels in a row, all have one y axis and one legend.
    """
    rows, dot = ceil(len(panels) / (columns or len(panels))), 6 if columns else 9
    figure = Figure(figsize=(WIDTH_INCHES, 3.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns or len(panels), squeeze=False, sharey=columns is not None).ravel()
    for unused in grid[len(panels) :]:
        unused.remove()
    for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        _decorate(axes, panel.title, panel.x_label, "" if columns and place % columns else panel.y_label)
        for line in panel.lines:
            style: dict[str, Any] = {"ls": "--" if line.dashed else "-"}
            style |= {"lw": 1.1} if line.faint else {"lw": 1.8, "marker": "o", "ms": 3.5}
            if line.dots:
                style |= {"ls": "", "ms": dot, "mew": 2, "mfc": "white" if line.dashed else line.colour, "zorder": 3}
            axes.plot(line.x, line.y, color=line.colour, label=line.label, **style)
            if panel.names_at_dots:
                _write_beside(axes, line)
        if panel.limit is not None:
            axes.axhline(panel.limit[0], color=INK, lw=1, ls=(0, (4, 3)), label=panel.limit[1])
        values = [y for line in panel.lines for y in line.y]
        if panel.limit is not None or panel.percent:
            axes.set_ylim(bottom=0)
        elif not panel.log_x and values and min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
        if panel.percent:
            axes.set_ylim(top=1.04)
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        _mark_x(axes, panel)
        _add_time(axes, max((line.step_s for line in panel.lines), default=0))
        if not panel.names_at_dots and (columns is None or place == 0):
            axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    return figure


def _write_beside(axes: Axes, line: Line) -> None:
    at: dict[str, Any] = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(line.label, (line.x[0], line.y[0]), fontsize=9, color=INK, parse_math=False, **at)


def _mark_x(axes: Axes, panel: Panel) -> None:
    if panel.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    elif panel.x_names:
        axes.set_xticks(range(len(panel.x_names)), panel.x_names, parse_math=False)
        axes.set_xlim(-0.4, len(panel.x_names) - 0.6)
    else:
        whole = all(float(x).is_integer() for line in panel.lines for x in line.x)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))


def _add_time(axes: Axes, step_s: float) -> None:
    """A second x axis, above the panel, with the time that the steps of a training took, unless `step_s` is 0."""
    if not step_s:
        return
    unit_s, unit = (3600, "hours") if axes.get_xlim()[1] * step_s > 5400 else (60, "minutes")
    ways = partial(np.multiply, step_s / unit_s), partial(np.multiply, unit_s / step_s)
    above = axes.secondary_xaxis("top", functions=ways)
    above.set_xlabel(unit, color=INK, fontsize=9)
    above.spines["top"].set_visible(False)
    above.tick_params(color=GREY, labelcolor=INK, labelsize=8)


def code_use_figure(counts: Sequence[Tensor]) -> Figure:
    """Frequency of each codeword, most frequent first, for each of the K histograms `counts` (size,)."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.5), layout="constrained")
    axes = figure.subplots()
    _decorate(axes, "", "codeword, the most frequent first", "times used")
    size = max(len(c) for c in counts)
    for k, histogram in enumerate(counts):
        used = histogram.sort(descending=True).values.numpy()
        used = used[used > 0]
        colour = CODE_COLOURS[k % len(CODE_COLOURS)]
        label = f"{'codewords' if len(counts) == 1 else f'code {k + 1}'}: {len(used)} of {len(histogram)} used"
        edges = torch.arange(len(used) + 1).numpy()
        # The baseline stays below one, so that a codeword used once is visible on the logarithmic axis.
        axes.stairs(used, edges, baseline=0.5, fill=len(counts) == 1, color=colour, lw=1.6, label=label)
        if len(counts) == 1:
            axes.axhline(float(histogram.sum()) / size, color=INK, lw=1, ls=(0, (4, 3)), label="all equally frequent")
            axes.axvspan(len(used), size, color="#f1e3d8", lw=0, label="never used" if len(used) < size else None)
    axes.set_yscale("log")
    axes.set_xlim(0, size)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_ylim(bottom=0.5)
    # The legend is above the axes: a flat histogram fills all of them.
    axes.legend(
        frameon=False, fontsize=9, labelcolor=INK, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2
    )
    return figure


@dataclass(frozen=True)
class Note:
    """A short text of `points` size at pixel (x, y) of the picture in `row` and `column` of a mosaic."""

    row: int
    column: int
    x: float
    y: float
    text: str
    colour: str
    points: float


def mosaic_figure(pictures: Tensor, *, row_labels: Sequence[str] = (), notes: Sequence[Note] = ()) -> Figure:
    """Pictures (rows, columns, 3, H, W) in [0, 1] on white, all magnified by the same integer."""
    rows, columns, _, height, width = pictures.shape
    gap = max(1, round(max(height, width) / 16))
    canvas = torch.ones(rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = pictures[row, column].permute(1, 2, 0)
    margin = 1.05 if row_labels else 0.0
    available = (WIDTH_INCHES - margin) * DPI
    magnification = int(min(max(1, available // canvas.shape[1]), _MAX_MAGNIFICATION))
    # An integer number of dots for each pixel: otherwise some pixels are wider than others.
    across, down = canvas.shape[1] * magnification / DPI, canvas.shape[0] * magnification / DPI
    figure = Figure(figsize=(margin + across, down))
    axes = figure.add_axes((margin / (margin + across), 0, across / (margin + across), 1))
    axes.imshow(canvas.clamp(0, 1).numpy(), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for row, label in enumerate(row_labels):
        # Labels may be names of folders: without `parse_math` a dollar sign does not start a formula.
        shown = label if len(label) <= 16 else label[:15] + "…"
        middle = row * (height + gap) + (height - 1) / 2
        style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 9, "color": INK, "parse_math": False}
        axes.annotate(shown, (-0.5, middle), xytext=(-8, 0), textcoords="offset points", **style)
    for note in notes:
        x, y = note.column * (width + gap) + note.x, note.row * (height + gap) + note.y
        axes.text(x, y, note.text, color=note.colour, fontsize=note.points, ha="center", va="center_baseline")
    return figure


def png(figure: Figure, *, small_palette: bool = False) -> bytes:
    """The figure as a PNG file, of 128 colours with `small_palette`."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack characters of a class name; Matplotlib draws a box for each of them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if not small_palette:
        return buffer.getvalue()
    reduced = io.BytesIO()
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(reduced, format="png", optimize=True)
    return reduced.getvalue()


def _decorate(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=9, which="both")
    axes.grid(axis="y", color="#e6eaef", lw=0.8)
    axes.set_axisbelow(True)
