"""Model folders: configs, weights and the files around them."""

import json
import random
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from attack.engine import Reader
from attack.mutations import another, as_json, mutated
from tiny.codec_models import model, signal

from codeword.codec import Codec
from codeword.model import Model
from codeword.store import WEIGHTS_FILE

Files = dict[str, bytes]


def saved(model: Model, *, compact: bool = False) -> Files:
    """The files of a model folder, by their paths."""
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, compact=compact)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@cache
def right(ndim: int, compact: bool) -> Files:
    aliases = json.dumps({"fingerprints": ["0" * 64]}).encode()
    return saved(model(ndim, rates=True, classes=3), compact=compact) | {"aliases.json": aliases}


def claims(rng: random.Random, content: bytes) -> bytes:
    """A safetensors header that says something else of the same tensors."""
    length = int.from_bytes(content[:8], "little")
    header = as_json(rng, another(rng, json.loads(content[8 : 8 + length])))
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def strange_numbers(rng: random.Random, content: bytes) -> bytes:
    """Weights that are not finite, huge, or out of the order of magnitude of all others."""
    start = 8 + int.from_bytes(content[:8], "little")
    place = start + 4 * rng.randrange((len(content) - start) // 4)
    number = struct.pack("<f", rng.choice([float("nan"), float("inf"), -float("inf"), 3e38, 1e-45, -1e30]))
    count = rng.choice([1, 1, 50])
    return content[:place] + (number * count + content[place + 4 * count :])[: len(content) - place]


def hostile(rng: random.Random, name: str, files: Files) -> bytes:
    content = files[name]
    if rng.random() < 0.3:
        return mutated(rng, content, files[rng.choice(sorted(files))])
    if name.endswith(WEIGHTS_FILE):
        return rng.choice([claims, claims, strange_numbers])(rng, content)
    tree: Any = json.loads(content)
    for _ in range(rng.choice([1, 1, 2])):
        tree = another(rng, tree)
    return as_json(rng, tree)


def put_in_place(rng: random.Random, place: Path) -> None:
    """Something that is no file in the place of one."""
    if place.is_dir():
        return
    place.unlink(missing_ok=True)
    match rng.randrange(3):
        case 0:
            place.mkdir()
        case 1:
            place.symlink_to(rng.choice([".", "..", place.name, "/nowhere", "config.json"]))
        case _:
            place.write_bytes(b"")


def attack_model(rng: random.Random, work: Path) -> int:
    """A folder that loads gives a model that works."""
    files = right(rng.choice([1, 2]), rng.random() < 0.5)
    name = rng.choice(sorted(files))
    changed = files | {name: hostile(rng, name, files)}
    write(work, changed)
    if rng.random() < 0.05:
        put_in_place(rng, work / rng.choice([*files, "prior", "tokenizer", "recipe.json"]))
    loaded = Model.load(work)
    if rng.random() < 0.2:
        x = signal(loaded, *[24, 10][: loaded.tokenizer.config.ndim])
        with torch.no_grad():
            codec = Codec(loaded)
            back = codec.decompress(codec.compress(x))
        assert back.shape == x.shape
        assert 0 <= int(back.min()) <= int(back.max()) < loaded.tokenizer.config.values
    return sum(map(len, changed.values()))


READERS = [Reader("model", attack_model, share=0.06)]
