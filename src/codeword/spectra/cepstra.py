"""Cepstra of log-mels, and cells of consecutive frames."""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

_QUIETEST_SPREAD = 0.1


def standardised(bands: Tensor) -> Tensor:
    """Rows (..., N) with mean 0 and deviation 1; a row of silence, which has no deviation, becomes 0."""
    spread = bands.std(-1, correction=0, keepdim=True).clamp(min=_QUIETEST_SPREAD)
    return (bands - bands.mean(-1, keepdim=True)) / spread


def cepstra(log_mels: Tensor, count: int) -> Tensor:
    """The first `count` cosines of log-mels (..., mels, N), standardised over the recording: (..., count, N).

    Davis and Mermelstein 1980, eq. 1. The first one is the loudness.
    """
    mels = log_mels.shape[-2]
    places = (torch.arange(mels, device=log_mels.device) + 0.5) / mels
    waves = torch.cos(pi * torch.arange(count, device=log_mels.device)[:, None] * places)
    return standardised(waves @ log_mels)


def cells_of(frames: Tensor, span: int) -> Tensor:
    """Frames (F, N) to cells of `span` consecutive frames (N // span, span * F); remaining frames are dropped."""
    count = frames.shape[-1] // span
    return frames[:, : count * span].t().reshape(count, span * len(frames))


def with_neighbours(features: Tensor, reach: int = 1) -> Tensor:
    """Cells (G, D) joined with `reach` neighbours to each side (G, (2 * reach + 1) * D); zeros beyond the ends."""
    padded = F.pad(features, (0, 0, reach, reach))
    return torch.cat([padded[i : i + len(features)] for i in range(2 * reach + 1)], 1)
