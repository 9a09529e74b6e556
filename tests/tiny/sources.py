"""The same signals as archives and as tables, and recipes that train on them."""

import io
import tarfile
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tiny.recipes import PRIOR, TINY, TOKENIZER, TRAINING

from codeword.config import DataConfig, Recipe, load_recipe, validate
from codeword.data import Batch, Dataset, Split, open_dataset
from codeword.training import train
from codeword.training.loop import Trainer

COUNT = 24
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def sound(seed: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.random.default_rng(seed).uniform(-0.3, 0.3, 900 + 100 * seed), 8000, format="FLAC")
    return out.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_archives(root: Path, suffix: str, contents: list[bytes], *, labels: bool = True) -> str:
    """Three archives in WebDataset's layout; the classes are a, b and c in turn."""
    for shard in range(3):
        with tarfile.open(root / f"shard-{shard:03}.tar", "w") as archive:
            for i in range(shard, len(contents), 3):
                add(archive, f"{i:04}{suffix}", contents[i])
                if labels:
                    add(archive, f"{i:04}.cls", b"abc"[i % 3 : i % 3 + 1])
    return str(root / "shard-{000..002}.tar")


def write_parquet(path: Path, column: str, contents: list[bytes]) -> str:
    datasets = pytest.importorskip("datasets")
    feature = datasets.Image(decode=False) if column == "image" else datasets.Audio(decode=False)
    # The type is set afterwards, because `datasets` encodes sounds by torchcodec alone.
    file = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    kinds = datasets.ClassLabel(names=["a", "b", "c"])
    features = datasets.Features({column: file, "kind": kinds, "n": datasets.Value("int64")})
    rows = {column: [{"bytes": c, "path": None} for c in contents], "kind": [i % 3 for i in range(len(contents))]}
    table = datasets.Dataset.from_dict(rows | {"n": list(range(len(contents)))}, features=features)
    table.cast_column(column, feature).to_parquet(path)
    return str(path)


def signals(data: Dataset) -> list[tuple[bytes, str]]:
    """Every signal with the name of its class, in any order."""
    batch = data.take(range(len(data)))
    names = [*data.classes, ""]
    return sorted((x.numpy().tobytes(), names[int(y)]) for x, y in zip(batch.x, batch.label, strict=True))


def all_signals(config: DataConfig) -> list[tuple[bytes, str]]:  # type: ignore[valid-type]
    return sorted(signal for split in SPLITS for signal in signals(open_dataset(config, split)))


def recipe_of(ndim: int, source: str) -> Recipe:
    if ndim == 2:
        data = f"data={{kind='images', source='{source}', size=16, crop='random', flip=true}}"
        return load_recipe("demo-images", overrides=[data, *(line for line in TINY if not line.startswith("data."))])
    data = {"kind": "recordings", "source": source, "sample_rate": 8000, "crop_samples": 800, "speed": 0.1}
    trainings = {"tokenizer_training": TRAINING | {"steps": 6, "checkpoint_every": 2}, "prior_training": TRAINING}
    tree = {"name": "archives", "data": data, "tokenizer": TOKENIZER, "prior": PRIOR} | trainings
    return validate(Recipe, tree, place="tiny")


def train_and_stop(recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that fails in its sixth step."""
    step, steps = Trainer.step, count()

    def stopping(self: Trainer, batch: Batch) -> dict[str, torch.Tensor]:  # type: ignore[type-arg]
        if next(steps) == 5:
            raise RuntimeError("stopped")
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", stopping)
        with pytest.raises(RuntimeError, match="stopped"):
            train(recipe, folder)
