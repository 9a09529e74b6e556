"""The quantizer of tokens that another tokenizer made: the values of a signal are its codes."""

import torch
from torch import Tensor

from codeword.config import IdentityQuantizerConfig
from codeword.quantizers.base import Quantized, Quantizer, straight_through


class IdentityQuantizer(Quantizer):
    """Vectors of centred values, as `Likelihood.centred` gives them, to these values, without loss."""

    def __init__(self, config: IdentityQuantizerConfig) -> None:
        super().__init__()
        self.codebook_sizes, self.dim = config.codebook_sizes, len(config.codebook_sizes)
        # A model file has at least one tensor; it also confirms the size in the config.
        self.register_buffer("largest", torch.tensor(config.codebook_sizes) - 1)

    largest: Tensor

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        codes = self.encode(z)
        return Quantized(straight_through(z, self.decode(codes)), codes, z.new_zeros(z.shape[:-1]))

    def encode(self, z: Tensor) -> Tensor:
        return ((z.float() + 0.5) * self.largest).round().clamp(min=0).minimum(self.largest).long()

    def decode(self, codes: Tensor) -> Tensor:
        return codes / self.largest - 0.5

    def codewords(self) -> list[Tensor]:
        return [torch.linspace(-0.5, 0.5, n, device=self.largest.device)[:, None] for n in self.codebook_sizes]
