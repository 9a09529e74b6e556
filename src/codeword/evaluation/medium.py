"""Name of the medium of a model, and units of audio, for the parts of an evaluation that depend on the medium."""

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError
from codeword.media import Medium, medium_of
from codeword.tokenizer import Tokenizer


def medium_name(config: TokenizerConfig) -> str:
    """Name of the medium, the key of the tables of measures, files and sections; "" for signals without file format.

    It is "tokens" for tokens of every rank.
    """
    if config.holds_tokens:
        return "tokens"
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
    """Name of one value of a signal in texts, such as "sample" for audio."""
    try:
        return medium_of(config).dimension
    except UnsupportedError:
        return Medium.dimension
