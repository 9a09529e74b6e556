"""Medium of a model and its units of time, for the parts of an evaluation that depend on them."""

from codeword.config import TokenizerConfig
from codeword.tokenizer import Tokenizer


def medium_name(config: TokenizerConfig) -> str:
    """Name of the medium, the key of the tables of measures, files and report sections: "images" or "audio"."""
    return "audio" if config.sample_rate else "images"


def sample_rate(tokenizer: Tokenizer) -> int:
    """Sample rate of a tokenizer of audio, in Hz."""
    assert tokenizer.config.sample_rate is not None
    return tokenizer.config.sample_rate


def cells_per_second(tokenizer: Tokenizer) -> float:
    """Number of cells that a tokenizer of audio writes for each second."""
    return sample_rate(tokenizer) / tokenizer.hop
