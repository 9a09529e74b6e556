"""A codebook that finds its size while it is trained: cells are split, and codewords merged, toward a target.

Nothing here is random, and all decisions come from sums over all ranks.
"""

from math import ceil, log
from typing import NamedTuple

import torch
from torch import Tensor

from codeword.config import CodebookConfig, DynamicSizeConfig
from codeword.nn.distributed import maximum_over_ranks, sum_over_ranks
from codeword.quantizers.codebook import Codebook
from codeword.quantizers.usage import entropy_bits

FASTEST = 1.25
"""Largest factor of the size at one change."""
HASTE = 2.0
"""Power of the factor by which the error misses its target: the error of vectors of d equal axes falls with the power
-2 / d of the size, so 2 meets it at once at d = 4, and in some changes at every other d of 2 or more."""
SWAPPED = 0.05
"""Largest share of the codewords that move at a change from where they save little error to where they save more."""
MOST_SAVED = 0.25
"""Largest share of the error of a cell that a split is expected to save: a cell halved along one of d equal axes loses
1 - 2^(-2 / d) of it, which is a quarter at d = 5."""
MARGIN = 2.0
"""A codeword moves only if this saves twice as much error as its leaving costs, because both are estimates."""


class Pairs(NamedTuple):
    """For each living codeword (n,): its row, the row of its cheapest partner, and the error that merging adds."""

    row: Tensor
    partner: Tensor
    cost: Tensor


