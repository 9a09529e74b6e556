"""Refinement of codes by decoding: each is replaced by another codeword where that lowers the error of the signal.

The nearest codeword is the best one only for the encoder. Here the decoder decides, as in the analysis by synthesis of
speech codecs (Atal and Remde 1982). Cells that lie apart are changed at the same time, each for the errors around it.

Shapes: a signal has C channels and the axes *S, its grid *G cells of n codes, a window of it *W cells.
"""

from collections.abc import Callable
from itertools import product
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.coding.tiles import Span, tiles_of
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

# Distance in cells between two that are changed at the same time, and how far around a cell errors decide.
_STRIDE, _RADIUS = 4, 1
# Number of cells in a window that is decoded at once, and the largest margin of cells around it.
_WINDOW_CELLS, _MOST_CONTEXT = 4096, 16


class Candidates(NamedTuple):
    """Codewords (B, *G, c) to try, and what the bits of each cost (B, *G, c)."""

    codes: Tensor
    costs: Tensor

    def at(self, cells: tuple[slice, ...], weights: Tensor) -> "Candidates":
        """Those of some cells, with the costs of each signal times its weight (B,)."""
        costs = self.costs[:, *cells]
        return Candidates(self.codes[:, *cells], weights.view(-1, *[1] * (costs.ndim - 1)) * costs)


def refine(
    tokenizer: Tokenizer,
    x: Tensor,
    codes: Tensor,
    candidates: Callable[[Tensor, int], Candidates],
    *,
    passes: int,
    rate_weight: float,
    label: int | None,
    progress: Callable[[float], None],
) -> Tensor:
    """Codes (B, *G, n) of signals x (B, C, *S), changed where that lowers the error of the decoded signals.

    `progress` receives the finished share of the work.
    """
    grid, rank = tuple(codes.shape[1:-1]), codes.ndim - 2
    codes = codes.clone()
    context = ceil(min(reach(tokenizer.decoder), _MOST_CONTEXT))
    tile = round(_WINDOW_CELLS ** (1 / rank))
    labels = None if label is None else torch.full((len(x),), label, device=tokenizer.device)
    windows = [_Window(tokenizer, x, spans, labels) for spans in tiles_of(grid, tile=tile, context=context)]
    # The errors of the first window set the price of a bit for the whole signal.
    weights = rate_weight * windows[0].errors(codes[:, *windows[0].cells]).flatten(1).mean(1)
    done = 0
    for _, k in product(range(passes), range(codes.shape[-1])):
        others = candidates(codes, k)
        for window in windows:
            own = codes[:, *window.cells]
            errors, tried = window.errors(own), others.at(window.cells, weights)
            for chosen in window.groups:
                own, errors = window.change(own, errors, k, tried, chosen)
            codes[:, *window.cells] = own
            done += 1
            progress(done / (passes * codes.shape[-1] * len(windows)))
    return codes


class _Window:
    """A part of signals x (B, C, *S) that is decoded at once.

    `cells` is its region of the grid. `groups` are masks (*W), each of the cells that are changed at the same time.
    """

    def __init__(self, tokenizer: Tokenizer, x: Tensor, spans: tuple[Span, ...], labels: Tensor | None) -> None:
        self.tokenizer, self.labels, hop = tokenizer, labels, tokenizer.hop
        self.cells = tuple(slice(span.first, span.last) for span in spans)
        self.x = x[:, :, *(slice(span.first * hop, span.last * hop) for span in spans)].to(tokenizer.device)
        self.per = hop // tokenizer.likelihood.hop
        groups = (_group(spans, offset) for offset in product(range(_STRIDE), repeat=len(spans)))
        self.groups = [group for group in groups if group.any()]

    def errors(self, codes: Tensor) -> Tensor:
        """The error of each cell (B, *W), decoded from codes (B, *W, n)."""
        tokenizer = self.tokenizer
        features = tokenizer.features(codes.to(tokenizer.device), self.labels, size=tuple(self.x.shape[2:]))
        errors = tokenizer.likelihood.errors(features, self.x).cpu()
        for axis, n in enumerate(codes.shape[1:-1], start=1):
            padded = _padded(errors, axis, 0, n * self.per - errors.shape[axis])
            errors = padded.unflatten(axis, (n, self.per)).sum(axis + 1)
        return errors

    def change(self, codes: Tensor, errors: Tensor, k: int, tried: Candidates, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (B, *W, n) with the best candidates as code k of the `chosen` cells (*W), and their errors (B, *W).

        Codes and errors are those from before for a signal whose errors and costs would have a larger sum.
        """
        old = tried.costs[..., 0]
        best, now, paid = _around(errors) + old, codes[..., k], old
        for candidate, cost in list(zip(tried.codes.unbind(-1), tried.costs.unbind(-1), strict=True))[1:]:
            other = codes.clone()
            other[..., k] = torch.where(chosen, candidate, codes[..., k])
            total = _around(self.errors(other)) + cost
            better = chosen & (total < best)
            now, best = torch.where(better, candidate, now), torch.where(better, total, best)
            paid = torch.where(better, cost, paid)
        changed = codes.clone()
        changed[..., k] = now
        after = self.errors(changed)
        lower = (after + paid).flatten(1).sum(1) < (errors + old).flatten(1).sum(1)
        shape = (-1, *[1] * (errors.ndim - 1))
        return torch.where(lower.view(*shape, 1), changed, codes), torch.where(lower.view(shape), after, errors)


def _group(spans: tuple[Span, ...], offset: tuple[int, ...]) -> Tensor:
    """The mask (*W) of every `_STRIDE`-th cell of the tile along each axis, from `offset` on."""
    mask = torch.ones((), dtype=torch.bool)
    for span, start in zip(spans, offset, strict=True):
        places = torch.arange(span.first, span.last)
        mask = mask[..., None] & (places >= span.start) & (places < span.stop) & (places % _STRIDE == start)
    return mask


def _around(errors: Tensor) -> Tensor:
    """The sums of the errors (B, *W) of each cell and those next to it."""
    for axis in range(1, errors.ndim):
        n = errors.shape[axis]
        padded = _padded(errors, axis, _RADIUS, _RADIUS)
        errors = torch.stack([padded.narrow(axis, i, n) for i in range(2 * _RADIUS + 1)]).sum(0)
    return errors


def _padded(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    return F.pad(x, [0, 0] * (x.ndim - 1 - axis) + [before, after])
