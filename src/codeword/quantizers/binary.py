"""Binary spherical quantization (Zhao et al. 2024), which needs no learned codebook."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import BinaryQuantizerConfig
from codeword.errors import ModelError
from codeword.quantizers.base import Quantized, Quantizer, straight_through

_SHARPNESS = 100.0
"""Inverse temperature of the soft signs, as the authors have it."""


class BinaryQuantizer(Quantizer):
    """Projects to `bits` numbers on the unit sphere and keeps their signs, the bits of one code out of 2^bits.

    The vectors of the codes lie on the sphere too. The loss is the commitment, and the entropy terms of the paper (sec.
    4.2) for independent bits: the mean entropy of each soft sign, less that of its mean over the batch.
    """

    place_values: Tensor

    def __init__(self, config: BinaryQuantizerConfig) -> None:
        super().__init__()
        self.config, self.dim, self.codebook_sizes = config, config.dim, (2**config.bits,)
        self.project_in = nn.Linear(config.dim, config.bits)
        self.project_out = nn.Linear(config.bits, config.dim)
        self.register_buffer("place_values", 2 ** torch.arange(config.bits))
        self.register_load_state_dict_post_hook(_confirm)  # type: ignore[no-untyped-call]

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(z.device.type, enabled=False):
            points = self._points(z)
            bits = points > 0
            corners = self._corners(bits)
            vectors = self.project_out(straight_through(points, corners))
            commitment = self.config.beta * (points - corners).square().mean(-1)
            return Quantized(vectors, self._pack(bits), commitment + self.config.entropy_weight * _entropy_loss(points))

    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self._pack(self._points(z) > 0)

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            vectors: Tensor = self.project_out(self._corners(self._bits(codes)))
            return vectors

    def codewords(self) -> list[Tensor]:
        codes = torch.arange(self.codebook_sizes[0], device=self.place_values.device)[:, None]
        return [self._corners(self._bits(codes))]

    def _points(self, z: Tensor) -> Tensor:
        """(..., D) to points (..., bits) on the unit sphere."""
        return F.normalize(self.project_in(z.float()), dim=-1)

    def _corners(self, bits: Tensor) -> Tensor:
        """Bits (..., bits) to the corners of the cube inside the unit sphere."""
        return (2 * bits.float() - 1) / sqrt(self.config.bits)

    def _bits(self, codes: Tensor) -> Tensor:
        """Codes (..., 1) to their bits (..., bits), the inverse of `_pack`."""
        return codes.div(self.place_values, rounding_mode="floor") % 2 > 0

    def _pack(self, bits: Tensor) -> Tensor:
        return (bits * self.place_values).sum(-1, keepdim=True)


def _entropy_loss(points: Tensor) -> Tensor:
    """Entropy in nats of the soft signs of points (..., L), less that of their means over all points: (...)."""
    positive = torch.sigmoid(2 * _SHARPNESS / sqrt(points.shape[-1]) * points)
    mean = positive.flatten(0, -2).mean(0)
    return _entropy(positive) - _entropy(mean)


def _entropy(positive: Tensor) -> Tensor:
    """Entropy (...) in nats of independent bits (..., L) that are 1 with these probabilities."""
    positive = positive.clamp(1e-6, 1 - 1e-6)
    return -(positive * positive.log() + (1 - positive) * (1 - positive).log()).sum(-1)


def _confirm(quantizer: nn.Module, _: object) -> None:
    """Raise ModelError if loaded weights are for other places than the config: codes would lie beyond the codebook."""
    assert isinstance(quantizer, BinaryQuantizer)
    if quantizer.place_values.tolist() != [2**i for i in range(quantizer.config.bits)]:
        raise ModelError("The weights are for other bits than the config says; fetch both again.")
