"""Random changes to a batch that keep its classes."""

import torch
from torch import Tensor


def flip(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """(B, C, H, W): each image mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)
