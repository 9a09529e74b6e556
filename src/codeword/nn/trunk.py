"""Encoders (B, C, *S) to (B, D, *G) and decoders (B, D, *G) to (B, F, *S), built from the recipe.

Decoders also take a vector (B, D), the embedding of the class.
"""

from math import prod
from typing import assert_never

import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import ConvNeXtTrunkConfig, ConvTrunkConfig, ResidualTrunkConfig, TrunkConfig
from codeword.nn.conv import down, same, up
from codeword.nn.convnext import ConvNeXtDecoder, ConvNeXtEncoder


def hop(config: TrunkConfig) -> int:
    """Signal values per code cell along each axis."""
    return prod(config.strides)


def build_trunk(
    config: TrunkConfig, *, ndim: int, channels: int, dim: int, features: int
) -> tuple[nn.Module, nn.Module]:
    """Build the encoder from `channels` to vectors of `dim`, and the decoder from these to `features` channels."""
    match config:
        case ConvTrunkConfig():
            return ConvEncoder(config, ndim, channels, dim), ConvDecoder(config, ndim, dim, features)
        case ResidualTrunkConfig():
            return ResidualEncoder(config, ndim, channels, dim), ResidualDecoder(config, ndim, dim, features)
        case ConvNeXtTrunkConfig():
            return ConvNeXtEncoder(config, ndim, channels, dim), ConvNeXtDecoder(config, ndim, dim, features)
        case _:
            assert_never(config)


class ResidualBlock(nn.Module):
    """x + 1x1(ReLU(3x3(ReLU(x)))): the block of the VQ-VAE paper, sec. 4.1. (B, C, *S) to (B, C, *S)."""

    def __init__(self, ndim: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.spatial = same(ndim, channels, hidden, 3)
        self.pointwise = same(ndim, hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.pointwise(F.relu(self.spatial(F.relu(x))))
        return out


class _Layers(nn.Module):
    """Layers in sequence; a decoder adds its condition to the input."""

    layers: nn.Sequential

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """X (B, C, *S) and condition (B, C) to the output of the layers (B, C', *S')."""
        if condition is not None:
            x = x + condition.view(*condition.shape, *[1] * (x.ndim - 2))
        out: Tensor = self.layers(x)
        return out


class ConvEncoder(_Layers):
    """The encoder of the VQ-VAE conv trunk (van den Oord et al. 2017, as in Sonnet's example).

    Strided convs with ReLU, a 3x3, a residual stack, a 1x1 to `dim`.
    """

    def __init__(self, config: ConvTrunkConfig, ndim: int, channels: int, dim: int) -> None:
        super().__init__()
        widths = [channels, *_conv_widths(config)]
        strided = [
            layer
            for stride, before, after in zip(config.strides, widths[:-1], widths[1:], strict=True)
            for layer in (down(ndim, before, after, stride), nn.ReLU())
        ]
        self.layers = nn.Sequential(
            *strided,
            same(ndim, config.width, config.width, 3),
            _residual_stack(config, ndim),
            same(ndim, config.width, dim, 1),
        )


class ConvDecoder(_Layers):
    """The decoder of the same trunk: a 3x3, a residual stack, transposed convs with ReLU between."""

    def __init__(self, config: ConvTrunkConfig, ndim: int, dim: int, features: int) -> None:
        super().__init__()
        widths = [*_conv_widths(config)[::-1], features]
        transposed = [
            layer
            for stride, before, after in zip(config.strides[::-1], widths[:-1], widths[1:], strict=True)
            for layer in (up(ndim, before, after, stride), nn.ReLU())
        ]
        self.layers = nn.Sequential(same(ndim, dim, config.width, 3), _residual_stack(config, ndim), *transposed[:-1])


def _residual_stack(config: ConvTrunkConfig, ndim: int) -> nn.Sequential:
    blocks = (ResidualBlock(ndim, config.width, config.residual_width) for _ in range(config.residual_blocks))
    return nn.Sequential(*blocks, nn.ReLU())


def _conv_widths(config: ConvTrunkConfig) -> list[int]:
    # Half the width at the finest resolution, where a layer costs most, as in Sonnet.
    coarser = [config.width] * (len(config.strides) - 1)
    return [config.width // 2, *coarser] if coarser else [config.width]


class ResidualEncoder(_Layers):
    """Residual blocks at each resolution, from fine to coarse."""

    def __init__(self, config: ResidualTrunkConfig, ndim: int, channels: int, dim: int) -> None:
        super().__init__()
        layers = [same(ndim, channels, config.widths[0], 3), *_blocks(ndim, config.widths[0], config.encoder_blocks[0])]
        for i, stride in enumerate(config.strides, start=1):
            layers.append(down(ndim, config.widths[i - 1], config.widths[i], stride))
            layers += _blocks(ndim, config.widths[i], config.encoder_blocks[i])
        self.layers = nn.Sequential(*layers, nn.ReLU(), same(ndim, config.widths[-1], dim, 1))


class ResidualDecoder(_Layers):
    """Residual blocks at each resolution, from coarse to fine."""

    def __init__(self, config: ResidualTrunkConfig, ndim: int, dim: int, features: int) -> None:
        super().__init__()
        layers = [same(ndim, dim, config.widths[-1], 3), *_blocks(ndim, config.widths[-1], config.decoder_blocks[-1])]
        for i, stride in reversed(list(enumerate(config.strides))):
            layers.append(up(ndim, config.widths[i + 1], config.widths[i], stride))
            layers += _blocks(ndim, config.widths[i], config.decoder_blocks[i])
        self.layers = nn.Sequential(*layers, nn.ReLU(), same(ndim, config.widths[0], features, 1))


def _blocks(ndim: int, width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(ndim, width, width) for _ in range(count)]
