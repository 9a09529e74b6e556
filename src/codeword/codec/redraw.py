"""Draw some cells of the codes of a signal of any size anew."""

from collections.abc import Callable
from math import prod

from torch import Tensor

from codeword.codec.layout import Blocks, block_size
from codeword.errors import UnsupportedError, UsageError
from codeword.model import Model
from codeword.nn.walk import Choose
from codeword.priors import redraw

# Known cells of a sequence before and after those that are drawn.
_CONTEXT = 512


def redraw_codes(
    model: Model,
    codes: Tensor,
    drawn: Tensor,
    choose: Choose,
    *,
    label: Tensor | None = None,
    guidance: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Draw the cells of codes (B, *G, n) anew where `drawn` (*G) bool is True; returns all codes (B, *G, n).

    `choose`, labels (B,) and `guidance` are those of `codeword.priors.redraw`.

    A sequence is walked as a whole, with a context of 512 cells on both sides. A grid that is larger than that of the
    prior is drawn block for block, in raster order; the blocks begin half a block before the first drawn cell.
    `progress` gets the number of walked symbols and that of all.

    Raises:
        UnsupportedError: the model has no trained prior, or one that does not serve this number of codes.
        UsageError: as `codeword.priors.redraw`.
    """
    prior = model.prior
    if not model.draws:
        raise UnsupportedError("The model has no trained prior to draw from; take another model.")
    if drawn.shape != codes.shape[1:-1]:
        raise UsageError(f"The mask has {list(drawn.shape)} cells, and the codes {list(codes.shape[1:-1])}.")
    if not drawn.any():
        return codes
    sequence = prior.any_grid and len(prior.grid) == 1
    near = []
    for axis, own in enumerate(prior.grid):
        places = drawn.nonzero()[:, axis]
        context = _CONTEXT if sequence else own // 2
        near.append(slice(max(0, int(places.min()) - context), int(places.max()) + 1 + context))
    region = (slice(None), *near)
    codes = codes.clone()
    here, drawn_here = codes[region], drawn[tuple(near)]
    grid = tuple(drawn_here.shape)
    blocks = Blocks(grid, grid if sequence else block_size(model, lossless=False))
    parts = [part for number in range(len(blocks)) if drawn_here[part := blocks.region(number)].any()]
    done, symbols = 0, prod(grid if sequence else blocks.block) * codes.shape[-1]
    for part in parts:
        here[(slice(None), *part)] = redraw(
            prior,
            here[(slice(None), *part)],
            drawn_here[part],
            choose,
            label=label,
            guidance=guidance,
            progress=lambda n: progress(done + n, symbols * len(parts)),  # noqa: B023
        )
        done += symbols
    return codes
