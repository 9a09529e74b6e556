"""Finite scalar quantization (Mentzer et al. 2023), which needs no learned codebook."""

from math import prod

import torch
from torch import Tensor, nn

from codeword.config import FiniteScalarQuantizerConfig
from codeword.errors import ModelError
from codeword.quantizers.base import Quantized, Quantizer, straight_through


class FiniteScalarQuantizer(Quantizer):
    """Projects to a few channels, bounds each by tanh and rounds channel i to one of `channel_levels[i]` values.

    The rounded channels are the digits of one code out of prod(channel_levels) (eq. 1 and fig. 2 of the paper).
    """

    channel_levels: Tensor
    place_values: Tensor

    def __init__(self, config: FiniteScalarQuantizerConfig) -> None:
        super().__init__()
        channels = config.channel_levels
        self.config, self.dim, self.codebook_sizes = config, config.dim, (prod(channels),)
        self.project_in = nn.Linear(config.dim, len(channels))
        self.project_out = nn.Linear(len(channels), config.dim)
        self.register_buffer("channel_levels", torch.tensor(channels))
        self.register_buffer("place_values", torch.tensor(_place_values(channels)))
        self.register_load_state_dict_post_hook(_confirm)  # type: ignore[no-untyped-call]

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(z.device.type, enabled=False):
            positions = self._positions(z)
            digits = positions.round()
            vectors = self.project_out(self._centred(straight_through(positions, digits)))
            return Quantized(vectors, self._pack(digits), z.new_zeros(z.shape[:-1], dtype=torch.float32))

    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self._pack(self._positions(z).round())

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            vectors: Tensor = self.project_out(self._centred(self._digits(codes)))
            return vectors

    def codewords(self) -> list[Tensor]:
        codes = torch.arange(self.codebook_sizes[0], device=self.place_values.device)[:, None]
        return [self._centred(self._digits(codes))]

    def _positions(self, z: Tensor) -> Tensor:
        """(..., D) to real positions (..., channels), channel i between 0 and channel_levels[i] - 1."""
        return (torch.tanh(self.project_in(z.float())) + 1) / 2 * (self.channel_levels - 1)

    def _centred(self, digits: Tensor) -> Tensor:
        return digits / (self.channel_levels - 1) * 2 - 1

    def _digits(self, codes: Tensor) -> Tensor:
        """Codes (..., 1) to their digits (..., channels), whole float32 numbers: the inverse of `_pack`."""
        return (codes.div(self.place_values, rounding_mode="floor") % self.channel_levels).float()

    def _pack(self, digits: Tensor) -> Tensor:
        return (digits.long() * self.place_values).sum(-1, keepdim=True)


def _place_values(channel_levels: tuple[int, ...]) -> list[int]:
    return [prod(channel_levels[:i]) for i in range(len(channel_levels))]


def _confirm(quantizer: nn.Module, _: object) -> None:
    """Raise ModelError if loaded weights have other levels than the config: codes would lie beyond the codebook."""
    assert isinstance(quantizer, FiniteScalarQuantizer)
    levels, place_values = quantizer.channel_levels.tolist(), quantizer.place_values.tolist()
    wanted = quantizer.config.channel_levels
    if (levels, place_values) != (list(wanted), _place_values(wanted)):
        raise ModelError(f"The weights are for channel_levels {levels}, but the config has {list(wanted)}; fetch both.")
