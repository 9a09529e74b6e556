"""What every quantizer offers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Quantized:
    """What a quantizer made of `z` (..., D).

    `vectors` (..., D) carry gradient straight through to z; `codes` (..., K) are int64; the mean
    of `loss` (...) is what the quantizer asks to be added to the training loss.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor


class Quantizer(nn.Module, ABC):
    """Maps vectors of `dim` numbers to K codes, code k out of `codebook_sizes[k]`, and back."""

    dim: int
    codebook_sizes: tuple[int, ...]

    @property
    def served_codes(self) -> tuple[int, ...]:
        """The numbers of codes that `decode` serves, the last of them K."""
        return (len(self.codebook_sizes),)

    @abstractmethod
    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        """Quantize z (..., D). In training mode this also lets the codebook learn, drawing from `generator`."""

    @abstractmethod
    def encode(self, z: Tensor) -> Tensor:
        """(..., D) to codes (..., K) int64; nothing is learned."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (..., K) to the vectors (..., D) that `forward` gives for them."""

    @abstractmethod
    def codewords(self) -> list[Tensor]:
        """The codewords of each code, (codebook_sizes[k], d_k), for pictures and statistics."""


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` with the gradient of `z`."""
    # The gradient skips the argmin (van den Oord et al. 2017, sec. 3.2).
    return z + (quantized - z).detach()
