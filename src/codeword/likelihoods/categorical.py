"""One softmax over all values for each channel, as in the VQ-VAE paper's bits per dimension."""

from collections.abc import Sequence

import torch
from torch import Tensor

from codeword.likelihoods.base import Likelihood, gumbel


class Categorical(Likelihood):
    """The features are `values` logits for each channel; numbers are independent given the features."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__(channels, values)
        self.features = channels * values

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        log_probs: Tensor = self._logits(features).log_softmax(2)
        taken = log_probs.gather(2, x.long().unsqueeze(2))
        return taken.flatten(1).sum(1)

    def channel_probabilities(self, features: Tensor, channel: int, before: Sequence[Tensor]) -> Tensor:
        return self._logits(features)[:, channel].movedim(1, -1).softmax(-1)

    def mean(self, features: Tensor) -> Tensor:
        weights: Tensor = self._logits(features).softmax(2)
        values = torch.arange(self.values, device=features.device, dtype=weights.dtype)
        return (weights.movedim(2, -1) @ values).contiguous()

    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        logits = self._logits(features)
        return torch.argmax(logits + gumbel(logits.shape, logits, generator), dim=2)

    def _logits(self, features: Tensor) -> Tensor:
        """(B, C * values, *S) to (B, C, values, *S)."""
        logits: Tensor = features.float().unflatten(1, (self.channels, self.values))
        return logits
