"""Drawing some cells of a grid of codes anew."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.arguments import check_codes
from codeword.errors import UsageError
from codeword.nn.walk import Choose
from codeword.priors.base import Prior, named, walk
from codeword.priors.guided import guided


@torch.no_grad()
def redraw(
    prior: Prior,
    codes: Tensor,
    drawn: Tensor,
    choose: Choose,
    *,
    label: Tensor | None = None,
    guidance: float = 1.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Codes (B, *G, n) whose cells in `drawn` (*G) bool `choose` takes anew, given the others.

    `guidance` is the weight of `guided` for the labels (B,).

    A prior whose order is fixed gives each cell only those before it. One that walks no other grid than its own, which
    is larger, walks that one, and the cells beyond `codes` are dropped.

    Raises:
        UnsupportedError: this prior walks no such grid, or does not serve this number of codes.
        UsageError: the codes, `drawn` or the labels are of another type, shape or range.
    """
    codes = check_codes(codes, prior.codebook_sizes, ndim=len(prior.grid), leading=prior.served_codes)
    grid, count = tuple(codes.shape[1:-1]), codes.shape[-1]
    if drawn.shape != grid or drawn.dtype != torch.bool:
        raise UsageError(
            f"drawn must be booleans of the grid {named(grid)}, not {drawn.dtype} of {named(drawn.shape)}."
        )
    smaller = all(n <= own for n, own in zip(grid, prior.grid, strict=True))
    walked = prior.grid if smaller and not prior.any_grid else grid
    beyond = [n for cells, own in zip(reversed(walked), reversed(grid), strict=True) for n in (0, cells - own)]
    asked = F.pad(drawn, beyond, value=True)
    known = F.pad(codes, [0, 0, *beyond]).flatten(1, -2)
    prior = prior.redrawing(asked)
    order = prior.order(walked)
    open_cells = asked.flatten()[order].tolist()

    def take(logits: Tensor, i: int) -> Tensor:
        number, k = divmod(i, count)
        return choose(logits, i) if open_cells[number] else known[:, order[number], k]

    found = walk(
        guided(prior, prior, guidance), len(codes), take, label=label, grid=walked, codes=count, progress=progress
    )
    return found[(slice(None), *(slice(0, n) for n in grid))]
