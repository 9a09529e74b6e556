"""The base class of configs, and bounds that several fields share."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Upper bounds stop a hostile or mistyped config before anything is built from it.
Width = Annotated[int, Field(ge=1, le=8192)]
Depth = Annotated[int, Field(ge=0, le=256)]
Alphabet = Annotated[int, Field(ge=2, le=1 << 20)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Stride = Annotated[int, Field(ge=1, le=16)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
CodebookSizes = Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)]
WindowSamples = Annotated[int, Field(ge=16, le=8192)]
HopSamples = Annotated[int, Field(ge=1, le=4096)]
Mels = Annotated[int, Field(ge=4, le=512)]


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"a kernel must be odd, so that it has a centre; try {size + 1}")
    return size


def _bounded(dilations: tuple[int, ...]) -> tuple[int, ...]:
    # The walk keeps as many inputs of each signal in memory; no weight confirms them.
    if (total := sum(dilations)) > MOST_DILATION:
        raise ValueError(f"dilations add up to {total}; at most {MOST_DILATION} are allowed")
    return dilations


def check_overlap(n_fft: int, hop: int) -> None:
    """Raise ValueError if a sample lies in too many windows, because each of them takes memory for it."""
    if n_fft > MOST_WINDOWS * hop:
        raise ValueError(f"n_fft may be at most {MOST_WINDOWS} times hop, {MOST_WINDOWS * hop}, not {n_fft}")


MOST_DILATION, MOST_WINDOWS = 1 << 14, 32

Kernel = Annotated[int, Field(ge=3, le=31), AfterValidator(_odd)]
Dilations = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=256), AfterValidator(_bounded)
]


class Config(BaseModel):
    """A frozen model in which an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
