"""Discriminators: networks that tell signals from their reconstructions.

They are narrow, and stride early, so that a training step on a CPU stays short.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from codeword.config import DiscriminatorConfig, PatchDiscriminatorConfig, WaveformDiscriminatorConfig
from codeword.nn.conv import CONV, channels_last
from codeword.spectra.stft import stft

_SLOPE = 0.1
_QUIET = 1e-6  # Power below which a spectrum is not compressed further.


class Judgement(NamedTuple):
    """The `logits` of places of the signal, high for a real one, and the feature maps before them, in any shape."""

    logits: Tensor
    features: list[Tensor]


class Discriminator(nn.Module):
    """Convolutions with leaky ReLUs, then one that gives the logits, all with weight normalisation."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(weight_norm(_keeping_scale(layer)) for layer in layers)

    def view(self, x: Tensor) -> Tensor:
        """Signals (B, C, *S) of unit scale as the input of the first layer."""
        return x

    def forward(self, x: Tensor) -> Judgement:
        """Signals (B, C, *S) of unit scale to their judgement."""
        h, features = self.view(x), []
        *hidden, last = self.layers
        for layer in hidden:
            h = F.leaky_relu(layer(channels_last(h)), _SLOPE)
            # In the order of memory: a loss of any other view would hand its gradient back in a slow layout.
            features.append(h.movedim(1, -1))
        return Judgement(last(channels_last(h)), features)


class SpectrogramDiscriminator(Discriminator):
    """Of the complex spectrogram at one resolution (Jang et al. 2021, UnivNet; Défossez et al. 2022, EnCodec).

    The magnitudes are compressed to their square root, so that loud bands do not hide the others.
    """

    def __init__(self, n_fft: int, width: int) -> None:
        widths = [width, 2 * width, 4 * width, 4 * width]
        super().__init__(
            [
                nn.Conv2d(2, width, 5, 2, 2),
                *(nn.Conv2d(a, b, (5, 3), (2, 1), (2, 1)) for a, b in pairwise(widths)),
                nn.Conv2d(widths[-1], 1, 3, padding=1),
            ]
        )
        self.n_fft = n_fft

    def view(self, x: Tensor) -> Tensor:
        # Half precision would lose the quiet bands.
        with torch.autocast(x.device.type, enabled=False):
            # A Hann window has a mean square of 3/8.
            spectrum = stft(x[:, 0].float() / (3 / 8 * self.n_fft) ** 0.5, self.n_fft, self.n_fft // 4)
            real, imaginary = torch.view_as_real(spectrum).unbind(-1)
            gain = (real * real + imaginary * imaginary + _QUIET).rsqrt().sqrt()
            return torch.stack([real * gain, imaginary * gain], 1)


class PeriodDiscriminator(Discriminator):
    """Of every `period`-th sample, from each of the first ones on (Kong et al. 2020, HiFi-GAN, sec. 2.3)."""

    def __init__(self, period: int, width: int) -> None:
        widths, conv = [1, width, 2 * width, 4 * width, 8 * width], CONV[1]
        super().__init__([*(conv(a, b, 5, 3, 2) for a, b in pairwise(widths)), conv(widths[-1], 1, 3, padding=1)])
        self.period = period

    def view(self, x: Tensor) -> Tensor:
        rows: Tensor = F.pad(x, (0, -x.shape[-1] % self.period)).unflatten(-1, (-1, self.period))
        # The kernels are as wide as one column, so each column is a signal of its own.
        return rows.movedim(-1, 1).flatten(0, 1)


class PatchDiscriminator(Discriminator):
    """Of overlapping patches of a signal of any rank (Isola et al. 2017, sec. 3.2.2 and 6.1.2)."""

    def __init__(self, config: PatchDiscriminatorConfig, ndim: int, channels: int) -> None:
        widths = [channels, *(config.width * min(1 << i, 8) for i in range(config.layers))]
        conv = CONV[ndim]
        super().__init__(
            [
                *(conv(a, b, 4, 2, 1) for a, b in pairwise(widths)),
                conv(widths[-1], widths[-1], 3, padding=1),
                conv(widths[-1], 1, 3, padding=1),
            ]
        )


def _keeping_scale(layer: nn.Module) -> nn.Module:
    """The convolution, with weights that keep the scale of its inputs (He et al. 2015, eq. 10).

    The usual smaller ones leave the logits of a narrow network nearly constant for thousands of steps.
    """
    assert isinstance(layer.weight, Tensor)
    assert isinstance(layer.bias, Tensor)
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    nn.init.zeros_(layer.bias)
    return layer


class Discriminators(nn.ModuleList):
    """Several discriminators of the same signals."""

    def forward(self, x: Tensor) -> list[Judgement]:
        """Signals (B, C, *S) of unit scale to the judgement of each discriminator."""
        return [discriminator(x) for discriminator in cast(list[Discriminator], self)]


def build_discriminators(config: DiscriminatorConfig, *, ndim: int, channels: int) -> Discriminators:
    """The discriminators of `config` for signals of `channels` and rank `ndim`."""
    match config:
        case WaveformDiscriminatorConfig():
            return Discriminators(
                [
                    *(SpectrogramDiscriminator(n, config.window_width) for n in config.windows),
                    *(PeriodDiscriminator(n, config.period_width) for n in config.periods),
                ]
            )
        case PatchDiscriminatorConfig():
            return Discriminators([PatchDiscriminator(config, ndim, channels)])
