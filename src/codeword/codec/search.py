"""Codes found by a search, which costs time at encoding and none at decoding.

The code of a vector is usually the nearest codeword. A search finds better ones in three ways:

- `effort`: it compares sums of several codewords.
- `rate_weight`: to the distance of a codeword it adds a price for its bits under the prior (Chou, Lookabaugh and Gray
  1989, with a prior in the place of fixed probabilities).
- `refine`: it decodes, and replaces a code by a codeword near it where that lowers the error of the decoded signal.

Shapes: a signal has C channels and the axes *S, its grid *G cells of n codes; a block has *Q cells.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import log, prod

import torch
from torch import Tensor

from codeword.codec.layout import Blocks, block_size
from codeword.codec.refine import Candidates, refine
from codeword.coding import encode_blocks, encode_signal
from codeword.errors import UsageError
from codeword.media.base import regroup
from codeword.model import Model
from codeword.priors import ExactPrior
from codeword.priors.base import listed
from codeword.tokenizer import Tokenizer, check_effort

MAX_REFINE = 16

# Codewords that refinement tries for each code.
_CANDIDATES = 8
# Cells of a recording that are searched at once.
_PART_CELLS = 1 << 15
# Cells whose distances and bits are in memory at once, and cells of a block along each axis if no prior says more.
_CELLS, _MOST_ALONG_AN_AXIS = 8192, 64


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    Attributes:
        effort: how many sums of codewords are kept after each code of a cell; with 1 only the best, as in
            `Tokenizer.encode`.
        rate_weight: how much the error may grow to save a bit, as a fraction of a cell's mean error.
        refine: number of passes over all codes; a pass decodes with other codewords near each code and keeps the best.

    Raises:
        UsageError: a setting is out of range.
    """

    effort: int = 1
    rate_weight: float = 0.0
    refine: int = 0

    def __post_init__(self) -> None:
        check_effort(self.effort)
        if not isinstance(self.refine, int) or not 0 <= self.refine <= MAX_REFINE:
            raise UsageError(f"refine must be a whole number from 0 to {MAX_REFINE}, not {self.refine!r}.")
        if not isinstance(self.rate_weight, int | float) or not 0 <= self.rate_weight <= 1:
            raise UsageError(f"rate_weight must be a number from 0 to 1, not {self.rate_weight!r}.")

    @property
    def by_vectors(self) -> bool:
        """True if the vector of a cell alone decides its codes, so that `Tokenizer.with_effort` finds them."""
        return not self.rate_weight and not self.refine


PLAIN = Search()
"""The nearest codewords, as in `Tokenizer.encode`."""


@dataclass(frozen=True)
class Price:
    """A prior that tells the bits of codes as in a file: each block of `block` cells alone, given a class."""

    prior: ExactPrior
    block: tuple[int, ...]
    label: int | None = None

    def labels(self, count: int) -> Tensor | None:
        return None if self.label is None or not self.prior.classes else torch.full((count,), self.label)


def price_of(model: Model, codes: int, *, label: int | None = None) -> Price:
    """The price of codes in a file of `model` with `codes` codes a cell. Raises UsageError if its prior cannot tell."""
    prior = model.exact_prior
    if not isinstance(prior, ExactPrior):
        raise UsageError(
            "This model has no prior that files are coded under, so no code costs less; leave rate_weight out."
        )
    if codes not in prior.served_codes:
        raise UsageError(
            f"The prior of this model knows the bits of the first {listed(prior.served_codes)} codes of a cell, not of "
            f"{codes}; choose one of these numbers, or leave rate_weight out."
        )
    return Price(prior, block_size(model, lossless=False), label)


