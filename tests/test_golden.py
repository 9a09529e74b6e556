"""Files that an earlier Codeword wrote are still read, and ours are still written like them.

When a format has to change, change its files here in the same commit, by running this module as a program.
"""

import io
import json
from pathlib import Path

import pytest
import torch
from msgspec import structs
from safetensors.torch import load_file
from tiny.golden import GOLDEN

from codeword.codec import Codec, Container, Signal
from codeword.config import ConvTrunkConfig, PixelCNNConfig, PriorModelConfig, TokenizerConfig, VectorQuantizerConfig
from codeword.errors import ModelError
from codeword.model import Model
from codeword.pretrained import load_pretrained
from codeword.priors import PixelCNN, Sampler, load_prior, walk
from codeword.store import CONFIG_FILE, WEIGHTS_FILE
from codeword.store.npz import CodedSignal, read_codes, write_codes
from codeword.tokenizer import Tokenizer

LEVELS = (4, 8)
CODES = torch.stack([torch.arange(6).view(2, 3) % n for n in LEVELS], -1)


def models() -> tuple[Tokenizer, PixelCNN]:
    torch.manual_seed(0)
    quantizer = VectorQuantizerConfig(codebook_sizes=LEVELS, dim=4, lookup_dim=2)
    trunk = ConvTrunkConfig(width=4, residual_width=2, residual_blocks=1)
    architecture = PixelCNNConfig(layers=2, width=4, head_width=4)
    prior = PriorModelConfig(architecture=architecture, grid=(2, 3), codebook_sizes=LEVELS, classes=2)
    return Tokenizer(TokenizerConfig(trunk=trunk, quantizer=quantizer)), PixelCNN(prior)


# A gradient whose size is no multiple of the cells; and one colour in grey.
IMAGES = [(torch.arange(7)[:, None] * 20 + torch.arange(10) * 9).expand(3, 7, 10), torch.full((3, 1, 2), 200)]
SUMS = [31865, 910]  # Of all values that are read.
COMPRESSED = "compressed.bin"
COMPRESSED_BEFORE = (
    "compressed-format-1.bin",
    "compressed-model-format-1.bin",
    "compressed-format-2.bin",
    "compressed-format-3.bin",
)
SIDES: list[dict[str, bytes]] = [{"a": b"side data"}, {}]


def compressed(model: Model) -> bytes:
    signals = [
        Signal(f"{i}.png", (x.shape[1], x.shape[2]), lambda x=x: [x], lambda side=side: side)  # type: ignore[misc]
        for i, (x, side) in enumerate(zip(IMAGES, SIDES, strict=True))
    ]
    out = io.BytesIO()
    Codec(model).write(out, signals)
    return out.getvalue()


def write(folder: Path) -> None:
    tokenizer, prior = models()
    tokenizer.save_pretrained(folder / "tokenizer")
    prior.save_pretrained(folder / "prior")
    write_codes(folder / "codes.npz", [CodedSignal("a.png", (7, 10), CODES)], codebook_sizes=LEVELS)


def test_old_models_are_read() -> None:
    tokenizer, prior = Tokenizer.from_pretrained(GOLDEN / "tokenizer"), load_prior(GOLDEN / "prior")
    assert tokenizer.decode(CODES[None], size=(7, 10)).shape == (1, 3, 7, 10)
    # Numbers, and not only names, must mean what they meant; a little room for another processor's rounding.
    with torch.no_grad():
        found = [float(prior.log_prob(CODES[None])), float(tokenizer.features(CODES[None]).sum())]
    torch.testing.assert_close(found, json.loads((GOLDEN / "numbers.json").read_text()), rtol=1e-4, atol=1e-4)


def test_old_codes_are_read() -> None:
    (signal,) = read_codes(GOLDEN / "codes.npz", codebook_sizes=LEVELS, hop=4)
    assert (signal.name, signal.size) == ("a.png", (7, 10))
    assert torch.equal(signal.codes, CODES)


def test_new_compressed_files_are_the_same_bytes() -> None:
    assert compressed(Model.load(GOLDEN)) == (GOLDEN / COMPRESSED).read_bytes()


@pytest.mark.parametrize(
    ("name", "version", "grey"),
    [
        (COMPRESSED, 4, True),
        (COMPRESSED_BEFORE[0], 1, True),
        (COMPRESSED_BEFORE[1], 1, False),
        (COMPRESSED_BEFORE[2], 2, True),
        (COMPRESSED_BEFORE[3], 3, True),
    ],
)
def test_old_compressed_files_are_read(name: str, version: int, grey: bool) -> None:
    """Also the file that names its model by the fingerprint of model format 1."""
    model, container = Model.load(GOLDEN), Container((GOLDEN / name).read_bytes(), name)
    assert container.version == version
    assert [(e.name, e.size, e.grey) for e in container.header.entries] == [
        ("0.png", (7, 10), grey),
        ("1.png", (1, 2), True),
    ]
    sums, sides = [], []
    for found in Codec(model).read(container):
        sums.append(int(torch.cat(list(found.blocks), -1).sum()))
        sides.append(found.side)
    # A little room for another processor's rounding.
    assert sums == pytest.approx(SUMS, abs=3)
    assert sides == (SIDES if version > 1 else [{}, {}])


@pytest.mark.parametrize("name", [COMPRESSED_BEFORE[0], COMPRESSED_BEFORE[2]])
def test_old_files_under_a_prior_are_refused(name: str) -> None:
    container = Container((GOLDEN / name).read_bytes(), "old.cw")
    container.header = structs.replace(container.header, coder="prior")
    with pytest.raises(ModelError, match=r"old\.cw was written by an earlier Codeword"):
        next(Codec(Model.load(GOLDEN)).read(container))


def test_a_real_file_of_format_2_under_a_prior_is_refused() -> None:
    container = Container((GOLDEN / "prior-images-format-2.bin").read_bytes(), "old.cw")
    assert (container.version, container.header.coder) == (2, "prior")
    with pytest.raises(ModelError, match=r"which computed other probabilities; decompress it with that version"):
        next(Codec(load_pretrained("images")).read(container))


@pytest.mark.parametrize(
    ("name", "file"), [("images", "prior-images"), ("speech", "prior-speech"), ("images", "prior-images-format-3")]
)
def test_files_under_the_priors_of_the_package_are_read_on_this_machine_too(name: str, file: str) -> None:
    """A segment whose codes differ from those that were written is refused, by a CRC."""
    model, container = load_pretrained(name), Container((GOLDEN / f"{file}.bin").read_bytes(), name)
    assert container.header.coder == "prior"
    (found,) = Codec(model).read(container)
    decoded = torch.cat(list(found.blocks), -1)
    assert tuple(decoded.shape[1:]) == found.entry.size
    assert len(decoded.unique()) > 50


def typical(model: Model, grid: tuple[int, ...]) -> torch.Tensor:
    """A signal (C, *S) that the prior predicts well, because it was drawn from it."""
    codes = walk(model.prior, 1, Sampler(generator=torch.Generator().manual_seed(0)), grid=grid)
    return model.tokenizer.decode(codes)[0].long()


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
    (GOLDEN / COMPRESSED).write_bytes(compressed(Model.load(GOLDEN)))
    for name, grid in (("images", (8, 8)), ("speech", (100,))):
        shipped = load_pretrained(name)
        (GOLDEN / f"prior-{name}.bin").write_bytes(Codec(shipped).compress(typical(shipped, grid)))
