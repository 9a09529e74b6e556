"""Quantizers: continuous vectors to discrete codes and back, channels last, for signals of any rank."""

from codeword.config import (
    BinaryQuantizerConfig,
    FiniteScalarQuantizerConfig,
    GaussianLatentsConfig,
    IdentityQuantizerConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    VectorQuantizerConfig,
)
from codeword.quantizers.base import Quantized, Quantizer
from codeword.quantizers.binary import BinaryQuantizer
from codeword.quantizers.finite_scalar import FiniteScalarQuantizer
from codeword.quantizers.gaussian import GaussianLatents
from codeword.quantizers.identity import IdentityQuantizer
from codeword.quantizers.residual import ResidualQuantizer
from codeword.quantizers.search import nearest
from codeword.quantizers.usage import CodeUsage
from codeword.quantizers.vector import VectorQuantizer

__all__ = ["CodeUsage", "Quantized", "Quantizer", "VectorQuantizer", "build_quantizer", "nearest"]


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
