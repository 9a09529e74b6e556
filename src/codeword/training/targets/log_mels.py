"""Training of encoder and quantizer on log-mel frames, by a temporary decoder, before the waveform decoder."""

from codeword.config import LogMelTargetsConfig
from codeword.tokenizer import Tokenizer


def temporary_tokenizer(tokenizer: Tokenizer, config: LogMelTargetsConfig) -> Tokenizer:
    """A tokenizer with the codes of `tokenizer` and a decoder to log-mel frames, one every hop of the frontend."""
    return Tokenizer(config.temporary(tokenizer.config))


def keep_codes(tokenizer: Tokenizer, learned: Tokenizer) -> None:
    """Copy the trained encoder and quantizer into the tokenizer, whose decoder starts as the temporary one."""
    tokenizer.encoder.load_state_dict(learned.encoder.state_dict())
    tokenizer.quantizer.load_state_dict(learned.quantizer.state_dict())
    known = tokenizer.decoder.state_dict()
    # Layers that give features of another kind, and further blocks, start anew.
    same = {n: x for n, x in learned.decoder.state_dict().items() if n in known and x.shape == known[n].shape}
    tokenizer.decoder.load_state_dict(known | same)
