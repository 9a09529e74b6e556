"""Random changes to a batch that keep its classes."""

import torch
from torch import Tensor


def flip(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """(B, C, H, W): each image mirrored left to right with probability 1/2."""
    mirrored = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def shift(x: Tensor, most: int, *, generator: torch.Generator) -> Tensor:
    """(B, C, *S): each signal moved by up to `most` values along each axis, and mirrored at its borders."""
    for axis in range(2, x.ndim):
        last = x.shape[axis] - 1
        moved = torch.arange(last + 1) + torch.randint(-most, most + 1, (len(x), 1), generator=generator)
        places = last - (last - moved.abs()).abs()
        x = x.take_along_dim(
            places.to(x.device).view(len(x), *(-1 if i == axis else 1 for i in range(1, x.ndim))), axis
        )
    return x
