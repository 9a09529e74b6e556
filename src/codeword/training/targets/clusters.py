"""Clusters of sounds, found without a transcript: cells of cepstra in a whitened space, smoothed in time.

The result is a target code for each cell of a recording. No network is involved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.config import ClustersConfig
from codeword.quantizers import nearest
from codeword.quantizers.codebook import cluster
from codeword.spectra.cepstra import cells_of, with_neighbours

KMEANS_ITERATIONS = 30

_UNSEEN = 0.1  # The count of a bigram that never occurred.


@dataclass(frozen=True)
class Affine:
    """A map of x (N, F) to x `weight` (F, D) + `bias` (D,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def whitening(x: Tensor, labels: Tensor, dim: int, *, shrinkage: float = 1e-3) -> Affine:
    """The map of x (N, F) to the `dim` numbers that best separate the classes `labels` (N,), each of unit variance.

    Linear discriminant analysis (Fisher 1936; for speech Haeb-Umbach and Ney 1992, sec. 2): with the scatter T of all
    and W within classes, the first eigenvectors of T v = e W v, scaled to v' W v = 1. `shrinkage` times the mean
    variance is added to W, so that it is invertible.
    """
    x, classes = x.double(), int(labels.max()) + 1
    centre = x.mean(0)
    x = x - centre
    counts = torch.bincount(labels, minlength=classes).double()
    sums = x.new_zeros(classes, x.shape[1]).index_add_(0, labels, x)
    total = x.t() @ x / len(x)
    within = total - sums.t() @ (sums / counts.clamp(min=1)[:, None]) / len(x)
    within = within + shrinkage * total.diagonal().mean() * torch.eye(len(total), dtype=total.dtype)
    # With W = L L', the eigenvectors u of L^-1 T L^-T are orthogonal, and v = L^-T u.
    root: Tensor = torch.linalg.cholesky(within)
    inverse = torch.linalg.solve_triangular(root, torch.eye(len(root), dtype=root.dtype), upper=False)
    _, vectors = torch.linalg.eigh(inverse @ total @ inverse.t())
    weight = inverse.t() @ vectors.flip(1)[:, :dim]
    return Affine(weight.float(), -(centre @ weight).float())


def ridge(x: Tensor, y: Tensor, *, penalty: float) -> Affine:
    """Ridge regression of y (N, D) on x (N, F): squared errors plus `penalty` times the squared weights."""
    joined = torch.cat([x, x.new_ones(len(x), 1)], 1)
    gram = joined.t() @ joined + penalty * torch.eye(joined.shape[1])
    solution: Tensor = torch.linalg.solve(gram, joined.t() @ y)
    return Affine(solution[:-1], solution[-1])


def best_path(scores: Tensor, transitions: Tensor) -> Tensor:
    """The codes (N,) with the largest sum of scores (N, K) and of transitions (K from, K to) between them (Viterbi)."""
    arriving = transitions.t().contiguous()
    best, origins = scores[0], []
    for row in scores[1:]:
        best, origin = (arriving + best).max(1)
        origins.append(origin)
        best = best + row
    path = [int(best.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return torch.tensor(path[::-1])


def bigrams(codes: Sequence[Tensor], codebook_size: int) -> Tensor:
    """Log-probabilities of each code after each other (K from, K to), from sequences of codes (G,)."""
    counts = torch.full((codebook_size, codebook_size), _UNSEEN)
    for sequence in codes:
        counts.index_put_((sequence[:-1], sequence[1:]), torch.ones(len(sequence) - 1), accumulate=True)
    return (counts / counts.sum(1, keepdim=True)).log()


@dataclass(frozen=True)
class Clusters:
    """The target code of each cell.

    `codewords` (K, D) are the means over all speakers in the space of `whiten`. `voices` (S, K, D) are the means for
    each speaker, so that one sound of two speakers is one code: a weighted average of the common mean and the speaker's
    own mean, whose weight grows with the number of cells (the MAP estimate of Gauvain and Lee 1994). An unseen speaker
    has the common means. `variance` is the mean squared distance of cells from their means in `voices`, per dimension.
    """

    config: ClustersConfig
    span: int
    whiten: Affine
    codewords: Tensor
    voices: Tensor
    variance: Tensor
    transitions: Tensor

    @classmethod
    def fit(
        cls,
        config: ClustersConfig,
        cepstra: Sequence[Tensor],
        speakers: Sequence[int],
        *,
        span: int,
        codebook_size: int,
        dim: int,
        generator: torch.Generator,
    ) -> "Clusters":
        """Find `codebook_size` clusters in `dim` dimensions of recordings' cepstra (C, N), `span` frames per cell."""
        cells = [cells_of(frames, span) for frames in cepstra]
        labels = _kmeans(torch.cat(cells), config.classes, generator)[1]
        joined = torch.cat([with_neighbours(x, config.context) for x in cells])
        whiten = whitening(joined, labels, dim)
        z, lengths = whiten(joined), [len(x) for x in cells]
        spoken_by = torch.tensor(speakers).repeat_interleave(torch.tensor(lengths))
        codewords, codes = _kmeans(z, codebook_size, generator)

        def explain(codes: Tensor, codewords: Tensor) -> Clusters:
            # Nearly no weight for the old means, which only matter for a code without cells.
            common = _means(z, codes, codewords, weight=1e-6)
            rows = spoken_by * codebook_size + codes
            voices = _means(z, rows, common.repeat(max(speakers) + 1, 1), weight=config.adaptation)
            return cls(
                config,
                span,
                whiten,
                common,
                voices.view(-1, codebook_size, dim),
                (z - voices[rows]).square().mean(),
                bigrams(codes.split(lengths), codebook_size),
            )

        fitted = explain(codes, codewords)
        for _ in range(config.rounds):
            paths = [fitted._path(part, speaker) for part, speaker in zip(z.split(lengths), speakers, strict=True)]
            fitted = explain(torch.cat(paths), fitted.codewords)
        return fitted

    def vectors(self, cepstra: Tensor) -> Tensor:
        """Cepstra (C, N) to the whitened cells (N // span, D)."""
        return self.whiten(with_neighbours(cells_of(cepstra, self.span), self.config.context))

    def codes(self, cepstra: Tensor, speaker: int) -> Tensor:
        """Codes (N - span + 1,) of the cells that start at each frame of cepstra (C, N), given the speaker's number."""
        codes = torch.empty(cepstra.shape[1] - self.span + 1, dtype=torch.int64)
        for first in range(min(self.span, len(codes))):
            codes[first :: self.span] = self._path(self.vectors(cepstra[:, first:]), speaker)
        return codes

    def _path(self, z: Tensor, speaker: int) -> Tensor:
        codewords = self.voices[speaker] if speaker < len(self.voices) else self.codewords
        scores = -torch.cdist(z, codewords).square() / (2 * self.variance)
        return best_path(scores, self.config.smoothing * self.transitions)


def _kmeans(x: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means (count, D) of clusters of x (N, D), and the cluster of each vector (N,)."""
    means = cluster(x, count, generator, iterations=KMEANS_ITERATIONS)
    return means, nearest(x, means)


def _means(x: Tensor, rows: Tensor, before: Tensor, *, weight: float) -> Tensor:
    """Means (R, D) of the vectors x (N, D) by `rows` (N,); `before` (R, D) counts as `weight` vectors of each."""
    counts = torch.bincount(rows, minlength=len(before))[:, None]
    sums = torch.zeros_like(before).index_add_(0, rows, x)
    return (sums + weight * before) / (counts + weight)
