"""Many pictures side by side in one."""

from math import ceil, sqrt

import torch
from torch import Tensor


def mosaic(images: Tensor, *, columns: int | None = None, gap: int = 2) -> Tensor:
    """Images (N, C, H, W) side by side on white, row by row: uint8 (C, H', W'); square unless `columns` is given."""
    n, channels, height, width = images.shape
    columns = columns or ceil(sqrt(n))
    rows = ceil(n / columns)
    sheet = torch.full((channels, rows * (height + gap) - gap, columns * (width + gap) - gap), 255, dtype=torch.uint8)
    for i, image in enumerate(images.to(torch.uint8)):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet
