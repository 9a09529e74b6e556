"""Squared error as a likelihood: a Gaussian with a fitted scale, integrated over each integer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codeword.likelihoods.base import Likelihood, bins


class Gaussian(Likelihood):
    """The features are the mean; one scale for each channel.

    Training minimises plain squared error on [-1/2, 1/2], the scale of Kalal, Karuturi and Budireddy 2024, "VQVAE -
    Images & Audio" (course report). That alone is no likelihood, so the scale is fitted to the decoder's error on
    training data, without an effect on the decoder's gradient; `log_prob` integrates the density over the bin of each
    integer, with open outer bins.
    """

    def __init__(self, channels: int, values: int) -> None:
        super().__init__(channels, values)
        self.features = channels
        self.log_scale = nn.Parameter(torch.full((channels,), -2.0))

    def loss(self, features: Tensor, x: Tensor) -> Tensor:
        signal = self.centred(x)
        return (features.float() - signal).square().mean() + self.fit_scale(features, signal)

    def fit_scale(self, features: Tensor, signal: Tensor) -> Tensor:
        """Zero, with a gradient that fits the scale to the error between features and signal, both (B, C, *S)."""
        error = (features.detach().float() - signal).square()
        by_channel = error.transpose(0, 1).flatten(1).mean(1)
        fit = (self.log_scale + by_channel / 2 * torch.exp(-2 * self.log_scale)).mean()
        # The value of the loss does not change; only the scale gets a gradient.
        return fit - fit.detach()

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        scale = self.log_scale.exp().view(-1, *[1] * (x.ndim - 2))
        offset = (self.centred(x) - features.float()) / scale
        half_bin = 0.5 / (self.values - 1) / scale
        # By symmetry the lower tail is enough; there the logarithm is accurate.
        centre = -offset.abs()
        upper, lower = torch.special.log_ndtr(centre + half_bin), torch.special.log_ndtr(centre - half_bin)
        inside = upper + torch.log1p(-torch.exp(lower - upper))
        below, above = torch.special.log_ndtr(offset + half_bin), torch.special.log_ndtr(half_bin - offset)
        log_prob = torch.where(x == 0, below, torch.where(x == self.values - 1, above, inside))
        return log_prob.flatten(1).sum(1)

    def channel_probabilities(self, features: Tensor, channel: int, before: Sequence[Tensor]) -> Tensor:
        # The edges between neighbouring values; the outer bins are open.
        edges = (torch.arange(1, self.values, device=features.device) - 0.5) / (self.values - 1) - 0.5
        below = torch.special.ndtr((edges - features[:, channel, ..., None].float()) / self.log_scale[channel].exp())
        return bins(below, below.new_empty(*below.shape[:-1], self.values))

    def mean(self, features: Tensor) -> Tensor:
        return self.restored(features)

    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(features.shape, generator=generator).to(features.device)
        scale = self.log_scale.exp().view(-1, *[1] * (features.ndim - 2))
        return self.restored(features.float() + noise * scale).round().long()
