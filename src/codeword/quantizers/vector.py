"""Vector quantization with a learned codebook (van den Oord et al. 2017, sec. 3)."""

from collections.abc import Sequence
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import CodebookConfig, ResidualQuantizerConfig, VectorQuantizerConfig
from codeword.linear import Linear
from codeword.quantizers.base import ESTIMATORS, Quantized, Quantizer
from codeword.quantizers.codebook import Codebook, LinearCodebook
from codeword.quantizers.dynamic import DynamicCodebook


def vq_loss(config: CodebookConfig, searched: Tensor, found: Tensor) -> Tensor:
    """Loss (...) of the codewords `found` for the vectors `searched`, both (..., D).

    Equation 3 of the VQ-VAE paper without its first term, as means over the vector's numbers. `found` must not be the
    straight-through value, whose distance is zero. With the estimator "diveq" the loss has no gradient.
    """
    if config.estimator == "diveq":
        searched, found = searched.detach(), found.detach()
    commitment = (searched - found.detach()).square().mean(-1)
    if config.update != "ema":
        return (found - searched.detach()).square().mean(-1) + config.beta * commitment
    # The averages train the codebook, so its term has no gradient; its value stays, so that losses are comparable.
    return commitment.detach() + config.beta * commitment


class CodebookQuantizer(Quantizer):
    """Base of quantizers with codebooks: a projection into the searched space and back, and the codebooks."""

    config: VectorQuantizerConfig | ResidualQuantizerConfig

    def __init__(self, config: VectorQuantizerConfig | ResidualQuantizerConfig, *, codebook_dim: int) -> None:
        super().__init__()
        self.config = config
        self.dim, self.codebook_sizes = config.dim, config.codebook_sizes
        searched = config.lookup_dim or config.dim
        self.project_in = Linear(config.dim, searched) if config.lookup_dim else nn.Identity()
        self.project_out = Linear(searched, config.dim) if config.lookup_dim else nn.Identity()
        kind = LinearCodebook if config.update == "linear" else Codebook if config.size is None else DynamicCodebook
        self.codebooks = nn.ModuleList(kind(config, size, codebook_dim) for size in config.codebook_sizes)

    def freeze(self) -> None:
        super().freeze()
        for book in self._codebooks():
            book.frozen = True

    def codewords(self) -> list[Tensor]:
        return [book.vectors.detach() for book in self._codebooks()]

    @property
    def settled(self) -> bool:
        return not self._dynamic()

    def settle(self, counts: Sequence[Tensor]) -> Self:
        if self.settled:
            return self
        rows = [book.used(used) for book, used in zip(self._dynamic(), counts, strict=True)]
        changes = {"codebook_sizes": tuple(map(len, rows)), "size": None}
        settled = type(self)(self.config.model_copy(update=changes))  # type: ignore[call-arg]
        settled.project_in, settled.project_out = self.project_in, self.project_out
        for new, old, kept in zip(settled._codebooks(), self._codebooks(), rows, strict=True):
            for name in ("vectors", "counts", "sums"):
                getattr(new, name).copy_(getattr(old, name)[kept])
            new.ready.fill_(True)
        return settled.to(rows[0].device).train(self.training)

    def figures(self) -> dict[str, float]:
        books = self._dynamic()
        if not books:
            return {}
        codewords = float(sum(int(book.living.sum()) for book in books))
        return {"codewords": codewords, "error_share": sum(book.error_share for book in books) / len(books)}

    def _dynamic(self) -> list[DynamicCodebook]:
        return [book for book in self._codebooks() if isinstance(book, DynamicCodebook)]

    def _codebooks(self) -> list[Codebook]:
        return cast(list[Codebook], list(self.codebooks))


class VectorQuantizer(CodebookQuantizer):
    """Each of K equal parts of the vector becomes the index of its nearest codeword.

    With `lookup_dim` the search runs in a learned projection of few dimensions (Yu et al. 2021), with `cosine` on the
    unit sphere. The loss is `vq_loss`.
    """

    config: VectorQuantizerConfig

    def __init__(self, config: VectorQuantizerConfig) -> None:
        super().__init__(config, codebook_dim=(config.lookup_dim or config.dim) // len(config.codebook_sizes))

    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        # In half precision the projection, and so the distances, would be too coarse.
        with torch.autocast(z.device.type, enabled=False):
            parts, codes, vectors = self._parts(z), [], []
            for book, part in zip(self._codebooks(), parts, strict=True):
                if self.training:
                    book.prepare(part, generator)
                codes.append(book.assign(part))
                vectors.append(book.lookup(codes[-1]))
            searched, found = torch.cat(parts, -1), torch.cat(vectors, -1)
            loss = vq_loss(self.config, searched, found)
            estimate = ESTIMATORS[self.config.estimator]
            passed = torch.cat([estimate(part, vector) for part, vector in zip(parts, vectors, strict=True)], -1)
            quantized = Quantized(self.project_out(passed), torch.stack(codes, -1), loss)
            if self.training:
                # Last, so that vectors, codes and loss come from the same codebook.
                for book, part, assigned in zip(self._codebooks(), parts, codes, strict=True):
                    book.follow(part, assigned, generator)
        return quantized

    def encode(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            parts = zip(self._codebooks(), self._parts(z), strict=True)
            return torch.stack([book.assign(part) for book, part in parts], -1)

    @torch.no_grad()
    def distances(self, z: Tensor, codes: Tensor, k: int) -> Tensor:
        books, parts = self._codebooks(), self._parts(z)
        distances = books[k].distances(parts[k])
        for j in range(codes.shape[-1]):
            if j != k:
                error = parts[j] - books[j].lookup(codes[..., j])
                distances = distances + error.square().sum(-1, keepdim=True)
        return distances

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            parts = [book.lookup(codes[..., k]) for k, book in enumerate(self._codebooks())]
            return cast(Tensor, self.project_out(torch.cat(parts, -1)))

    def _parts(self, z: Tensor) -> list[Tensor]:
        parts = list(self.project_in(z.float()).chunk(len(self.codebook_sizes), -1))
        return [F.normalize(part, dim=-1) for part in parts] if self.config.cosine else parts
