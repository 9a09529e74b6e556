"""Codebook usage, counted over a whole split, because averages of figures of single batches are biased."""

import torch
from torch import Tensor


class CodeUsage:
    """Counts of codes over all added batches; K codes, code k below `codebook_sizes[k]`."""

    def __init__(self, codebook_sizes: tuple[int, ...]) -> None:
        self.counts = [torch.zeros(n, dtype=torch.int64) for n in codebook_sizes]

    def add(self, codes: Tensor) -> None:
        """Count codes (..., K) on any device."""
        for k, counts in enumerate(self.counts):
            self.counts[k] = counts.to(codes.device) + histogram(codes[..., k].reshape(-1), len(counts))

    @property
    def usage(self) -> float:
        """Fraction of all codewords that occurred at least once."""
        return sum(int((c > 0).sum()) for c in self.counts) / sum(len(c) for c in self.counts)

    @property
    def perplexity(self) -> float:
        """Two to the power of the order-0 entropy in bits; of the mean entropy if there are several codes."""
        return float(2 ** (sum(entropy_bits(c) for c in self.counts) / len(self.counts)))


def histogram(codes: Tensor, size: int) -> Tensor:
    """Counts (size,) int64 of each codeword in codes (N,)."""
    # bincount would synchronise with a GPU to find the largest code.
    return torch.zeros(size, dtype=torch.int64, device=codes.device).index_add_(0, codes, torch.ones_like(codes))


def entropy_bits(counts: Tensor) -> float:
    """Entropy of the histogram `counts` (n,), in bits."""
    p = counts.double() / counts.sum().clamp(min=1)
    return float(-(p * p.clamp(min=1e-300).log2()).sum())
