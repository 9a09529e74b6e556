"""The uniform prior, for models without a trained one."""

from math import log
from typing import ClassVar

import torch
from torch import Tensor

from codeword.config import PriorModelConfig
from codeword.priors.base import Prior


class Uniform(Prior):
    """Every code equally likely, without classes."""

    any_grid: ClassVar[bool] = True

    def __init__(self, config: PriorModelConfig) -> None:
        super().__init__(config)
        self.classes = 0

    def _log_prob(self, codes: Tensor, label: Tensor | None) -> Tensor:
        cells = codes[0, ..., 0].numel()
        return torch.full((len(codes),), -cells * sum(log(n) for n in self.codebook_sizes), device=codes.device)

    def start(self, batch: int, label: Tensor | None = None) -> int:
        return batch

    def logits(self, state: int, i: int) -> Tensor:
        return torch.zeros(state, self.codebook_sizes[i % len(self.codebook_sizes)])

    def push(self, state: int, i: int, symbols: Tensor) -> None:
        pass
