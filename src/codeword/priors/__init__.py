"""Priors p(codes | label): exact log-probabilities, and a cached walk that draws or codes symbols."""

from pathlib import Path

from codeword.config import (
    MaskedConfig,
    PixelCNNConfig,
    PriorModelConfig,
    TransformerConfig,
    UniformPriorConfig,
    WaveNetConfig,
)
from codeword.priors.base import Prior, walk
from codeword.priors.exact import ExactPrior, make_exact
from codeword.priors.guided import Guided, guided
from codeword.priors.masked import Masked
from codeword.priors.pair import PairPrior
from codeword.priors.pixelcnn import PixelCNN
from codeword.priors.redrawing import redraw
from codeword.priors.sampler import Sampler, seeded
from codeword.priors.transformer import Transformer
from codeword.priors.uniform import Uniform
from codeword.priors.wavenet import WaveNet
from codeword.store import read_config

__all__ = [
    "ExactPrior",
    "Guided",
    "Masked",
    "PairPrior",
    "PixelCNN",
    "Prior",
    "Sampler",
    "Transformer",
    "Uniform",
    "WaveNet",
    "build_prior",
    "guided",
    "load_prior",
    "make_exact",
    "redraw",
    "seeded",
    "walk",
]


def build_prior(config: PriorModelConfig) -> Prior:
    """Build the prior of a config."""
    return _prior_class(config)(config)


def load_prior(folder: str | Path) -> Prior:
    """Load a prior of any kind from `folder`. Raises ModelError."""
    return _prior_class(read_config(Path(folder), PriorModelConfig)).from_pretrained(folder)


def _prior_class(config: PriorModelConfig) -> type[Prior]:
    match config.architecture:
        case UniformPriorConfig():
            return Uniform
        case PixelCNNConfig():
            return PixelCNN
        case WaveNetConfig():
            return WaveNet
        case TransformerConfig():
            return Transformer
        case MaskedConfig():
            return Masked
