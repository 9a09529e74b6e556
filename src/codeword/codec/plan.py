"""How the work on a file is divided: part of the format, for whoever reads must divide alike."""

from dataclasses import dataclass
from math import prod

from codeword.model import Model

# Some 10 s of speech at 50 cells a second: what one damaged segment loses, and as much as a prior looks back on.
_ROW_CELLS = 512
_AREA_CELLS = 16
# Lossless blocks are decoded alone, each without its neighbourhood; of samples, and of pixels along each axis.
_ROW_VALUES, _AREA_VALUES = 16_384, 64

_MOST_LANES = 64
_MOST_PLACES = 1 << 16


@dataclass(frozen=True)
class Plan:
    """Blocks of `block` cells, `lanes` of them at a time, each `share` of those in one segment."""

    block: tuple[int, ...]
    lanes: int
    share: int

    @classmethod
    def of(cls, model: Model, *, blocks: int, lossless: bool) -> "Plan":
        """For so many blocks in all, of the size that `block_of` says."""
        block, hop = block_of(model, lossless=lossless), model.tokenizer.hop
        most = _MOST_LANES
        if lossless and not model.tokenizer.likelihood.sequential:
            # The probabilities of all values at all places of all lanes are in memory at once.
            most = max(1, min(most, _MOST_PLACES // prod(n * hop for n in block)))
        lanes = min(most, 1 << max(0, blocks - 1).bit_length())
        # A recording's segments are lost one by one; of images, there is more to save.
        return cls(block, lanes, 1 if len(block) == 1 else lanes)


def block_of(model: Model, *, lossless: bool) -> tuple[int, ...]:
    """The cells of a block: what the prior was trained on, or what is handy where it takes any."""
    prior, hop = model.prior, model.tokenizer.hop
    if not prior.any_grid:
        return prior.grid
    rank = len(prior.grid)
    if lossless:
        return (max(1, (_ROW_VALUES if rank == 1 else _AREA_VALUES) // hop),) * rank
    return (_ROW_CELLS if rank == 1 else _AREA_CELLS,) * rank
