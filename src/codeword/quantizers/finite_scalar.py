"""Finite scalar quantization (Mentzer et al. 2023), which needs no learned codebook."""

import torch
from torch import Tensor

from codeword.config import FiniteScalarQuantizerConfig
from codeword.quantizers.base import Quantized, straight_through
from codeword.quantizers.digits import DigitQuantizer


class FiniteScalarQuantizer(DigitQuantizer):
    """Projects to a few channels, bounds each by tanh and rounds channel i to one of `channel_levels[i]` values.

    The rounded channels are the digits of one code out of prod(channel_levels) (eq. 1 and fig. 2 of the paper).
    """

    def __init__(self, config: FiniteScalarQuantizerConfig) -> None:
        super().__init__(config.channel_levels, dim=config.dim)

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(z.device.type, enabled=False):
            positions = self._positions(z)
            digits = positions.round()
            vectors = self.project_out(self._centred(straight_through(positions, digits)))
            return Quantized(vectors, self._pack(digits), z.new_zeros(z.shape[:-1], dtype=torch.float32))

    def _digits_of(self, z: Tensor) -> Tensor:
        return self._positions(z).round()

    def _positions(self, z: Tensor) -> Tensor:
        """(..., D) to real positions (..., channels), channel i between 0 and channel_levels[i] - 1."""
        return (torch.tanh(self.project_in(z.float())) + 1) / 2 * (self.channel_levels - 1)

    def _centred(self, digits: Tensor) -> Tensor:
        return digits / (self.channel_levels - 1) * 2 - 1
