"""Titles of metrics, and published results on the data sets of recipes; all are read from `metrics.toml`."""

import tomllib
from importlib.resources import files
from typing import Any, NamedTuple


class PublishedFigure(NamedTuple):
    """A published figure for one metric on the same data set, as its source prints it."""

    metric: str
    figure: str
    source: str


class PublishedCodec(NamedTuple):
    """Results of a codec: phone error rate against the transcript in percent, PESQ (wide band) and STOI."""

    name: str
    bits_per_second: str
    per: str
    pesq_wb: str
    stoi: str


_KALAL = "Kalal, Karuturi and Budireddy 2024, “VQVAE - Images & Audio” (course report)"
_DATA: dict[str, Any] = tomllib.loads(files(__package__).joinpath("metrics.toml").read_text(encoding="utf-8"))

TITLES: dict[str, str] = _DATA["titles"]
COLUMNS: dict[str, str] = _DATA["columns"]
AXES: dict[str, tuple[str, str]] = {name: (title, label) for name, (title, label) in _DATA["axes"].items()}
LOSSES: dict[str, str] = _DATA["losses"]
PUBLISHED = {
    kind: tuple(PublishedFigure(metric, figure, source.format(kalal=_KALAL)) for metric, figure, source in rows)
    for kind, rows in _DATA["published"].items()
}
CODECS = {kind: tuple(PublishedCodec(*row) for row in rows) for kind, rows in _DATA["codecs"].items()}
