"""The interface of likelihoods."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from codeword.errors import UnsupportedError
from codeword.nn.walk import Choose
from codeword.spectra.stft import LogMel

MOST_LISTED = 1024
"""The largest number of values for which lossless coding lists the probability of each."""


class Likelihood(nn.Module, ABC):
    """p(x | features) of signals x (B, C, *S), integers in [0, values), given features (B, F, *S / hop).

    A probability, not a density: over all values of one number it sums to 1. `features` is F.

    Example:
        >>> import torch
        >>> from codeword.config import CategoricalConfig
        >>> from codeword.likelihoods import build_likelihood
        >>> likelihood = build_likelihood(CategoricalConfig(), channels=1, values=4)
        >>> features, x = torch.zeros(2, likelihood.features, 8), torch.zeros(2, 1, 8, dtype=torch.int64)
        >>> likelihood.log_prob(features, x)  # 8 samples of log(1/4) nats
        tensor([-11.0904, -11.0904])
        >>> likelihood.mean(features).shape
        torch.Size([2, 1, 8])
    """

    features: int
    hop: int = 1
    """Values along each axis for one place of the features."""
    reach: float = 0
    """Values to each side on which a value of `finish` depends; infinite if it depends on the whole signal."""
    period: int = 1
    """Values. A window of the features gives the same `mean` as the whole only if it starts on a multiple of this."""
    one_pass: bool = True
    """True if one pass through the network computes `mean`; False if it takes iterations or a pass for each value."""
    phases_are_synthesised: bool = False
    """True if the features have no phases, and `mean` finds some that fit."""
    sequential: bool = False
    """True if `mean` and `sample` take one value after another, each a pass through a network."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.channels, self.values = channels, values

    @abstractmethod
    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        """(B, F, *S) and (B, C, *S) to log-probabilities (B,) in nats."""

    @abstractmethod
    def mean(self, features: Tensor) -> Tensor:
        """The expected signal (B, C, *S), real numbers from 0 to values - 1."""

    def begin(self, features: Tensor, after: Any = None) -> tuple[Tensor, Any]:
        """The part of `mean` that depends on all features before, for streams: (B, F, n) to (B, G, n), and a state.

        `after` is the state of the features before these. By default there is no such part.
        """
        return features, None

    def finish(self, begun: Tensor) -> Tensor:
        """The rest of `mean`, from a window (B, G, n) of what `begin` gave."""
        return self.mean(begun)

    @abstractmethod
    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One draw (B, C, *S), int64; `generator` lives on the CPU."""

    @torch.no_grad()
    def walk(self, features: Tensor, choose: Choose) -> Tensor:
        """Take every number, channel by channel, letting `choose` take all places of one at once; (B, C, *S) int64.

        `choose` is offered probabilities, not logits; the product of those of the numbers taken is exp(`log_prob`).

        Raises:
            UnsupportedError: this likelihood has no list of all values' probabilities, or it would be too long.
        """
        if self.values > MOST_LISTED:
            raise UnsupportedError(
                f"Numbers of {self.values:,} values are too many to list the probabilities of each; lossless needs a "
                f"model of at most {MOST_LISTED:,} values: pixels, or mu-law samples (data.values=256)."
            )
        taken: list[Tensor] = []
        for channel in range(self.channels):
            weights = self.channel_probabilities(features, channel, taken)
            taken.append(choose(weights.flatten(1, -2), channel).view(weights.shape[:-1]))
        return torch.stack(taken, 1)

    def step(self, i: int, size: tuple[int, ...]) -> tuple[int, slice | Tensor]:
        """The channel that step i of `walk` takes, and its places on the flattened axes *S of a signal of `size`."""
        return i, slice(None)

    def channel_probabilities(self, features: Tensor, channel: int, before: Sequence[Tensor]) -> Tensor:
        """Those (B, *S, values) of one channel's numbers, given those (B, *S) of the channels before. See `walk`."""
        raise UnsupportedError(
            f"A {type(self).__name__} likelihood lists no probabilities of all values, so its numbers cannot be coded; "
            f"lossless needs a model whose likelihood is gaussian, categorical, logistic-mixture, interleaved or "
            f"wavenet."
        )

    def loss(self, features: Tensor, x: Tensor) -> Tensor:
        """The training loss (): nats per number, unless a subclass defines another."""
        return -self.log_prob(features, x).mean() / prod(x.shape[1:])

    def errors(self, features: Tensor, x: Tensor) -> Tensor:
        """The error of the expected signal at each place (B, *S / hop); a search of codes minimises the sum.

        It is the squared error on the scale of `centred`, unless a subclass defines another.

        Raises:
            UnsupportedError: the expected signal takes more than one pass to compute.
        """
        if not self.one_pass:
            raise UnsupportedError(
                f"A {type(self).__name__} likelihood takes many passes for an expected signal, too many for each code "
                f"that refine tries; leave refine out."
            )
        return (self.centred(self.mean(features)) - self.centred(x)).square().sum(1)

    def log_mels(self, features: Tensor, mel: LogMel) -> Tensor:
        """The log-mels (B, mels, N) of the expected signal as `mel` computes them, with gradients; only of audio."""
        raise NotImplementedError

    def centred(self, x: Tensor) -> Tensor:
        """Integers to real numbers in [-1/2, 1/2], the scale on which squared errors are measured."""
        return x.float() / (self.values - 1) - 0.5

    def restored(self, centred: Tensor) -> Tensor:
        """Real numbers on the scale of `centred` back to [0, values - 1], clipped."""
        return (centred.float() + 0.5).clamp(0, 1) * (self.values - 1)


def bins(below: Tensor, out: Tensor) -> Tensor:
    """Cumulative distribution at the edges between values (..., values - 1) to probabilities `out` (..., values)."""
    out[..., 0] = below[..., 0]
    torch.sub(below[..., 1:], below[..., :-1], out=out[..., 1:-1])
    torch.sub(1, below[..., -1], out=out[..., -1])
    return out.clamp_(min=0)


def uniform(shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform draws strictly inside (0, 1), on the CPU so that a seed gives the same draws on every device."""
    return torch.rand(shape, generator=generator).clamp(1e-7, 1 - 1e-7).to(like.device)


def gumbel(shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Gumbel noise: the argmax of logits plus this noise is a draw from their softmax."""
    return -(-uniform(shape, like, generator).log()).log()
