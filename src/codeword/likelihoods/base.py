"""What every likelihood offers."""

from abc import ABC, abstractmethod
from math import prod

import torch
from torch import Tensor, nn


class Likelihood(nn.Module, ABC):
    """p(x | features) of signals x (B, C, *S), integers in [0, values), given features (B, F, *S / hop).

    A probability, not a density: over all values of one number it sums to 1. `features` is F.
    """

    features: int
    hop: int = 1
    """How many numbers along each axis one place of the features stands for."""
    sequential: bool = False
    """Whether `mean` and `sample` take one number after another, each a pass through a network."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.channels, self.values = channels, values

    @abstractmethod
    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        """(B, F, *S) and (B, C, *S) to log-probabilities (B,) in nats."""

    @abstractmethod
    def mean(self, features: Tensor) -> Tensor:
        """The expected signal (B, C, *S), real numbers between 0 and values - 1."""

    @abstractmethod
    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One draw (B, C, *S), int64; `generator` lives on the CPU."""

    def loss(self, features: Tensor, x: Tensor) -> Tensor:
        """What training minimises: nats for each number, unless a likelihood says otherwise. ()"""
        return -self.log_prob(features, x).mean() / prod(x.shape[1:])

    def centred(self, x: Tensor) -> Tensor:
        """Integers to real numbers in [-1/2, 1/2], the scale of the report's losses."""
        return x.float() / (self.values - 1) - 0.5

    def restored(self, centred: Tensor) -> Tensor:
        """Real numbers on the scale of `centred` back to [0, values - 1], clipped."""
        return (centred.float() + 0.5).clamp(0, 1) * (self.values - 1)


def uniform(shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform draws strictly inside (0, 1), made on the CPU so that one seed serves every device."""
    return torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7).to(like.device)
