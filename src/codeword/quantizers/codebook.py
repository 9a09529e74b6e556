"""One codebook: its codewords, their initialisation and updates, and the revival of unused ones."""

import torch
from torch import Tensor, nn

from codeword.config import CodebookConfig
from codeword.nn.distributed import copy_from_first_rank, sum_over_ranks
from codeword.quantizers.search import nearest
from codeword.quantizers.usage import histogram

KMEANS_ITERATIONS = 10
SMOOTHING = 1e-5


class Codebook(nn.Module):
    """`size` codewords of `dim` numbers, learned by gradient or as moving averages of their assigned vectors.

    The state is `vectors` (size, dim) and the decayed `counts` (size,) and `sums` (size, dim) of the vectors
    assigned to each codeword (van den Oord et al. 2017, appendix A.1, eq. 6-8). `sums` equals `vectors * counts`
    from the first step on: with counts 0 and other sums at the start, nearly every codeword diverges.
    """

    counts: Tensor
    sums: Tensor
    ready: Tensor

    def __init__(self, config: CodebookConfig, size: int, dim: int) -> None:
        super().__init__()
        self.config = config
        self.frozen = False
        vectors = torch.empty(size, dim).uniform_(-1 / size, 1 / size)
        self._create(vectors)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", vectors.clone())
        self.register_buffer("ready", torch.tensor(config.init == "uniform"))

    vectors: Tensor

    def _create(self, vectors: Tensor) -> None:
        if self.config.update == "gradient":
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)

    @property
    def start(self) -> int:
        """The number of codewords that `prepare` initialises."""
        return len(self.counts)

    def _place(self, vectors: Tensor) -> None:
        """Move the first codewords."""
        self.vectors[: len(vectors)] = vectors

    @property
    def costs(self) -> Tensor | None:
        """`rate_weight` times the bits of each codeword (size,), which the search adds to the squared distance.

        None if the weight is 0.
        """
        if not self.config.rate_weight:
            return None
        share = (self.counts + SMOOTHING) / (self.counts + SMOOTHING).sum()
        return -self.config.rate_weight * share.log2()

    def assign(self, z: Tensor) -> Tensor:
        """Vectors z (..., dim) to codes (...)."""
        return nearest(z.reshape(-1, z.shape[-1]), self.vectors, costs=self.costs).view(z.shape[:-1])

    def distances(self, z: Tensor) -> Tensor:
        """Squared distances (..., size) of vectors z (..., dim) from all codewords."""
        norms = z.square().sum(-1, keepdim=True) + self.vectors.square().sum(1)
        return norms - 2 * z @ self.vectors.t()

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (...) to codewords (..., dim)."""
        return nn.functional.embedding(codes, self.vectors)

    @torch.no_grad()
    def prepare(self, z: Tensor, generator: torch.Generator | None) -> None:
        """Initialise the codewords from the first training batch z (..., dim); later calls do nothing."""
        if self.ready or self.frozen:
            return
        z = z.reshape(-1, z.shape[-1])
        initial = cluster if self.config.init == "kmeans" else draw_rows
        vectors = copy_from_first_rank(self._normalise(initial(z, self.start, generator)))
        self._place(vectors)
        self.counts[: self.start] = 1.0
        self.sums[: self.start] = vectors
        self.ready.fill_(True)

    @torch.no_grad()
    def follow(self, z: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        """Move the averages, and in EMA mode the codewords, toward z (..., dim) assigned to codes (...).

        Nothing moves once the codebook is `frozen`.
        """
        if self.frozen:
            return
        z, codes = z.reshape(-1, z.shape[-1]), codes.reshape(-1)
        counts = histogram(codes, len(self.counts)).to(z.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, z)
        sum_over_ranks(counts, sums)
        self.counts.lerp_(counts, 1 - self.config.decay)
        self.sums.lerp_(sums, 1 - self.config.decay)
        if self.config.update == "ema":
            total = self.counts.sum()
            # Laplace smoothing keeps the division finite; the state itself is not smoothed.
            smoothed = (self.counts + SMOOTHING) / (total + len(self.counts) * SMOOTHING) * total
            self.vectors.copy_(self._normalise(self.sums / smoothed[:, None]))
        self._renew(z, codes, generator)

    def _renew(self, z: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        """Move unused codewords to random vectors of z (N, dim), which is assigned to codes (N,)."""
        # Without a branch on the data, so that a GPU does not synchronise at each step.
        uniform = self.counts.mean()
        dead = self.counts < self.config.revive_below * uniform
        fresh = copy_from_first_rank(self._normalise(draw_rows(z, len(self.counts), generator)))
        # Count and sum are reset too: a revived codeword with its old count would die again in one step.
        self.counts.copy_(torch.where(dead, uniform, self.counts))
        self.sums.copy_(torch.where(dead[:, None], fresh * uniform, self.sums))
        self.vectors.copy_(torch.where(dead[:, None], fresh, self.vectors))

    def _normalise(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=-1) if self.config.cosine else vectors


class LinearCodebook(Codebook):
    """Codewords that are one learned linear map of fixed vectors (Zhu et al. 2024, SimVQ, eq. 5).

    A gradient on any codeword moves all of them, so none is revived.
    """

    basis: Tensor

    @property
    def vectors(self) -> Tensor:  # type: ignore[override]
        """The codewords (size, dim)."""
        mapped: Tensor = self.linear(self.basis)
        return mapped

    def _create(self, vectors: Tensor) -> None:
        self.register_buffer("basis", vectors)
        self.linear = nn.Linear(vectors.shape[1], vectors.shape[1], bias=False)
        nn.init.eye_(self.linear.weight)

    def _place(self, vectors: Tensor) -> None:
        self.basis.copy_(vectors)

    def _renew(self, z: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        pass


def draw_rows(z: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` random rows of z (N, D), all different if N >= count."""
    # Drawn on the CPU, so that one seed gives the same codebook on every device.
    if len(z) >= count:
        rows = torch.randperm(len(z), generator=generator)[:count]
    else:
        rows = torch.randint(len(z), (count,), generator=generator)
    return z[rows.to(z.device)]


def cluster(z: Tensor, count: int, generator: torch.Generator | None, *, iterations: int = KMEANS_ITERATIONS) -> Tensor:
    """Means (count, D) of z (N, D) by k-means from random rows; an empty cluster moves to a random vector."""
    vectors = draw_rows(z, count, generator)
    for _ in range(iterations):
        codes = nearest(z, vectors)
        counts = histogram(codes, len(vectors)).to(z.dtype)
        sums = torch.zeros_like(vectors).index_add_(0, codes, z)
        fresh = draw_rows(z, len(vectors), generator)
        vectors = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), fresh)
    return vectors
