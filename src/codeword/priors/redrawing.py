"""Drawing some cells of a grid of codes anew."""

from collections.abc import Callable

import torch
from torch import Tensor

from codeword.arguments import check_codes
from codeword.errors import UsageError
from codeword.nn.grids import extended
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
    """Draw the cells of codes (B, *G, n) anew where `drawn` (*G) bool is True; returns all codes (B, *G, n).

    `choose` takes the new symbols, as in `walk`. They depend on the known cells that the prior visits before them: on
    all known cells for a masked prior, and on those before them in raster order for the others. `guidance` is the
    weight of `guided` for the labels (B,). A prior that walks its own grid only, which is larger than that of the
    codes, walks all of it, and the cells beyond are dropped.

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
    asked = extended(drawn, walked, value=True)
    known = extended(codes, walked, first=1).flatten(1, -2)
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
