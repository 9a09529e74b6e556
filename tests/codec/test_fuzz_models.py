"""Invalid model folders: an error of ours or a model, soon, and in little memory."""

import json
import random
import resource
from pathlib import Path
from typing import Any

import pytest
from tiny.codec_models import model

from codeword.errors import CodewordError
from codeword.model import Model
from codeword.store import CONFIG_FILE, WEIGHTS_FILE

MOST_GROWTH_MIB = 128
NUMBERS: list[Any] = [-1, 0, 1, 2, 3, 0.5, 1 << 20, 1 << 31, 1 << 63, 1e308]
VALUES: list[Any] = [*NUMBERS, None, True, "", "x", [], [1], [4] * 70, {}, {"kind": "uniform"}]


def noisy(rng: random.Random, content: bytes) -> bytes:
    """Bits flipped, most of them near the beginning, or cut, or a piece of it elsewhere."""
    changed = bytearray(content)
    match rng.randrange(4):
        case 0:
            return content[: rng.randrange(len(content))]
        case 1:
            start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
            return content[:start] + rng.choice([b"", rng.randbytes(9), content[stop:]]) + content[stop:]
        case 2:
            changed[:8] = rng.choice([0, 1, 99, 1 << 31, 1 << 62, (1 << 64) - 1]).to_bytes(8, "little")
        case _:
            for _ in range(rng.choice([1, 1, 3])):
                end = rng.choice([8, 500, len(content)])
                changed[rng.randrange(min(end, len(content)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def another(rng: random.Random, tree: Any) -> Any:
    """The tree with something in it changed, taken out or doubled."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        changed, key = dict(tree), rng.choice(sorted(tree))
        if rng.random() < 0.1:
            del changed[key]
        elif rng.random() < 0.1:
            changed[key + "x"] = tree[key]
        else:
            changed[key] = another(rng, tree[key])
        return changed
    if isinstance(tree, list) and tree and rng.random() < 0.7:
        place = rng.randrange(len(tree))
        return [*tree[:place], another(rng, tree[place]), *tree[place + rng.randrange(2) :]]
    return rng.choice(VALUES)


def claims(rng: random.Random, content: bytes) -> bytes:
    """A safetensors header that says something else of the same tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(another(rng, json.loads(content[8 : 8 + length]))).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def mutated(rng: random.Random, name: str, content: bytes) -> bytes:
    if rng.random() < 0.3:
        return noisy(rng, content)
    if name == WEIGHTS_FILE:
        return claims(rng, content)
    return json.dumps(another(rng, json.loads(content))).encode()


def try_many(count: int, folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    folders = [folder / f"{ndim}{compact}" for ndim in (1, 2) for compact in (False, True)]
    for place in folders:
        model(int(place.name[0]), rates=True, classes=3).save_pretrained(place, compact=place.name.endswith("True"))
    files = [place / part / name for place in folders for part in ("", "prior") for name in (CONFIG_FILE, WEIGHTS_FILE)]
    right = {path: path.read_bytes() for path in files}
    for place in folders:
        Model.load(place)
    before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for number in range(count):
        path = rng.choice(files)
        content = mutated(rng, path.name, right[path])
        path.write_bytes(content)
        place = next(place for place in folders if path.is_relative_to(place))
        try:
            assert isinstance(Model.load(place), Model)
        except CodewordError:
            refused += 1
        except Exception as error:
            error.add_note(f"folder {number} of seed {seed}: {path} is {content[:2000]!r}")
            raise
        path.write_bytes(right[path])
    growth_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert growth_mib < MOST_GROWTH_MIB
    assert refused > count / 2


def test_folders_that_nobody_wrote(tmp_path: Path) -> None:
    try_many(100, tmp_path, seed=0)


@pytest.mark.slow
def test_twenty_thousand_folders_that_nobody_wrote(tmp_path: Path) -> None:
    try_many(20_000, tmp_path, seed=1)
