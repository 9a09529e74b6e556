"""Training of encoder and quantizer on log-mel frames, by a temporary decoder, before the waveform decoder."""

from codeword.config import LogMelTargetsConfig
from codeword.tokenizer import Tokenizer


def temporary_tokenizer(tokenizer: Tokenizer, config: LogMelTargetsConfig) -> Tokenizer:
    """A tokenizer with the codes of `tokenizer` and a decoder to log-mel frames, one every hop of the frontend."""
    return Tokenizer(config.temporary(tokenizer.config))


def keep_codes(tokenizer: Tokenizer, learned: Tokenizer) -> None:
    """Copy the trained encoder and quantizer into the tokenizer."""
    tokenizer.encoder.load_state_dict(learned.encoder.state_dict())
    tokenizer.quantizer.load_state_dict(learned.quantizer.state_dict())
