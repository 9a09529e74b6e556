"""Files of pairs: damaged, and forged with the right checks."""

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
import torch
from attack.archives import TEXTS, any_count
from attack.engine import Reader, check_refusal
from attack.models import Files, write
from attack.mutations import mutated

from codeword.codec.pair_format import pack_pair, unpack_pair
from codeword.codec.pairs import PairCodec
from codeword.config import (
    ConvTrunkConfig,
    GaussianConfig,
    PairPriorConfig,
    PairsConfig,
    PriorModelConfig,
    Recipe,
    TokenizerConfig,
    TransformerConfig,
    VectorQuantizerConfig,
)
from codeword.errors import CodewordError
from codeword.files import describe_compressed
from codeword.files.pairs import decompress_pair
from codeword.priors import PairPrior
from codeword.tokenizer import Tokenizer
from codeword.training import Run

SIZES = ((8, 6), (12,))
TRANSFORMER = TransformerConfig(layers=1, width=4, heads=1, hidden=4, head_width=4)


class Base(NamedTuple):
    """A valid file, the codes in it, the codec, and the files of the run."""

    content: bytes
    codes: tuple[torch.Tensor, torch.Tensor]
    codec: PairCodec
    files: Files


@cache
def base() -> Base:
    torch.manual_seed(0)
    trunk = ConvTrunkConfig(width=2, residual_width=2, residual_blocks=0, strides=(2,))
    parts = {"trunk": trunk, "quantizer": VectorQuantizerConfig(codebook_sizes=(4,), dim=2)}
    image = Tokenizer(TokenizerConfig(likelihood=GaussianConfig(), **parts)).eval()
    sound = Tokenizer(
        TokenizerConfig(ndim=1, channels=1, sample_rate=8000, likelihood=GaussianConfig(), **parts)
    ).eval()
    configs = [
        PriorModelConfig(architecture=TRANSFORMER, grid=tokenizer.grid(size), codebook_sizes=(4,), classes=2)
        for tokenizer, size in zip((image, sound), SIZES, strict=True)
    ]
    prior = PairPrior(PairPriorConfig(first=configs[0], second=configs[1])).eval()
    codes = tuple(torch.randint(4, (*config.grid, 1)) for config in configs)
    codec = PairCodec(prior, (image, sound))
    with TemporaryDirectory() as folder:
        run = Run.create(folder, Recipe(name="pairs", data=PairsConfig(), prior=TRANSFORMER), resume=False)
        prior.save_pretrained(run.prior_path)
        for part, tokenizer in zip(run.parts(), (image, sound), strict=True):
            tokenizer.save_pretrained(part.tokenizer_path)
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
    return Base(codec.compress(codes, ("a.png", "a.wav"), SIZES), codes, codec, files)


def forged(rng: random.Random, content: bytes) -> bytes:
    """Any claims and any payload, with the right checks."""
    header, payload = unpack_pair(content, "a file")
    changes: dict[str, Any] = {
        "names": (rng.choice(TEXTS), rng.choice(TEXTS)),
        "sizes": tuple(tuple(any_count(rng) for _ in range(rng.choice([1, 2, 3]))) for _ in range(2)),
        "fingerprint": rng.randbytes(rng.choice([0, 8, 16])),
    }
    for name in rng.sample(sorted(changes), k=rng.choice([0, 1, 1, 2])):
        header = msgspec.structs.replace(header, **{name: changes[name]})
    if rng.random() < 0.6:
        payload = rng.choice([b"", rng.randbytes(len(payload)), payload * 50, mutated(rng, payload)])
    return pack_pair(header, payload)


def attack_pair(rng: random.Random, work: Path) -> int:
    """Refused, or the right codes if only bytes changed, or two signals inside the output folder."""
    right, damaged = base(), rng.random() < 0.4
    content = mutated(rng, right.content) if damaged else forged(rng, right.content)
    file, model, out = work / "x.cw", work / "model", work / "out"
    file.write_bytes(content)
    for action in (lambda: describe_compressed(file), lambda: check_codes(content, exact=damaged)):
        try:
            action()
        except CodewordError as error:
            check_refusal(error)
    if rng.random() < 0.3:
        write(model, right.files)
        decompress_pair(file, out, Run.open(model))
        assert sorted(path.name for path in work.iterdir()) == ["model", "out", "x.cw"]
        assert sorted(path.suffix for path in out.iterdir()) == [".png", ".wav"]
    return len(content)


def check_codes(content: bytes, *, exact: bool) -> None:
    found, right = base().codec.decompress(content, "a file").codes, base().codes
    for own, codes in zip(found, right, strict=True):
        assert own.shape == codes.shape
        assert 0 <= int(own.min()) <= int(own.max()) < 4
        assert torch.equal(own, codes) or not exact


READERS = [Reader("pair", attack_pair, share=0.04)]
