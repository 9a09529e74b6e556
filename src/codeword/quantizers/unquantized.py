"""The vectors themselves in the place of codes, for a search that needs them."""

import torch
from torch import Tensor

from codeword.quantizers.base import Quantized, Quantizer


class Unquantized(Quantizer):
    """A stand-in for `quantizer` that returns the vectors (..., D) as they are."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.dim, self.codebook_sizes = quantizer.dim, quantizer.codebook_sizes

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        return Quantized(z, z, torch.zeros_like(z[..., 0]))

    def encode(self, z: Tensor) -> Tensor:
        return z.float()

    def decode(self, codes: Tensor) -> Tensor:
        return codes

    def codewords(self) -> list[Tensor]:
        return []
