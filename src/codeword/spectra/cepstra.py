"""Cepstra: the shape of a spectrum in few numbers, and cells of frames side by side."""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

_QUIETEST_SPREAD = 0.1


def standardised(bands: Tensor) -> Tensor:
    """(..., N) with the mean of each row taken out and its scale brought to 1; silence, which has none, to 0."""
    spread = bands.std(-1, correction=0, keepdim=True).clamp(min=_QUIETEST_SPREAD)
    return (bands - bands.mean(-1, keepdim=True)) / spread


def cepstra(log_mels: Tensor, count: int) -> Tensor:
    """The first `count` cosines of log-mels (..., mels, N), standardised over the recording: (..., count, N).

    Davis and Mermelstein 1980, eq. 1. The first of all is the loudness.
    """
    mels = log_mels.shape[-2]
    places = (torch.arange(mels, device=log_mels.device) + 0.5) / mels
    waves = torch.cos(pi * torch.arange(count, device=log_mels.device)[:, None] * places)
    return standardised(waves @ log_mels)


def cells_of(frames: Tensor, span: int) -> Tensor:
    """Frames (F, N) to cells of `span` frames side by side (N // span, span * F); what is left over goes."""
    count = frames.shape[-1] // span
    return frames[:, : count * span].t().reshape(count, span * len(frames))


def with_neighbours(features: Tensor, reach: int = 1) -> Tensor:
    """Each cell's features (G, D) beside those of `reach` cells to both sides (G, (2 * reach + 1) * D), 0 beyond."""
    padded = F.pad(features, (0, 0, reach, reach))
    return torch.cat([padded[i : i + len(features)] for i in range(2 * reach + 1)], 1)
