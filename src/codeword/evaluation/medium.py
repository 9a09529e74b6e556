"""Medium of a model and its units of time, for the parts of an evaluation that depend on them."""

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError
from codeword.media import Medium, medium_of
from codeword.tokenizer import Tokenizer


def medium_name(config: TokenizerConfig) -> str:
    """Key of the tables of measures, files and sections; "" for signals that are in no file, but can be measured."""
    try:
        return medium_of(config).name
    except UnsupportedError:
        return ""


def sample_rate(tokenizer: Tokenizer) -> int:
    """Sample rate of a tokenizer of audio, in Hz."""
    assert tokenizer.config.sample_rate is not None
    return tokenizer.config.sample_rate


def cells_per_second(tokenizer: Tokenizer) -> float:
    """Number of cells for each second of audio."""
    return sample_rate(tokenizer) / tokenizer.hop


def dimension(config: TokenizerConfig) -> str:
    """Word for one value of a signal: "sample" for audio."""
    try:
        return medium_of(config).dimension
    except UnsupportedError:
        return Medium.dimension
