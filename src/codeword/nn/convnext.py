"""ConvNeXt blocks of any rank, optionally conditioned on a class."""

from math import prod
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import ConvNeXtTrunkConfig
from codeword.linear import Linear
from codeword.nn.conv import CONV, TRANSPOSED, channels_last, down, same, up

_SMALL = 0.1


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two pointwise layers, residual (Liu et al. 2022, fig. 4).

    With a `condition`, a linear map of it scales and shifts the normalised values (Peebles and Xie 2023, adaLN).
    """

    def __init__(self, ndim: int, width: int, hidden: int, kernel: int, condition: int = 0) -> None:
        super().__init__()
        self.spatial = same(ndim, width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width, elementwise_affine=not condition)
        self.adapt = Linear(condition, 2 * width) if condition else None
        self.project_in, self.project_out = Linear(width, hidden), Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))
        if self.adapt is not None:
            nn.init.normal_(self.adapt.weight, std=0.02)
            nn.init.zeros_(self.adapt.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """X (B, W, *S) and condition (B, E) to (B, W, *S)."""
        h = self.norm(self.spatial(x).movedim(1, -1))
        if self.adapt is not None:
            adapted = self.adapt(condition).view(x.shape[0], 2, *[1] * (x.ndim - 2), -1)
            h = torch.addcmul(adapted[:, 1], h, 1 + adapted[:, 0])
        h = self.project_out(F.gelu(self.project_in(h)))
        return torch.addcmul(x.movedim(1, -1), h, self.scale).movedim(-1, 1)


class ConvNeXtEncoder(nn.Module):
    """A wide convolution, the strides, then the blocks at the coarsest resolution. (B, C, *S) to (B, D, *G).

    A linear map of each cell's own patch is added. It quickly learns what a k-means codec does; the output of the
    blocks starts small.
    """

    def __init__(self, config: ConvNeXtTrunkConfig, ndim: int, channels: int, dim: int) -> None:
        super().__init__()
        width = config.width
        self.layers = nn.Sequential(
            same(ndim, channels, width, 5),
            *(down(ndim, width, width, stride) for stride in config.strides),
            ChannelNorm(width),
            *(ConvNeXtBlock(ndim, width, config.hidden, config.kernel) for _ in range(config.encoder_blocks)),
            ChannelNorm(width),
            same(ndim, width, dim, 1),
        )
        self.scale = nn.Parameter(torch.full((dim, *[1] * ndim), _SMALL))
        self.patches = CONV[ndim](channels, dim, prod(config.strides), prod(config.strides))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.patches(x) + self.scale * self.layers(x))


class ConvNeXtDecoder(nn.Module):
    """The transposed strides, then the blocks at the finest resolution. (B, D, *G) to (B, F, *S).

    As in the encoder, a linear map of each cell is added.
    """

    def __init__(self, config: ConvNeXtTrunkConfig, ndim: int, dim: int, features: int) -> None:
        super().__init__()
        width = config.width
        self.widen = nn.Sequential(
            same(ndim, dim, width, 3),
            *(up(ndim, width, width, stride) for stride in reversed(config.strides)),
            ChannelNorm(width),
        )
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(ndim, width, config.hidden, config.kernel, condition=dim)
            for _ in range(config.decoder_blocks)
        )
        self.finish = nn.Sequential(ChannelNorm(width), same(ndim, width, features, 1))
        self.scale = nn.Parameter(torch.full((features, *[1] * ndim), _SMALL))
        self.patches = TRANSPOSED[ndim](dim, features, prod(config.strides), prod(config.strides))

    def forward(self, vectors: Tensor, condition: Tensor) -> Tensor:
        h = channels_last(self.widen(vectors))
        for block in cast(list[ConvNeXtBlock], self.blocks):
            h = block(h, condition)
        return cast(Tensor, self.patches(vectors) + self.scale * self.finish(h))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, *S)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
