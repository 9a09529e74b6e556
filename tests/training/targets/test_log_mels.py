"""Log-mels as targets: what the tokenizer takes over from the temporary one."""

import torch
from tiny.recipes import TOKENIZER

from codeword.config import LogMelTargetsConfig, TokenizerConfig
from codeword.tokenizer import Tokenizer
from codeword.training.targets.log_mels import keep_codes, temporary_tokenizer


def test_codes_are_kept_and_the_decoder_starts_as_the_temporary_one() -> None:
    tokenizer = Tokenizer(TokenizerConfig.model_validate(TOKENIZER | {"classes": ["a", "b"]}))
    learned = temporary_tokenizer(tokenizer, LogMelTargetsConfig(decoder_blocks=1, n_fft=320, mels=20))
    keep_codes(tokenizer, learned)
    x = torch.randint(65536, (2, 1, 1600), generator=torch.Generator().manual_seed(0))
    assert torch.equal(tokenizer.eval().encode(x), learned.eval().encode(x))
    found, wanted = tokenizer.decoder.state_dict(), learned.decoder.state_dict()
    same = {name for name, weight in wanted.items() if weight.shape == found[name].shape}
    assert any(name.startswith("blocks.0.") for name in same)
    assert all(torch.equal(found[name], wanted[name]) for name in same)
    # The head of waveforms needs other features than the frames.
    assert "finish.1.weight" in wanted.keys() - same
