"""Discretised logistic mixture with channel coupling (Salimans et al. 2017, PixelCNN++, sec. 2.1-2.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.likelihoods.base import Likelihood, bins, gumbel, uniform

LOG_SCALE_RANGE = (-7.0, 5.0)
# Features start near zero; e^-2 of the half range is a typical scale of real signals, 1 is too wide.
INITIAL_LOG_SCALE = -2.0


class LogisticMixture(Likelihood):
    """A mixture of `components` logistics at each place, its component shared by the C channels.

    Within a component, the mean of channel c moves by a predicted multiple of the true value of each channel
    before it (eq. 3). Signals are put on [-1, 1]; the outer bins are open, so that all values sum to 1.
    """

    def __init__(self, channels: int, values: int, *, components: int) -> None:
        super().__init__(channels, values)
        self.components = components
        self._coupled = [(c, b) for c in range(channels) for b in range(c)]
        # For each component a weight, means, log scales and couplings; and a part of the means and log scales that all
        # components share, which gets the gradient of all of them and so learns faster.
        self.features = components * (1 + 2 * channels + len(self._coupled)) + 2 * channels

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        weights, means, log_scales, couplings = self._split(features)
        signal = self._signed(x)
        means = self._coupled_means(means, couplings, signal)
        log_probs = self._component_log_prob(x, means, log_scales).sum(2)
        return (weights.log_softmax(1) + log_probs).logsumexp(1).flatten(1).sum(1)

    def channel_probabilities(self, features: Tensor, channel: int, before: Sequence[Tensor]) -> Tensor:
        weights, means, log_scales, couplings = self._split(features)
        seen = torch.stack([*before, *[torch.zeros_like(weights[:, 0])] * (self.channels - channel)], 1)
        means = self._coupled_means(means, couplings, self._signed(seen))
        for earlier in range(channel):
            # The posterior of the component, given the channels before.
            weights = weights.log_softmax(1) + self._component_log_prob(
                seen[:, earlier], means[:, :, earlier], log_scales[:, :, earlier]
            )
        # The edges between neighbouring values, on [-1, 1].
        edges = (2 * torch.arange(1, self.values, device=features.device) - 1) / (self.values - 1) - 1
        parts = weights.softmax(1), means[:, :, channel], torch.exp(-log_scales[:, :, channel])
        found = torch.empty(*means.shape[:1], *means.shape[3:], self.values, device=features.device)
        # Signal by signal, because a batch exceeds the processor's cache and takes five times as long.
        for out, *one in zip(found, *parts, strict=True):
            bins(_mixed(edges, *one), out)
        return found

    def mean(self, features: Tensor) -> Tensor:
        weights, means, _, couplings = self._split(features)
        # The coupling is linear, so expectations pass through it channel by channel.
        expected: list[Tensor] = []
        for c in range(self.channels):
            value = means[:, :, c]
            for pair, (channel, before) in enumerate(self._coupled):
                if channel == c:
                    value = value + couplings[:, :, pair] * expected[before]
            expected.append(value.clamp(-1, 1))
        mixed = (weights.softmax(1).unsqueeze(2) * torch.stack(expected, 2)).sum(1)
        return self.restored(mixed / 2)

    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        weights, means, log_scales, couplings = self._split(features)
        chosen = (weights + gumbel(weights.shape, weights, generator)).argmax(1)[:, None, None]
        means, log_scales, couplings = (
            t.gather(1, chosen.expand(-1, 1, *t.shape[2:])).squeeze(1) for t in (means, log_scales, couplings)
        )
        u = uniform(means.shape, means, generator)
        noise = log_scales.exp() * (u.log() - torch.log1p(-u))
        drawn: list[Tensor] = []
        for c in range(self.channels):
            value = means[:, c] + noise[:, c]
            for pair, (channel, before) in enumerate(self._coupled):
                if channel == c:
                    value = value + couplings[:, pair] * self._signed(drawn[before])
            # Rounded here, because the next channel is conditioned on an integer, as in training.
            drawn.append(self.restored(value / 2).round().long())
        return torch.stack(drawn, 1)

    def _signed(self, x: Tensor) -> Tensor:
        return 2 * self.centred(x)

    def _split(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, F, *S) to mixture logits (B, M, *S), means, log scales (B, M, C, *S), couplings (B, M, P, *S)."""
        # Contiguous, because the operations below are many times slower on a channels_last layout.
        features = features.float().contiguous()
        shared, own = features.split([2 * self.channels, features.shape[1] - 2 * self.channels], dim=1)
        weights, means, log_scales, couplings = own.unflatten(1, (self.components, -1)).split(
            [1, self.channels, self.channels, len(self._coupled)], dim=2
        )
        shared_mean, shared_log_scale = shared.unsqueeze(1).chunk(2, dim=2)
        means, log_scales = means + shared_mean, log_scales + shared_log_scale
        log_scales = (log_scales + INITIAL_LOG_SCALE).clamp(*LOG_SCALE_RANGE)
        return weights.squeeze(2), means, log_scales, couplings.tanh()

    def _component_log_prob(self, x: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
        """Log-probabilities of integers (B, ...) under components with coupled means and log scales (B, M, ...)."""
        inverse = torch.exp(-log_scales)
        offset = (self._signed(x).unsqueeze(1) - means) * inverse
        half_bin = inverse / (self.values - 1)
        return logistic_log_prob(x.unsqueeze(1), offset, half_bin, values=self.values)

    def _coupled_means(self, means: Tensor, couplings: Tensor, signal: Tensor) -> Tensor:
        shifted = list(means.unbind(2))
        for pair, (channel, before) in enumerate(self._coupled):
            shifted[channel] = shifted[channel] + couplings[:, :, pair] * signal[:, before].unsqueeze(1)
        return torch.stack(shifted, 2)


def _mixed(edges: Tensor, weights: Tensor, means: Tensor, inverse_scales: Tensor) -> Tensor:
    """Cumulative distributions of mixtures (M, *S), with weights that sum to 1, at edges (E,): (*S, E)."""
    below = torch.zeros(*weights.shape[1:], len(edges), device=weights.device)
    for weight, mean, inverse_scale in zip(weights, means, inverse_scales, strict=True):
        offset = (edges - mean[..., None]).mul_(inverse_scale[..., None])
        below.addcmul_(weight[..., None], offset.sigmoid_())
    return below


def logistic_log_prob(x: Tensor, offset: Tensor, half_bin: Tensor, *, values: int) -> Tensor:
    """Log-probability of each integer of x: a logistic integrated over its bin, with open outer bins.

    `offset` is the distance of the integer from the mean, `half_bin` half the distance to its neighbour, in scales.
    """
    # s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)) for the logistic s: exact, and finite without a fallback.
    # An open bin has no edge on one side, so it lacks the factor of that edge and the last factor.
    above, below = x < values - 1, x > 0
    return (
        F.logsigmoid(offset + half_bin) * above
        + F.logsigmoid(half_bin - offset) * below
        + torch.log(-torch.expm1(-2 * half_bin)) * (above & below)
    )