class DynamicCodebook(Codebook):
    """Codewords in `size` slots, of which those in the mask `living` (size,) are searched.

    The further state is the decayed sums of squared distances `errors` (size,) of the vectors to their codewords, and
    the number of training steps `age` (). A split parts a cell as in the LBG algorithm (Linde et al. 1980), along the
    direction of its farthest vector rather than of noise. Merging i and j adds n_i n_j / (n_i + n_j) |e_i - e_j|^2 to
    the error (Ward 1963), which is small for codewords that are rare or near to another one.
    """

    living: Tensor
    errors: Tensor
    age: Tensor

    def __init__(self, config: CodebookConfig, size: int, dim: int) -> None:
        super().__init__(config, size, dim)
        assert config.size is not None
        self.size_config: DynamicSizeConfig = config.size
        self.counts[self.start :] = 0.0
        self.sums[self.start :] = 0.0
        self.register_buffer("living", torch.arange(size) < self.start)
        self.register_buffer("errors", torch.zeros(size))
        self.register_buffer("age", torch.tensor(0))

    @property
    def start(self) -> int:
        assert self.config.size is not None
        return self.config.size.start

    @property
    def costs(self) -> Tensor:
        paid = super().costs
        return torch.where(self.living, 0.0 if paid is None else paid, torch.inf)

    @property
    def error_share(self) -> float:
        """The mean squared distance to codewords, as a share of the variance of the vectors."""
        return float(self.errors.sum() / self._spread().clamp(min=1e-30))

    def used(self, counts: Tensor) -> Tensor:
        """The rows of codewords that occur in `counts` (size,), two at least."""
        order = (counts + 0.5 * self.living).argsort(descending=True, stable=True)
        return order[: max(2, int((counts > 0).sum()))].sort().values

    @torch.no_grad()
    def follow(self, z: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        if not self.frozen:
            rows, distances = codes.reshape(-1), (z - self.lookup(codes)).square().sum(-1).reshape(-1)
            errors = torch.zeros_like(self.errors).index_add_(0, rows, distances)
            sum_over_ranks(errors)
            self.errors.lerp_(errors, 1 - self.config.decay)
        super().follow(z, codes, generator)

    def _renew(self, z: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        """Change the size every few steps, by vectors z (N, dim) assigned to codes (N,)."""
        self.age += 1
        if int(self.age) % self.size_config.every or int(self.age) > self.size_config.steps:
            return
        pairs = self._pairs()
        # A split saves about as much as merging the cheapest pairs would cost.
        both = self.errors[pairs.row] + self.errors[pairs.partner] + pairs.cost
        saved = (pairs.cost / both.clamp(min=1e-30)).median().clamp(max=MOST_SAVED)
        gains = saved * self.errors[pairs.row]
        count = len(gains)
        factor = min(max(self._factor(z), 1 / FASTEST), FASTEST)
        # Few codewords would stay as they are by rounding.
        wanted = round(count * factor) if abs(factor - 1) < 0.1 else ceil(count * factor) - (factor < 1)
        wanted = min(max(wanted, 2), len(self.living))
        cheap, eager = pairs.cost.argsort(), gains.argsort(descending=True)
        tried = int(SWAPPED * count)
        pays = gains[eager[:tried]] > MARGIN * pairs.cost[cheap[:tried]]
        swaps = int(pays.long().cumprod(0).sum())
        self._merge(pairs, cheap[: max(0, count - wanted) + swaps])
        self._split(z, codes, pairs.row[eager[: max(0, wanted - count) + swaps]])

    def _factor(self, z: Tensor) -> float:
        """The factor of the size that leads to the target, or at least toward it."""
        config = self.size_config
        if config.rate_bits is not None:
            return float(2 ** (config.rate_bits - entropy_bits(self.counts)))
        if config.error_share is not None:
            return float((self.error_share / config.error_share) ** HASTE)
        assert config.price is not None
        return float((self._slope(z) / config.price) ** HASTE)

    def _slope(self, z: Tensor) -> float:
        """The error that one more bit saves, as a share of the variance, for Gaussian vectors as z (N, dim).

        Reverse water-filling (Cover and Thomas 2006, theorem 10.3.3): the error is the sum of min(level, variance) over
        the principal axes, and a bit saves 2 ln 2 times the level.
        """
        ones = torch.cat([torch.ones_like(z[:, :1]), z], 1).double()
        moments = ones.t() @ ones
        sum_over_ranks(moments)
        mean = moments[0, 1:] / moments[0, 0]
        variances = torch.linalg.eigvalsh(moments[1:, 1:] / moments[0, 0] - mean.outer(mean)).clamp(min=0)
        error = self.error_share * variances.sum()
        left = torch.arange(len(variances), 0, -1, device=z.device)
        levels = (error - variances.cumsum(0) + variances) / left
        level = levels[(levels <= variances).long().argmax()]
        return float(2 * log(2) * level / variances.sum().clamp(min=1e-30))

    def _pairs(self) -> Pairs:
        """The cheapest partner of each living codeword."""
        row = self.living.nonzero().squeeze(1)
        vectors, counts = self.vectors[row], self.counts[row]
        cost, partner = torch.empty_like(counts), torch.empty_like(row)
        for first in range(0, len(row), 1024):
            part = slice(first, first + 1024)
            weights = counts[part, None] * counts / (counts[part, None] + counts).clamp(min=1e-30)
            costs = weights * torch.cdist(vectors[part], vectors).square()
            costs.diagonal(first).fill_(torch.inf)
            cost[part], partner[part] = costs.min(1)
        return Pairs(row, row[partner], cost)

    def _merge(self, pairs: Pairs, chosen: Tensor) -> None:
        """Merge the chosen pairs, of which each codeword is in one at most; two codewords stay."""
        touched: set[int] = set()
        kept, gone, left = list[int](), list[int](), len(pairs.row)
        rows, partners = pairs.row.tolist(), pairs.partner.tolist()
        for i in chosen.tolist():
            if touched.isdisjoint((rows[i], partners[i])) and left > 2:
                touched |= {rows[i], partners[i]}
                gone.append(rows[i])
                kept.append(partners[i])
                left -= 1
        for state in (self.counts, self.sums, self.errors):
            state[kept] += state[gone]
            state[gone] = 0.0
        cost = dict(zip(rows, pairs.cost.tolist(), strict=True))
        self.errors[kept] += self.errors.new_tensor([cost[row] for row in gone])
        self.vectors[kept] = self._normalise(self.sums[kept] / self.counts[kept, None].clamp(min=1e-30))
        self.living[gone] = False

    def _split(self, z: Tensor, codes: Tensor, rows: Tensor) -> None:
        """Split the cells of `rows` that still live, as far as there are slots, at vectors z (N, dim)."""
        offset = z - self.vectors[codes]
        distance = offset.square().sum(1)
        farthest = torch.zeros_like(self.errors).scatter_reduce_(0, codes, distance, "amax")
        maximum_over_ranks(farthest)
        at_end = distance == farthest[codes]
        ends = torch.zeros_like(self.sums).index_add_(0, codes[at_end], offset[at_end])
        sum_over_ranks(ends)
        side = ((offset * ends[codes]).sum(1) > 0).float()
        # Numbers and sums of the vectors on the side of the farthest one, and of all.
        numbers, sums = z.new_zeros(2, len(self.counts)), z.new_zeros(2, *self.sums.shape)
        for k, weight in enumerate((side, torch.ones_like(side))):
            numbers[k].index_add_(0, codes, weight)
            sums[k].index_add_(0, codes, offset * weight[:, None])
        sum_over_ranks(numbers, sums)
        rows = rows[self.living[rows] & (numbers[0] > 0)[rows] & (numbers[0] < numbers[1])[rows]]
        free = (~self.living).nonzero().squeeze(1)[: len(rows)]
        rows = rows[: len(free)]
        (near, whole), (near_sum, whole_sum) = numbers[:, rows, None], sums[:, rows]
        share, gap = near / whole, near_sum / near - (whole_sum - near_sum) / (whole - near)
        counts, share_ = self.counts[rows], share.squeeze(1)
        saved = counts * share_ * (1 - share_) * gap.square().sum(1)
        errors = torch.maximum(self.errors[rows] - saved, self.errors[rows] / 2)
        vectors = self.vectors[rows]
        for place, part, shift in ((free, share, 1 - share), (rows, 1 - share, -share)):
            self.vectors[place] = self._normalise(vectors + shift * gap)
            self.counts[place] = part.squeeze(1) * counts
            self.sums[place] = self.vectors[place] * self.counts[place, None]
            self.errors[place] = part.squeeze(1) * errors
        self.living[free] = True

    def _spread(self) -> Tensor:
        """The sum of squared distances of vectors to their mean, as `errors` counts them."""
        mean = self.sums.sum(0) / self.counts.sum().clamp(min=1e-30)
        between = (self.counts * (self.vectors - mean).square().sum(1))[self.living].sum()
        return self.errors.sum() + between
