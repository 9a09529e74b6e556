"""Bodies of the JSON interface of the page."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from codeword.config import Config
from codeword.errors import UsageError

MOST_CODES = 1 << 18
"""Largest number of codes in a request."""

Shape = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2, max_length=4)]
Label = Annotated[int, Field(ge=0)] | None
Temperature = Annotated[float, Field(ge=0, le=10)]
Seed = Annotated[int, Field(ge=0, lt=1 << 53)]


class Codes(Config):
    """Codes (*G, n), flat in `codes`, and the class that conditions the prior or the voice that decodes them."""

    codes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=MOST_CODES)]
    shape: Shape
    label: Label = None

    def tensor(self) -> Tensor:
        """The codes (*G, n). Raises UsageError if there are not as many as the shape says."""
        if len(self.codes) != torch.Size(self.shape).numel():
            raise UsageError(f"{len(self.codes)} codes do not fill the shape {list(self.shape)}.")
        return torch.tensor(self.codes).view(self.shape)


class Decode(Codes):
    """Codes to decode to a signal of `size` *S."""

    size: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=3)]


class Cell(Config):
    """The codes of one cell."""

    codes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=64)]
    label: Label = None


class Sample(Config):
    """A draw from the prior."""

    label: Label = None
    temperature: Temperature = 1.0
    seed: Seed = 0
    cells: Annotated[int, Field(ge=1, le=1000)] | None = None


class Redraw(Codes):
    """Codes of which the cells in `mask`, numbered in raster order, are drawn anew."""

    mask: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=MOST_CODES)]
    temperature: Temperature = 1.0
    seed: Seed = 0

    def mask_tensor(self) -> Tensor:
        """The mask (*G) bool. Raises UsageError if a cell is not on the grid."""
        grid = torch.Size(self.shape[:-1])
        if max(self.mask) >= grid.numel():
            raise UsageError(f"The grid has cells 0 to {grid.numel() - 1}, and the mask names {max(self.mask)}.")
        mask = torch.zeros(grid.numel(), dtype=torch.bool)
        mask[list(self.mask)] = True
        return mask.view(grid)
