"""Encoders (B, C, *S) to (B, D, *G) and decoders (B, D, *G) to (B, F, *S), built from the recipe.

Decoders also take a vector (B, D), the embedding of the class.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from codeword.config import ConvNeXtTrunkConfig, ConvTrunkConfig, IdentityTrunkConfig, ResidualTrunkConfig, TrunkConfig
from codeword.nn.conv import down, same, up
from codeword.nn.convnext import ConvNeXtDecoder, ConvNeXtEncoder


def build_trunk(
    config: TrunkConfig, *, ndim: int, channels: int, dim: int, features: int
) -> tuple[nn.Module, nn.Module]:
    """Build the encoder from `channels` to vectors of `dim`, and the decoder from these to `features` channels."""
    match config:
        case ConvTrunkConfig():
            return _conv_trunk(config, ndim, channels, dim, features)
        case ResidualTrunkConfig():
            return _residual_trunk(config, ndim, channels, dim, features)
        case ConvNeXtTrunkConfig():
            return ConvNeXtEncoder(config, ndim, channels, dim), ConvNeXtDecoder(config, ndim, dim, features)
        case IdentityTrunkConfig():
            return _Layers(), _Layers()


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

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """X (B, C, *S) and condition (B, C) to the output of the layers (B, C', *S')."""
        if condition is not None:
            x = x + condition.view(*condition.shape, *[1] * (x.ndim - 2))
        out: Tensor = self.layers(x)
        return out


def _conv_trunk(
    config: ConvTrunkConfig, ndim: int, channels: int, dim: int, features: int
) -> tuple[nn.Module, nn.Module]:
    """The VQ-VAE conv trunk (van den Oord et al. 2017, as in Sonnet's example).

    Encoder: strided convs with ReLU, a 3x3, a residual stack, a 1x1 to `dim`. Decoder: a 3x3, a residual stack,
    transposed convs with ReLU between.
    """
    width = config.width
    # Half the width at the finest resolution, where a layer costs most, as in Sonnet.
    widths = [width // 2 if len(config.strides) > 1 else width, *[width] * (len(config.strides) - 1)]
    strided = [
        layer
        for stride, (before, after) in zip(config.strides, pairwise([channels, *widths]), strict=True)
        for layer in (down(ndim, before, after, stride), nn.ReLU())
    ]
    encoder = _Layers(*strided, same(ndim, width, width, 3), _residual_stack(config, ndim), same(ndim, width, dim, 1))
    transposed = [
        layer
        for stride, (before, after) in zip(config.strides[::-1], pairwise([*widths[::-1], features]), strict=True)
        for layer in (up(ndim, before, after, stride), nn.ReLU())
    ]
    return encoder, _Layers(same(ndim, dim, width, 3), _residual_stack(config, ndim), *transposed[:-1])


def _residual_stack(config: ConvTrunkConfig, ndim: int) -> nn.Sequential:
    blocks = (ResidualBlock(ndim, config.width, config.residual_width) for _ in range(config.residual_blocks))
    return nn.Sequential(*blocks, nn.ReLU())


def _residual_trunk(
    config: ResidualTrunkConfig, ndim: int, channels: int, dim: int, features: int
) -> tuple[nn.Module, nn.Module]:
    """Residual blocks at each resolution: the encoder's from fine to coarse, the decoder's from coarse to fine."""

    def blocks(counts: tuple[int, ...], i: int) -> list[nn.Module]:
        return [ResidualBlock(ndim, widths[i], widths[i]) for _ in range(counts[i])]

    widths, strides = config.widths, config.strides
    if len(strides) == len(widths):
        # Strided layers between the signal and the finest blocks, as few channels are slow at its own resolution.
        read, write = down(ndim, channels, widths[0], strides[0]), up(ndim, widths[0], features, strides[0])
        strides = strides[1:]
    else:
        read, write = same(ndim, channels, widths[0], 3), same(ndim, widths[0], features, 1)
    layers = [read, *blocks(config.encoder_blocks, 0)]
    for i, stride in enumerate(strides):
        layers += [down(ndim, widths[i], widths[i + 1], stride), *blocks(config.encoder_blocks, i + 1)]
    encoder = _Layers(*layers, nn.ReLU(), same(ndim, widths[-1], dim, 1))
    layers = [same(ndim, dim, widths[-1], 3), *blocks(config.decoder_blocks, -1)]
    for i, stride in reversed(list(enumerate(strides))):
        layers += [up(ndim, widths[i + 1], widths[i], stride), *blocks(config.decoder_blocks, i)]
    return encoder, _Layers(*layers, nn.ReLU(), write)
