"""Binary spherical quantization (Zhao et al. 2024), which needs no learned codebook."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.config import BinaryQuantizerConfig
from codeword.quantizers.base import Quantized, straight_through
from codeword.quantizers.digits import DigitQuantizer

_SHARPNESS = 100.0
"""Inverse temperature of the soft signs, the value of the authors."""


class BinaryQuantizer(DigitQuantizer):
    """Projects to `bits` numbers on the unit sphere and keeps their signs, the bits of one code out of 2^bits.

    The vectors of the codes lie on the sphere too. The loss is the commitment, and the entropy terms of the paper (sec.
    4.2) for independent bits: the mean entropy of each soft sign, less that of its mean over the batch.
    """

    def __init__(self, config: BinaryQuantizerConfig) -> None:
        super().__init__((2,) * config.bits, dim=config.dim)
        self.config = config

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(z.device.type, enabled=False):
            points = self._points(z)
            bits = (points > 0).float()
            corners = self._centred(bits)
            vectors = self.project_out(straight_through(points, corners))
            commitment = self.config.beta * (points - corners).square().mean(-1)
            return Quantized(vectors, self._pack(bits), commitment + self.config.entropy_weight * _entropy_loss(points))

    def _digits_of(self, z: Tensor) -> Tensor:
        return (self._points(z) > 0).float()

    def _points(self, z: Tensor) -> Tensor:
        """(..., D) to points (..., bits) on the unit sphere."""
        return F.normalize(self.project_in(z.float()), dim=-1)

    def _centred(self, digits: Tensor) -> Tensor:
        # The corners of the cube inside the unit sphere.
        return (2 * digits - 1) / sqrt(self.config.bits)


def _entropy_loss(points: Tensor) -> Tensor:
    """Entropy in nats of the soft signs of points (..., L), less that of their means over all points: (...)."""
    positive = torch.sigmoid(2 * _SHARPNESS / sqrt(points.shape[-1]) * points)
    mean = positive.flatten(0, -2).mean(0)
    return _entropy(positive) - _entropy(mean)


def _entropy(positive: Tensor) -> Tensor:
    """Entropy (...) in nats of independent bits (..., L) that are 1 with these probabilities."""
    positive = positive.clamp(1e-6, 1 - 1e-6)
    return -(positive * positive.log() + (1 - positive) * (1 - positive).log()).sum(-1)
