"""Audio as a spectrogram: the codes hold magnitudes, and the phases are synthesised."""

from math import pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import SpectrogramConfig
from codeword.likelihoods.base import Likelihood, uniform
from codeword.likelihoods.logistic_mixture import logistic_log_prob
from codeword.spectra.phases import Turns, advancing_phases, griffin_lim
from codeword.spectra.stft import LOG_MEL_CENTRE, LOG_MEL_SPREAD, LOUDEST, LogMel


class Spectrogram(Likelihood):
    """The features are log-mel frames (B, mels, ceil(T / hop)), one every `hop` samples.

    Training minimises their mean absolute error, in nepers. The expected signal has phases that advance from frame to
    frame, which Griffin-Lim improves. As a likelihood each sample is logistic around zero, with a scale from a linear
    map of its frame; the map is fitted without an effect on the decoder's gradient. The bits are valid but many: they
    include all phases.
    """

    one_pass = False
    phases_are_synthesised = True

    def __init__(self, config: SpectrogramConfig, *, channels: int, values: int, sample_rate: int) -> None:
        super().__init__(channels, values)
        self.config = config
        self.features, self.hop = config.mels, config.hop
        # Each iteration of Griffin-Lim sees one window further.
        self.reach = (config.iterations + 1) * config.n_fft
        self.mel = LogMel(sample_rate, config.n_fft, config.hop, config.mels)
        self.log_scale = nn.Linear(config.mels, 1)
        nn.init.zeros_(self.log_scale.weight)
        nn.init.constant_(self.log_scale.bias, -3.0)

    def loss(self, features: Tensor, x: Tensor) -> Tensor:
        found, wanted = features.float(), self._frames(x)
        distance = LOG_MEL_SPREAD * (found - wanted).abs().mean()
        if self.config.energy_weight:
            loudness = [torch.logsumexp(2 * LOG_MEL_SPREAD * frames.flatten(1), 1) / 2 for frames in (found, wanted)]
            distance = distance + self.config.energy_weight * (loudness[0] - loudness[1]).abs().mean()
        fit = -self.log_prob(features.detach(), x).mean() / x.shape[-1]
        # The value of the loss is the distance; only the scale gets the gradient of the fit.
        return distance + fit - fit.detach()

    def errors(self, features: Tensor, x: Tensor) -> Tensor:
        """The training loss of each frame alone (B, ceil(T / hop)), in nepers, also for its loudness."""
        found, wanted = features.float(), self._frames(x)
        loudness = [torch.logsumexp(2 * LOG_MEL_SPREAD * frames, 1) / 2 for frames in (found, wanted)]
        distance = LOG_MEL_SPREAD * (found - wanted).abs().mean(1)
        return distance + self.config.energy_weight * (loudness[0] - loudness[1]).abs()

    def log_mels(self, features: Tensor, mel: LogMel) -> Tensor:
        assert (mel.n_fft, mel.hop, mel.mels) == (self.mel.n_fft, self.mel.hop, self.mel.mels)
        return features.float() * LOG_MEL_SPREAD + LOG_MEL_CENTRE

    def log_prob(self, features: Tensor, x: Tensor) -> Tensor:
        scale = self._scale(features)[..., : x.shape[-1]]
        half_bin = 0.5 / (self.values - 1) / scale
        return logistic_log_prob(x, self.centred(x) / scale, half_bin, values=self.values).flatten(1).sum(1)

    def mean(self, features: Tensor) -> Tensor:
        return self.finish(self.begin(features)[0])

    def begin(self, features: Tensor, after: Turns | None = None) -> tuple[Tensor, Turns]:
        """Features to magnitudes and phases (B, 2 * bins, N)."""
        magnitude = self.mel.invert(self.log_mels(features, self.mel).clamp(max=LOUDEST))
        phase, turns = advancing_phases(magnitude, self.config.n_fft, self.hop, after=after)
        return torch.cat([magnitude, phase], 1), turns

    def finish(self, begun: Tensor) -> Tensor:
        magnitude, phase = begun.chunk(2, 1)
        wave = griffin_lim(magnitude, phase, self.config.n_fft, self.hop, iterations=self.config.iterations)
        return self.restored(wave[:, None] / 2 * 10 ** (self.config.output_gain_db / 20))

    def sample(self, features: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        scale = self._scale(features)
        drawn = uniform(scale.shape, scale, generator)
        return self.restored(scale * (drawn.log() - torch.log1p(-drawn))).round().long()

    def _frames(self, x: Tensor) -> Tensor:
        frames: Tensor = (self.mel(2 * self.centred(x)[:, 0]) - LOG_MEL_CENTRE) / LOG_MEL_SPREAD
        return frames

    def _scale(self, features: Tensor) -> Tensor:
        """Features (B, mels, N) to the logistic's scale at each sample (B, 1, N * hop)."""
        with torch.autocast(features.device.type, enabled=False):
            log_scale = F.linear(features.float().transpose(1, 2), self.log_scale.weight, self.log_scale.bias)
            deviation = log_scale.clamp(-12, 0).exp().transpose(1, 2)
            return deviation.repeat_interleave(self.hop, 2) * (sqrt(3) / pi)
