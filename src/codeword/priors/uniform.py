"""The uniform prior, for models without a trained one."""

from collections.abc import Iterator
from math import log
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from codeword.config import PriorModelConfig
from codeword.priors.base import Prior


class UniformState(NamedTuple):
    """Numbers of walked signals and of codes per cell."""

    batch: int
    codes: int


class Uniform(Prior):
    """Every code equally likely, without classes, for any number of codes per cell."""

    any_grid: ClassVar[bool] = True

    def __init__(self, config: PriorModelConfig) -> None:
        super().__init__(config)
        self.classes = 0
        self.served_codes = tuple(range(1, len(self.codebook_sizes) + 1))

    def _log_prob(self, codes: Tensor, label: Tensor | None, counts: Tensor | None = None) -> Tensor:
        cells = codes[0, ..., 0].numel()
        nats = torch.tensor([log(n) for n in self.codebook_sizes], device=codes.device).cumsum(0)
        if counts is None:
            counts = torch.full((len(codes),), codes.shape[-1], device=codes.device)
        return -cells * nats[counts - 1]

    def all_logits(self, codes: Tensor, label: Tensor | None = None) -> Iterator[Tensor]:
        for size in self.codebook_sizes[: codes.shape[-1]]:
            yield torch.zeros(1, device=codes.device).expand(*codes.shape[:-1], size)

    def exact(self) -> Prior:
        return self

    def start(
        self, batch: int, label: Tensor | None = None, *, codes: int | None = None, grid: tuple[int, ...] | None = None
    ) -> UniformState:
        return UniformState(batch, codes or len(self.codebook_sizes))

    def logits(self, state: UniformState, i: int) -> Tensor:
        return torch.zeros(state.batch, self.codebook_sizes[i % state.codes])

    def push(self, state: UniformState, i: int, symbols: Tensor) -> None:
        pass
