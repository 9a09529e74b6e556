"""The base class of configs, and bounds that several fields share."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

# Upper bounds stop a hostile or mistyped config before anything is built from it.
Width = Annotated[int, Field(ge=1, le=8192)]
Depth = Annotated[int, Field(ge=0, le=256)]
Alphabet = Annotated[int, Field(ge=2, le=1 << 20)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Stride = Annotated[int, Field(ge=1, le=16)]
NonNegative = Annotated[float, Field(ge=0)]
Dilations = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 16)], ...], Field(min_length=1, max_length=256)]
Positive = Annotated[float, Field(gt=0)]
CodebookSizes = Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=64)]
WindowSamples = Annotated[int, Field(ge=16, le=8192)]
HopSamples = Annotated[int, Field(ge=1, le=4096)]
Mels = Annotated[int, Field(ge=4, le=512)]


class Config(BaseModel):
    """A frozen model in which an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


C = TypeVar("C", bound=Config)


def must_be_odd(config: C, field: str) -> C:
    """Validate that a kernel has a centre. Raises ValueError."""
    value = getattr(config, field)
    if value % 2 == 0:
        raise ValueError(f"{field} must be odd, so that it has a centre; try {value + 1}")
    return config
