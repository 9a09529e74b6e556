"""Quantizers: continuous vectors to discrete codes and back, channels last, for signals of any rank."""

from typing import Any

from codeword.config import (
    BinaryQuantizerConfig,
    FiniteScalarQuantizerConfig,
    GaussianLatentsConfig,
    IdentityQuantizerConfig,
    NoCodesConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    VectorQuantizerConfig,
    validate,
)
from codeword.quantizers.base import Quantized, Quantizer
from codeword.quantizers.binary import BinaryQuantizer
from codeword.quantizers.finite_scalar import FiniteScalarQuantizer
from codeword.quantizers.gaussian import GaussianLatents
from codeword.quantizers.identity import IdentityQuantizer
from codeword.quantizers.none import NoCodes
from codeword.quantizers.residual import ResidualQuantizer
from codeword.quantizers.search import nearest
from codeword.quantizers.usage import CodeUsage
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["CodeUsage", "Quantized", "Quantizer", "VectorQuantizer", "build_quantizer", "nearest", "quantizer"]


def quantizer(kind: str = "vector", **settings: Any) -> Quantizer:
    """A quantizer by plain settings, for a model of one's own: those of `[tokenizer.quantizer]` in a recipe.

    Raises:
        RecipeError: a setting is unknown, of the wrong type or out of range.

    Example:
        >>> import torch
        >>> vq = quantizer("vector", codebook_sizes=[512], dim=64, lookup_dim=8)
        >>> result = vq(torch.randn(2, 7, 7, 64))
        >>> result.vectors.shape, result.codes.shape, result.loss.mean().shape
        (torch.Size([2, 7, 7, 64]), torch.Size([2, 7, 7, 1]), torch.Size([]))
    """
    any_kind: Any = QuantizerConfig
    return build_quantizer(validate(any_kind, {"kind": kind, **settings}, place=f"The quantizer {kind}"))


def build_quantizer(config: QuantizerConfig) -> Quantizer:
    """Build the quantizer of a config."""
    match config:
        case VectorQuantizerConfig():
            return VectorQuantizer(config)
        case ResidualQuantizerConfig():
            return ResidualQuantizer(config)
        case FiniteScalarQuantizerConfig():
            return FiniteScalarQuantizer(config)
        case IdentityQuantizerConfig():
            return IdentityQuantizer(config)
        case BinaryQuantizerConfig():
            return BinaryQuantizer(config)
        case GaussianLatentsConfig():
            return GaussianLatents(config)
        case NoCodesConfig():
            return NoCodes(config)
