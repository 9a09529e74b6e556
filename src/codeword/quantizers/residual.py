"""Residual vector quantization: each codebook codes the residual of the codebooks before it."""

from copy import copy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.config import ResidualQuantizerConfig
from codeword.quantizers.base import ESTIMATORS, Quantized
from codeword.quantizers.vector import CodebookQuantizer, vq_loss

# Of the beam search at once: 16 MiB.
_MAX_DISTANCES = 1 << 22


class ResidualQuantizer(CodebookQuantizer):
    """RVQ (Zeghidour et al. 2021, SoundStream, algorithm 1): the vector is the sum of one codeword from each codebook.

    `decode` takes any number of leading codes. With `served_codes` in the config, training draws for each signal the
    number of codes to decode from (quantizer dropout, sec. III-C there), so that one model serves several rates; the
    codebooks still learn from all residuals. The loss is the sum of the codebooks' `vq_loss`.
    """

    config: ResidualQuantizerConfig

    def __init__(self, config: ResidualQuantizerConfig) -> None:
        super().__init__(config, codebook_dim=config.lookup_dim or config.dim)
        self.effort, self.searched_codes = 1, len(config.codebook_sizes)

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
            vectors = self.project_out(ESTIMATORS[self.config.estimator](searched, total))
        return Quantized(vectors, torch.stack(codes, -1), loss)

    def with_effort(self, effort: int, *, codes: int | None = None) -> Self:
        """A copy with the same weights whose `encode` keeps the `effort` best sums of codewords after each codebook.

        With effort 1 each code is the nearest to what is left by those before it. With more, the codes minimise the
        distance of the first `codes` codes (by default all), and what their bits cost if there is a `rate_weight`,
        among the sums that are kept; the sum of effort 1 is always kept, so the distance is never larger. Later codes
        are found as with effort 1.
        """
        searching = copy(self)
        searching.effort, searching.searched_codes = effort, codes or len(self.codebook_sizes)
        return searching

    @torch.no_grad()
    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            searched = self._searched(z)
            found = self._best_codes(searched) if self.effort > 1 else []
            residual, codes = searched, []
            for k, book in enumerate(self._codebooks()):
                codes.append(found[k] if k < len(found) else book.assign(residual))
                residual = residual - book.lookup(codes[-1])
        return torch.stack(codes, -1)

    def _best_codes(self, searched: Tensor) -> list[Tensor]:
        """The first `searched_codes` codes (...) of vectors (..., D) by beam search, in bounded memory."""
        rows = max(1, _MAX_DISTANCES // (self.effort * max(self.codebook_sizes)))
        parts = [self._beam(part) for part in searched.reshape(-1, searched.shape[-1]).split(rows)]
        return list(torch.cat(parts).view(*searched.shape[:-1], -1).unbind(-1))

    def _beam(self, z: Tensor) -> Tensor:
        """Vectors (N, D) to codes (N, `searched_codes`)."""
        count, residual = len(z), z[:, None]
        spent = z.new_zeros(count, 1)
        paths = torch.zeros(count, 1, 0, dtype=torch.int64, device=z.device)
        for book in self._codebooks()[: self.searched_codes]:
            beams, size = residual.shape[1], len(book.vectors)
            costs = z.new_zeros(size) if (found := book.costs) is None else found
            # Of every beam with every codeword (N, beams * size).
            distances = (book.distances(residual) + spent[..., None] + costs).view(count, -1)
            # Beam 0 is the path of effort 1, so that no rounding can lose it.
            greedy = book.assign(residual[:, :1])
            distances.scatter_(1, greedy, torch.inf)
            others = distances.topk(min(self.effort, beams * size) - 1, largest=False).indices
            chosen = torch.cat([greedy, others], 1)
            beam, code = chosen // size, chosen % size
            paths = torch.cat([paths.gather(1, beam[..., None].expand(-1, -1, paths.shape[-1])), code[..., None]], -1)
            residual = residual.gather(1, beam[..., None].expand(-1, -1, z.shape[-1])) - book.lookup(code)
            spent = spent.gather(1, beam) + costs[code]
        best = (residual.square().sum(-1) + spent).min(1).indices
        return paths[torch.arange(count, device=z.device), best]

    @torch.no_grad()
    def distances(self, z: Tensor, codes: Tensor, k: int) -> Tensor:
        residual = self._searched(z)
        for j, book in enumerate(self._codebooks()[: codes.shape[-1]]):
            if j != k:
                residual = residual - book.lookup(codes[..., j])
        return self._codebooks()[k].distances(residual)

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            books = self._codebooks()[: codes.shape[-1]]
            total = torch.stack([book.lookup(codes[..., k]) for k, book in enumerate(books)]).sum(0)
            vectors: Tensor = self.project_out(total)
            return vectors

    def _searched(self, z: Tensor) -> Tensor:
        searched: Tensor = self.project_in(z.float())
        return F.normalize(searched, dim=-1) if self.config.cosine else searched
