"""What a recipe may say: frozen models that check themselves, tagged by `kind` where there is a choice.

A recipe is TOML (PyYAML would read `1e-4` as a string and `no` as False). Every part of Codeword is
built from one of these models and nothing else, and the same models are what `config.json` holds.
"""

from codeword.config.base import Config
from codeword.config.data import (
    AudioConfig,
    AudioFolderConfig,
    Cifar10Config,
    DataConfig,
    ImageFolderConfig,
    LibriSpeechConfig,
    SyntheticImagesConfig,
    SyntheticSpeechConfig,
)
from codeword.config.prior import (
    LearnedPriorConfig,
    PixelCNNConfig,
    PriorConfig,
    PriorModelConfig,
    UniformPriorConfig,
    WaveNetConfig,
)
from codeword.config.quantizer import (
    CodebookConfig,
    FiniteScalarQuantizerConfig,
    QuantizerConfig,
    ResidualQuantizerConfig,
    VectorQuantizerConfig,
)
from codeword.config.reading import load_recipe, shipped_recipes, validate, validate_json
from codeword.config.recipe import EvaluationConfig, Recipe, TrainingConfig
from codeword.config.targets import ClustersConfig
from codeword.config.tokenizer import (
    CategoricalConfig,
    GaussianConfig,
    LikelihoodConfig,
    LogisticMixtureConfig,
    SpectralConfig,
    SpectrogramConfig,
    TokenizerConfig,
    WaveNetDecoderConfig,
)
from codeword.config.trunk import (
    ConvNeXtTrunkConfig,
    ConvTrunkConfig,
    FrontendConfig,
    HeadConfig,
    HoldConfig,
    ISTFTConfig,
    LogMelConfig,
    ResidualTrunkConfig,
    SamplesConfig,
    TrunkConfig,
)

__all__ = [
    "AudioConfig",
    "AudioFolderConfig",
    "CategoricalConfig",
    "Cifar10Config",
    "ClustersConfig",
    "CodebookConfig",
    "Config",
    "ConvNeXtTrunkConfig",
    "ConvTrunkConfig",
    "DataConfig",
    "EvaluationConfig",
    "FiniteScalarQuantizerConfig",
    "FrontendConfig",
    "GaussianConfig",
    "HeadConfig",
    "HoldConfig",
    "ISTFTConfig",
    "ImageFolderConfig",
    "LearnedPriorConfig",
    "LibriSpeechConfig",
    "LikelihoodConfig",
    "LogMelConfig",
    "LogisticMixtureConfig",
    "PixelCNNConfig",
    "PriorConfig",
    "PriorModelConfig",
    "QuantizerConfig",
    "Recipe",
    "ResidualQuantizerConfig",
    "ResidualTrunkConfig",
    "SamplesConfig",
    "SpectralConfig",
    "SpectrogramConfig",
    "SyntheticImagesConfig",
    "SyntheticSpeechConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "TrunkConfig",
    "UniformPriorConfig",
    "VectorQuantizerConfig",
    "WaveNetConfig",
    "WaveNetDecoderConfig",
    "load_recipe",
    "shipped_recipes",
    "validate",
    "validate_json",
]
