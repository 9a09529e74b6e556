"""File formats other than ours, and rates: file sizes divided by the amount of signal in the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codeword.evaluation.measure.intervals import ratio_metric
from codeword.evaluation.results import FileFormat, Metric, exactly

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class OtherFormat:
    """A common file format at one setting; `options` are the keyword arguments of its encoder.

    With `together`, one file holds many images side by side.
    """

    name: str
    setting: str
    lossless: bool
    options: dict[str, Any] = field(default_factory=dict)
    together: bool = False

    @property
    def title(self) -> str:
        """The name of the format, with a note if images share a file."""
        return f"{self.name}, side by side" if self.together else self.name


@dataclass(frozen=True)
class Amounts:
    """Amount of each signal, in values (images) or in seconds (audio), and the unit of a rate that divides by it.

    `samples` is the number of samples of all signals if the rate is not already in bits per value.
    """

    per_signal: Sequence[float]
    unit: str
    samples: int | None = None

    def rate(self, sizes: Sequence[int], *, together: bool) -> Metric:
        """Rate of files of `sizes` bytes: all signals together, or one file for each of the first signals."""
        if together:
            return exactly(8 * sum(sizes) / sum(self.per_signal), self.unit)
        return ratio_metric([8 * size for size in sizes], self.per_signal[: len(sizes)], self.unit)

    def lossless_metrics(self, size: int) -> dict[str, Metric]:
        """Metrics of lossless files of all signals, `size` bytes in total."""
        return {"bits_per_sample": exactly(8 * size / self.samples, "bit/sample")} if self.samples else {}

    def entry(self, form: OtherFormat, sizes: Sequence[int], metrics: dict[str, Metric]) -> FileFormat:
        """Result of writing all signals in another format to files of `sizes` bytes, with `metrics` if it is lossy."""
        return FileFormat(
            name=form.title,
            setting=form.setting,
            kind="lossless" if form.lossless else "lossy",
            signals=len(self.per_signal),
            files=len(sizes),
            bytes=sum(sizes),
            rate=self.rate(sizes, together=form.together),
            metrics=self.lossless_metrics(sum(sizes)) if form.lossless else metrics,
        )
