"""Residual blocks and stacks of any rank."""

import torch.nn.functional as F
from torch import Tensor, nn

from codeword.nn.conv import same


class ResidualBlock(nn.Module):
    """x + 1x1(ReLU(3x3(ReLU(x)))): the block of the VQ-VAE paper, sec. 4.1. (B, C, *S) to (B, C, *S)."""

    def __init__(self, ndim: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.spatial = same(ndim, channels, hidden, 3)
        self.pointwise = same(ndim, hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.pointwise(F.relu(self.spatial(F.relu(x))))
        return out


def residual_stack(ndim: int, channels: int, hidden: int, blocks: int) -> nn.Sequential:
    """`blocks` residual blocks and a last ReLU."""
    return nn.Sequential(*(ResidualBlock(ndim, channels, hidden) for _ in range(blocks)), nn.ReLU())
