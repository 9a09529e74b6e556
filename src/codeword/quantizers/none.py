"""No codes, for comparison: every signal has the same ones."""

import torch
from torch import Tensor

from codeword.config import NoCodesConfig
from codeword.quantizers.base import Quantized, Quantizer


class NoCodes(Quantizer):
    """The one codeword is zero, so that the decoder knows nothing of the signal and the codes cost no bits."""

    codebook_sizes = (1,)

    def __init__(self, config: NoCodesConfig) -> None:
        super().__init__()
        self.dim = config.dim

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        # With gradients of zero the encoder stays as it is, and training on several devices finds no unused weights.
        return Quantized(0 * z, self.encode(z), 0 * z.sum(-1))

    def encode(self, z: Tensor) -> Tensor:
        return torch.zeros(*z.shape[:-1], 1, dtype=torch.int64, device=z.device)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.zeros(*codes.shape[:-1], self.dim, device=codes.device)

    def codewords(self) -> list[Tensor]:
        return [torch.zeros(1, self.dim)]
