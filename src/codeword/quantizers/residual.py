"""Residual vector quantization: each codebook codes the residual of the codebooks before it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.config import ResidualQuantizerConfig
from codeword.quantizers.base import Quantized, straight_through
from codeword.quantizers.vector import CodebookQuantizer, vq_loss


class ResidualQuantizer(CodebookQuantizer):
    """RVQ (Zeghidour et al. 2021, SoundStream, algorithm 1): the vector is the sum of one codeword from each codebook.

    `decode` takes any number of leading codes. With `served_codes` in the config, training draws for each signal the
    number of codes to decode from (quantizer dropout, sec. III-C there), so that one model serves several rates; the
    codebooks still learn from all residuals. The loss is the sum of the codebooks' `vq_loss`.
    """

    def __init__(self, config: ResidualQuantizerConfig) -> None:
        super().__init__(config, codebook_dim=config.lookup_dim or config.dim)
        self.config = config

    @property
    def served_codes(self) -> tuple[int, ...]:
        return (*sorted(self.config.served_codes), len(self.codebook_sizes))

    def draw_counts(self, batch: int, generator: torch.Generator | None) -> Tensor:
        everything = super().draw_counts(batch, generator)
        if not self.config.served_codes:
            return everything
        shorter = torch.tensor(self.config.served_codes)
        drawn = shorter[torch.randint(len(shorter), (batch,), generator=generator)]
        return torch.where(
            torch.rand(batch, generator=generator) < self.config.all_codes_probability, everything, drawn
        )

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        # In half precision the projection, and so the distances, would be too coarse.
        with torch.autocast(z.device.type, enabled=False):
            searched = self._searched(z)
            everything = torch.full((len(z),), len(self.codebook_sizes))
            kept = self.draw_counts(len(z), generator) if self.training else everything
            kept = kept.to(z.device).view(-1, *[1] * (z.ndim - 1))
            residual, total = searched, torch.zeros_like(searched)
            codes, loss = [], torch.zeros_like(searched[..., 0])
            for k, book in enumerate(self._codebooks()):
                if self.training:
                    book.prepare(residual, generator)
                codes.append(book.assign(residual))
                found = book.lookup(codes[-1])
                loss = loss + vq_loss(self.config, residual, found)
                total = total + found * (kept > k)
                if self.training:
                    book.follow(residual, codes[-1], generator)
                residual = residual - found.detach()
            vectors = self.project_out(straight_through(searched, total))
        return Quantized(vectors, torch.stack(codes, -1), loss)

    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            residual, codes = self._searched(z), []
            for book in self._codebooks():
                codes.append(book.assign(residual))
                residual = residual - book.lookup(codes[-1])
        return torch.stack(codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            books = self._codebooks()[: codes.shape[-1]]
            total = torch.stack([book.lookup(codes[..., k]) for k, book in enumerate(books)]).sum(0)
            vectors: Tensor = self.project_out(total)
            return vectors

    def _searched(self, z: Tensor) -> Tensor:
        searched: Tensor = self.project_in(z.float())
        return F.normalize(searched, dim=-1) if self.config.cosine else searched
