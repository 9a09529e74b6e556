"""The state that walks of all priors over cells share."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(kw_only=True)
class CellState:
    """State of the walk within a cell: the head's features (B, head), and the codes (B,) of the cell so far.

    `codes` is the number of codes per cell.
    """

    codes: int
    hidden: Tensor | None = None
    cell: list[Tensor] = field(default_factory=list)
