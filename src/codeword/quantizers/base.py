"""The interface of quantizers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.errors import UnsupportedError


@dataclass(frozen=True)
class Quantized:
    """Result of quantizing `z` (..., D).

    `vectors` (..., D) pass their gradient straight through to z; `codes` (..., K) are int64; training adds the mean of
    `loss` (...) to its own loss. `nats` (...) is the further cost of vectors that the codes do not determine.
    """

    vectors: Tensor
    codes: Tensor
    loss: Tensor
    nats: Tensor | None = None

    def training_loss(self, numbers: int) -> Tensor:
        """The loss () of the vectors of a batch of signals of `numbers` values, per value as that of the signals."""
        loss = self.loss.mean()
        return loss if self.nats is None else loss + self.nats.sum() / numbers


class Quantizer(nn.Module, ABC):
    """A map from vectors of `dim` numbers to K codes, code k below `codebook_sizes[k]`, and back.

    Example:
        >>> import torch
        >>> from codeword.config import FiniteScalarQuantizerConfig
        >>> from codeword.quantizers import build_quantizer
        >>> quantizer = build_quantizer(FiniteScalarQuantizerConfig(channel_levels=(8, 5), dim=4))
        >>> quantizer.codebook_sizes
        (40,)
        >>> codes = quantizer.encode(torch.zeros(2, 3, 3, 4))
        >>> codes.shape, quantizer.decode(codes).shape
        (torch.Size([2, 3, 3, 1]), torch.Size([2, 3, 3, 4]))
    """

    dim: int
    codebook_sizes: tuple[int, ...]

    def freeze(self) -> None:
        """Keep weights and codebooks as they are also in training mode, which still draws the numbers of codes."""
        self.requires_grad_(False)

    @property
    def served_codes(self) -> tuple[int, ...]:
        """The numbers of leading codes of a cell that `decode` accepts; the last one is K."""
        return (len(self.codebook_sizes),)

    @property
    def settled(self) -> bool:
        """True if the codebooks keep their sizes."""
        return True

    def settle(self, counts: Sequence[Tensor]) -> Self:
        """This quantizer with codebooks of fixed sizes: the codewords that occur in `counts` (codebook_sizes[k],)."""
        return self

    def figures(self) -> dict[str, float]:
        """Figures of codebooks of changing size to log; none if they are settled."""
        return {}

    def with_effort(self, effort: int, *, codes: int | None = None) -> Self:
        """This quantizer, or a copy with the same weights whose `encode` searches longer; see `ResidualQuantizer`.

        The code of each codebook alone is found exactly, so most quantizers have nothing to search.
        """
        return self

    def draw_counts(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """The number of codes that each signal of a training batch keeps (B,), one of `served_codes`."""
        return torch.full((batch,), self.served_codes[-1])

    @abstractmethod
    def forward(self, z: Tensor, *, generator: torch.Generator | None = None) -> Quantized:
        """Quantize z (..., D). In training mode this also updates the codebook, with draws from `generator`."""

    @abstractmethod
    def encode(self, z: Tensor) -> Tensor:
        """Vectors (..., D) to codes (..., K) int64; the codebook is not updated."""

    def distances(self, z: Tensor, codes: Tensor, k: int) -> Tensor:
        """Squared distances (..., n) from z (..., D) to the vectors of codes (..., m), if code k is each of its n
        codewords in turn.

        The value of code k in `codes` does not matter; k may also be m, the code after them.

        Raises:
            UnsupportedError: this quantizer does not search for codewords.
        """
        raise UnsupportedError(
            f"The codes of a {type(self).__name__} are not found by distances, so none can be searched; leave out "
            "rate_weight and refine."
        )

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (..., K) to the vectors (..., D) of `forward`; fewer leading codes if `served_codes` allows them."""

    @torch.no_grad()
    def contributions(self) -> list[Tensor]:
        """For each code k, the vectors (codebook_sizes[k], D) that its codewords add to a cell, minus their mean."""
        found = []
        for k, words in enumerate(self.codewords()):
            codes = torch.zeros(len(words), len(self.codebook_sizes), dtype=torch.int64, device=words.device)
            codes[:, k] = torch.arange(len(words))
            vectors = self.decode(codes)
            found.append(vectors - vectors.mean(0))
        return found

    @abstractmethod
    def codewords(self) -> list[Tensor]:
        """The codewords of each code, (codebook_sizes[k], d_k), for figures and statistics."""


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` with the gradient of `z`."""
    # The gradient skips the argmin (van den Oord et al. 2017, sec. 3.2).
    return z + (quantized - z).detach()


def rotated(z: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` (..., D), with the gradient of the rotation and scaling that turn z into it.

    The rotation is a product of two reflections, and counts as a constant for the gradient (Fifty et al. 2024,
    "Restructuring Vector Quantization with the Rotation Trick", sec. 4).
    """
    with torch.no_grad():
        from_, to = F.normalize(z, dim=-1), F.normalize(quantized, dim=-1)
        between = F.normalize(from_ + to, dim=-1)
        scale = quantized.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    along, across = ((axis * z).sum(-1, keepdim=True) for axis in (from_, between))
    turned = scale * (z - 2 * between * across + 2 * to * along)
    return straight_through(turned, quantized)


def along_error(z: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` (..., D), as the sum of z and its error, of which the direction counts as a constant.

    The gradient across the error then reaches z, and that along it the codeword (Vali et al. 2025, "DiVeQ:
    Differentiable Vector Quantization Using the Reparameterization Trick", eq. 5, with noise of variance 0).
    """
    error = quantized - z
    moved = z + error.norm(dim=-1, keepdim=True) * F.normalize(error.detach(), dim=-1)
    return straight_through(moved, quantized)


ESTIMATORS = {"straight-through": straight_through, "rotation": rotated, "diveq": along_error}
"""The functions that give a codeword the gradient of its vector, by their names in a config."""
