"""Quantizers without a learned codebook, whose code of a cell is a number with one digit for each channel."""

from abc import abstractmethod
from math import prod

import torch
from torch import Tensor, nn

from codeword.errors import ModelError
from codeword.linear import Linear
from codeword.quantizers.base import Quantizer


class DigitQuantizer(Quantizer):
    """Projects to a few channels and turns channel i into one of `levels[i]` digits.

    The digits are those of one code out of prod(levels), the first channel's with place value 1. A subclass says which
    digits a vector has, and which vector stands for digits.
    """

    channel_levels: Tensor
    place_values: Tensor

    def __init__(self, levels: tuple[int, ...], *, dim: int) -> None:
        super().__init__()
        self.levels, self.dim, self.codebook_sizes = levels, dim, (prod(levels),)
        self.project_in = Linear(dim, len(levels))
        self.project_out = Linear(len(levels), dim)
        self.register_buffer("channel_levels", torch.tensor(levels))
        self.register_buffer("place_values", torch.tensor(_place_values(levels)))
        self.register_load_state_dict_post_hook(_confirm)  # type: ignore[no-untyped-call]

    @abstractmethod
    def _digits_of(self, z: Tensor) -> Tensor:
        """Vectors (..., D) to digits (..., channels), whole float32 numbers."""

    @abstractmethod
    def _centred(self, digits: Tensor) -> Tensor:
        """Digits (..., channels), or real positions between them, to the projected vectors that stand for them."""

    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self._pack(self._digits_of(z))

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            vectors: Tensor = self.project_out(self._centred(self._digits(codes)))
            return vectors

    def codewords(self) -> list[Tensor]:
        codes = torch.arange(self.codebook_sizes[0], device=self.place_values.device)[:, None]
        return [self._centred(self._digits(codes))]

    def _digits(self, codes: Tensor) -> Tensor:
        """Codes (..., 1) to their digits (..., channels), whole float32 numbers: the inverse of `_pack`."""
        return (codes.div(self.place_values, rounding_mode="floor") % self.channel_levels).float()

    def _pack(self, digits: Tensor) -> Tensor:
        return (digits.long() * self.place_values).sum(-1, keepdim=True)


def _place_values(levels: tuple[int, ...]) -> list[int]:
    return [prod(levels[:i]) for i in range(len(levels))]


def _confirm(quantizer: nn.Module, _: object) -> None:
    """Raise ModelError if loaded weights have other levels than the config: codes would lie beyond the codebook."""
    assert isinstance(quantizer, DigitQuantizer)
    levels, place_values = quantizer.channel_levels.tolist(), quantizer.place_values.tolist()
    if (levels, place_values) != (list(quantizer.levels), _place_values(quantizer.levels)):
        raise ModelError(
            f"The weights are for channel_levels {levels}, but the config has {list(quantizer.levels)}; fetch both."
        )