@torch.no_grad()
def search_codes(
    tokenizer: Tokenizer,
    x: Tensor,
    search: Search,
    *,
    codes: int | None = None,
    price: Price | None = None,
    label: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Signals x (B, C, *S) to the first `codes` codes of their cells, by default all: (B, *G, n) int64 on the CPU.

    `rate_weight` needs a `price`. `label` conditions the decoder. `progress` receives the finished share of the work of
    `refine`. The encoder's vectors are all in memory.

    Raises:
        UnsupportedError: the quantizer or the likelihood does not support this search.
    """
    n = codes or len(tokenizer.quantizer.codebook_sizes)
    tokenizer = tokenizer.with_effort(search.effort, codes=n)
    if search.by_vectors:
        return _encode(tokenizer, x)[..., :n]
    z = _encode(tokenizer.vectors_only(), x)
    grid = tuple(z.shape[1:-1])
    weighted = price if search.rate_weight else None
    cells = Blocks(grid, weighted.block if weighted else tuple(min(n, _MOST_ALONG_AN_AXIS) for n in grid))
    vectors = _Vectors(tokenizer, z, cells, weighted, search)
    found = vectors.first_codes(n)
    if search.refine:
        found = refine(
            tokenizer,
            x,
            found,
            vectors.candidates,
            passes=search.refine,
            rate_weight=search.rate_weight,
            label=label,
            progress=progress,
        )
    return found


def search_blocks(
    tokenizer: Tokenizer,
    blocks: Iterable[Tensor],
    search: Search,
    *,
    codes: int | None = None,
    price: Price | None = None,
    label: int | None = None,
    progress: Callable[[int], None] = lambda cells: None,
) -> Iterator[Tensor]:
    """As `search_codes`, for consecutive blocks (C, n, ...) of one signal: yields blocks of codes (g, ..., n).

    `progress` receives the number of finished cells of the next block.

    Unless `search.by_vectors`, signals of one axis are searched in parts of about 32,768 cells, so that memory does not
    grow with the length; each part is encoded alone.
    """
    if search.by_vectors:
        n = codes or len(tokenizer.quantizer.codebook_sizes)
        yield from (part[..., :n] for part in encode_blocks(tokenizer.with_effort(search.effort, codes=n), blocks))
        return
    rows: Iterable[tuple[Tensor, ...]] = ((block.movedim(0, -1),) for block in blocks)
    if tokenizer.config.ndim == 1:
        block = price.block[0] if price else 1
        rows = regroup(rows, max(1, _PART_CELLS // block) * block * tokenizer.hop)
    else:
        rows = [(torch.cat([row for (row,) in rows]),)]
    for (part,) in rows:
        x = part.movedim(-1, 0)[None]
        cells = prod(tokenizer.grid(tuple(x.shape[2:])))

        def report(share: float, cells: int = cells) -> None:
            progress(int(share * cells))

        yield search_codes(tokenizer, x, search, codes=codes, price=price, label=label, progress=report)[0]


def _encode(tokenizer: Tokenizer, x: Tensor) -> Tensor:
    """Signals (B, C, *S) to codes (B, *G, K) on the CPU; several of them are small enough for one pass."""
    return tokenizer.encode(x.to(tokenizer.device)).cpu() if len(x) > 1 else encode_signal(tokenizer, x[0])[None]


class _Vectors:
    """The vectors of signals (B, *G, D) in blocks, with their distances from codewords and the bits of these."""

    def __init__(self, tokenizer: Tokenizer, z: Tensor, cells: Blocks, price: Price | None, search: Search) -> None:
        self.quantizer, self.device = tokenizer.quantizer, tokenizer.device
        self.cells, self.price, self.search = cells, price, search
        self.z = torch.cat([cells.cut(one) for one in z])
        self.mask = cells.mask().repeat(len(z), *[1] * len(cells.grid))
        self.weights, self.few = torch.zeros(len(self.z)), max(1, _CELLS // prod(cells.block))

    def first_codes(self, n: int) -> Tensor:
        """The codes (B, *G, n) of the vectors, without the decoder; sets `weights`, the price of bits in each block."""
        plain = torch.cat(
            [self.quantizer.encode(part.to(self.device))[..., :n].cpu() for part in self.z.split(self.few)]
        )
        if self.price is None:
            return self.join(plain)
        errors = [
            self.quantizer.distances(z, codes, n - 1).gather(-1, codes[..., -1:])[..., 0].cpu()
            for z, codes, *_ in self._parts(plain)
        ]
        of_signals = self.join(torch.cat(errors)).flatten(1).mean(1)
        self.weights = self.search.rate_weight * of_signals.repeat_interleave(len(self.cells))
        walked = [self._walk(z, mask, weights, n) for z, _, mask, weights in self._parts(plain)]
        return self.join(torch.cat(walked))

    def _parts(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Some blocks at a time: vectors and codes (N, *Q, ...), mask (N, *Q) and weights (N,)."""
        parts = (x.split(self.few) for x in (self.z, codes, self.mask, self.weights))
        for z, own, mask, weights in zip(*parts, strict=True):
            yield z.to(self.device), own.to(self.device), mask, weights

    def _walk(self, z: Tensor, mask: Tensor, weights: Tensor, n: int) -> Tensor:
        """Codes (N, *Q, n) of vectors z (N, *Q, D) along the prior's walk, those of each cell by beam search."""
        assert self.price is not None
        prior, count, order = self.price.prior, len(z), self.price.prior.order(self.cells.block)
        state = prior.start(count, self.price.labels(count), codes=n, grid=self.cells.block)
        vectors, present = z.flatten(1, -2), mask.flatten(1)
        walked = torch.zeros(count, len(order), n, dtype=torch.int64)
        for step, cell in enumerate(order.tolist()):
            signals, paths = torch.arange(count), torch.zeros(count, 0, dtype=torch.int64)
            spent = torch.zeros(count)
            for k in range(n):
                bits = _bits(prior.logits(state, step * n + k)) + spent[:, None]
                distances = self.quantizer.distances(vectors[signals, cell], paths.to(z.device), k)
                costs = (distances.cpu() + weights[signals, None] * bits).view(count, -1)
                beams, size = len(paths) // count, bits.shape[1]
                best = costs.topk(min(self.search.effort if k < n - 1 else 1, beams * size), largest=False).indices
                rows = (best // size + torch.arange(count)[:, None] * beams).flatten()
                signals = signals[rows]
                # A reader takes 0 for the codes of cells beyond the grid.
                taken = (best % size).flatten() * present[signals, cell]
                paths, spent = torch.cat([paths[rows], taken[:, None]], 1), bits[rows, taken]
                state.keep(rows)
                prior.push(state, step * n + k, taken)
            walked[:, cell] = paths
        return walked.view(*mask.shape, n)

    def candidates(self, codes: Tensor, k: int) -> Candidates:
        """The best codewords in the place of code k of `codes` (B, *G, n) by distance and bits; itself is the first."""
        blocks = torch.cat([self.cells.cut(one) for one in codes])
        found, costs = [], []
        for z, own, _, weights in self._parts(blocks * self.mask[..., None]):
            distances = self.quantizer.distances(z, own, k).cpu()
            bits = torch.zeros_like(distances)
            if self.price is not None:
                logits = self.price.prior.all_logits(own.cpu(), self.price.labels(len(own)))
                bits = _bits(next(islice(logits, k, None)))
            weight = weights.view(-1, *[1] * (bits.ndim - 1))
            total = (distances + weight * bits).scatter_(-1, own[..., k : k + 1].cpu(), -torch.inf)
            best = total.topk(min(_CANDIDATES + 1, total.shape[-1]), largest=False).indices
            found.append(best)
            costs.append(bits.gather(-1, best))
        return Candidates(self.join(torch.cat(found)), self.join(torch.cat(costs)))

    def join(self, blocks: Tensor) -> Tensor:
        """Blocks (N, *Q, ...) of all signals to (B, *G, ...)."""
        return torch.stack([self.cells.join(of_one) for of_one in blocks.split(len(self.cells))])


def _bits(logits: Tensor) -> Tensor:
    """The bits of each codeword."""
    return torch.log_softmax(logits.float(), -1) / -log(2)
