"""Files that an earlier Codeword wrote are still read, and ours are still written like them.

When a format has to change, change its files here in the same commit, by running this module as a program.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from codeword.config import (
    ConvTrunkConfig,
    FittedPriorConfig,
    PixelCNNConfig,
    TokenizerConfig,
    VectorQuantizerConfig,
)
from codeword.data.codes import CodedSignal, read_codes, write_codes
from codeword.priors import PixelCNN, load_prior
from codeword.store import CONFIG_FILE, WEIGHTS_FILE
from codeword.tokenizer import Tokenizer

GOLDEN = Path(__file__).parent / "golden"
LEVELS = (4, 8)
CODES = torch.stack([torch.arange(6).view(2, 3) % n for n in LEVELS], -1)


def models() -> tuple[Tokenizer, PixelCNN]:
    torch.manual_seed(0)
    quantizer = VectorQuantizerConfig(levels=LEVELS, dim=4, lookup_dim=2)
    trunk = ConvTrunkConfig(width=4, residual_width=2, residual_blocks=1)
    architecture = PixelCNNConfig(layers=2, width=4, head_width=4)
    prior = FittedPriorConfig(architecture=architecture, grid=(2, 3), levels=LEVELS, classes=2)
    return Tokenizer(TokenizerConfig(trunk=trunk, quantizer=quantizer)), PixelCNN(prior)


def write(folder: Path) -> None:
    tokenizer, prior = models()
    tokenizer.save_pretrained(folder / "tokenizer")
    prior.save_pretrained(folder / "prior")
    write_codes(folder / "codes.npz", [CodedSignal("a.png", (7, 10), CODES)], levels=LEVELS)


def test_old_models_are_read() -> None:
    tokenizer, prior = Tokenizer.from_pretrained(GOLDEN / "tokenizer"), load_prior(GOLDEN / "prior")
    assert tokenizer.decode(CODES[None], size=(7, 10)).shape == (1, 3, 7, 10)
    # Numbers, and not only names, must mean what they meant; a little room for another processor's rounding.
    with torch.no_grad():
        found = [float(prior.log_prob(CODES[None])), float(tokenizer.features(CODES[None]).sum())]
    torch.testing.assert_close(found, json.loads((GOLDEN / "numbers.json").read_text()), rtol=1e-4, atol=1e-4)


def test_old_codes_are_read() -> None:
    (signal,) = read_codes(GOLDEN / "codes.npz", levels=LEVELS, hop=4)
    assert (signal.name, signal.size) == ("a.png", (7, 10))
    assert torch.equal(signal.codes, CODES)


def test_new_models_have_the_old_form(tmp_path: Path) -> None:
    write(tmp_path)
    for part in ("tokenizer", "prior"):
        old, new = GOLDEN / part, tmp_path / part
        assert json.loads((new / CONFIG_FILE).read_text()) == json.loads((old / CONFIG_FILE).read_text())
        shapes = [{n: (t.shape, t.dtype) for n, t in load_file(f / WEIGHTS_FILE).items()} for f in (old, new)]
        assert shapes[0] == shapes[1]


if __name__ == "__main__":
    write(GOLDEN)
    tokenizer, prior = models()
    with torch.no_grad():
        numbers = [float(prior.log_prob(CODES[None])), float(tokenizer.features(CODES[None]).sum())]
    (GOLDEN / "numbers.json").write_text(json.dumps(numbers) + "\n")
