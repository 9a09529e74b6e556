"""Rates of files: their sizes divided by the amount of signal in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from codeword.evaluation.measure.intervals import ratio_metric
from codeword.evaluation.results import FileFormat, Metric, exactly

Progress = Callable[[int, int], None]


class OtherFormat(Protocol):
    """A common file format with a setting; with `together`, several signals share a file."""

    @property
    def title(self) -> str: ...
    @property
    def setting(self) -> str: ...
    @property
    def lossless(self) -> bool: ...
    @property
    def together(self) -> bool: ...


@dataclass(frozen=True)
class Amounts:
    """Size of each signal, in values or in seconds, and the unit of a rate that divides by it.

    `samples` is the number of samples of all signals if the rate does not say how many bits a sample costs.
    """

    of: Sequence[float]
    unit: str
    samples: int | None = None

    def rate(self, sizes: Sequence[int], *, together: bool) -> Metric:
        """Rate of files of `sizes` bytes: of all signals together, or of the first signals with one file each."""
        if together:
            return exactly(8 * sum(sizes) / sum(self.of), self.unit)
        return ratio_metric([8 * size for size in sizes], self.of[: len(sizes)], self.unit)

    def lossless_metrics(self, size: int) -> dict[str, Metric]:
        """Metrics of lossless files of `size` bytes with all signals."""
        return {"bits_per_sample": exactly(8 * size / self.samples, "bit/sample")} if self.samples else {}

    def entry(self, form: OtherFormat, sizes: Sequence[int], metrics: dict[str, Metric]) -> FileFormat:
        """Result of writing all signals in another format to files of `sizes` bytes, with `metrics` if it is lossy."""
        return FileFormat(
            name=form.title,
            setting=form.setting,
            kind="lossless" if form.lossless else "lossy",
            signals=len(self.of),
            files=len(sizes),
            bytes=sum(sizes),
            rate=self.rate(sizes, together=form.together),
            metrics=self.lossless_metrics(sum(sizes)) if form.lossless else metrics,
        )
