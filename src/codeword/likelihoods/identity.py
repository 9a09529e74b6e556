"""The likelihood of tokens: the codes are the signal."""

import torch
from torch import Tensor

from codeword.likelihoods.base import Likelihood


class Identity(Likelihood):
    """Features (B, C, *S) are the centred signal itself, which is certain: log p(x | features) is 0 for it."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__(channels, values)
        self.features = channels

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        same = (self.mean(features).round() == x).flatten(1).all(1)
        return torch.where(same, 0.0, -torch.inf)

    def mean(self, features: Tensor) -> Tensor:
        return self.restored(features)

    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self.mean(features).round().long()
