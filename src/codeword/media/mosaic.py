"""A grid of pictures in one picture."""

from math import ceil, sqrt

import torch
from torch import Tensor


def mosaic(images: Tensor, *, columns: int | None = None, gap: int = 2) -> Tensor:
    """Arrange images (N, C, H, W) row by row on white, `gap` pixels apart: uint8 (C, H', W'), by default a square."""
    n, channels, height, width = images.shape
    columns = columns or ceil(sqrt(n))
    rows = ceil(n / columns)
    sheet = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 255, dtype=torch.uint8)
    for i, image in enumerate(images.to(torch.uint8)):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet
