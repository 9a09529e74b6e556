"""Training reads archives, Parquet files and saved data sets where they are, as folders of the same files."""

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
from tiny.weights import assert_equal

from codeword.config import (
    AudioSourceConfig,
    DataConfig,
    ImageFolderConfig,
    ImageSourceConfig,
    Recipe,
    load_recipe,
    validate,
)
from codeword.data import Batch, Dataset, Split, open_dataset
from codeword.data.files.check import check
from codeword.errors import DataError
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


def test_archives_and_tables_hold_the_pictures_of_a_folder(tmp_path: Path) -> None:
    contents = [picture(seed) for seed in range(COUNT)]
    for i, content in enumerate(contents):
        (folder := tmp_path / "folder" / "abc"[i % 3]).mkdir(parents=True, exist_ok=True)
        (folder / f"{i:04}.png").write_bytes(content)
    expected = all_signals(ImageFolderConfig(root=tmp_path / "folder", size=16))
    assert len(expected) == COUNT
    sources = [
        write_archives(tmp_path, ".png", contents),
        write_parquet(tmp_path / "table.parquet", "image", contents),
        str(tmp_path / "folder"),
    ]
    for source in sources:
        config = ImageSourceConfig(source=source, size=16)
        assert all_signals(config) == expected
        splits = [set(signals(open_dataset(config, split))) for split in SPLITS]
        assert sum(map(len, splits)) == len(set.union(*splits)) == COUNT
    numbered = ImageSourceConfig(source=sources[1], size=16, column="image", label_column="n")
    assert len(open_dataset(numbered, "train").classes) == COUNT


def test_archives_and_tables_hold_the_recordings(tmp_path: Path) -> None:
    contents = [sound(seed) for seed in range(9)]
    fields = {"sample_rate": 8000, "crop_samples": 500}
    tar = AudioSourceConfig(source=write_archives(tmp_path, ".flac", contents), **fields)  # type: ignore[arg-type]
    table = AudioSourceConfig(source=write_parquet(tmp_path / "t.parquet", "audio", contents), **fields)  # type: ignore[arg-type]
    for config in (tar, table):
        lengths = []
        for split in SPLITS:
            data = open_dataset(config, split)
            assert data.shape == (1, 500)
            lengths += [data.read(i).shape[1] for i in range(len(data.recordings))]  # type: ignore[attr-defined]
        assert sorted(lengths) == [900 + 100 * seed for seed in range(9)]
    assert check(tar).classes == open_dataset(tar, "valid").classes


def test_a_source_without_labels_has_no_classes_and_damage_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_archives(tmp_path, ".png", [picture(seed) for seed in range(COUNT)], labels=False)
    data = open_dataset(ImageSourceConfig(source=source), "train")
    assert data.classes == ()
    assert set(data.take(range(4)).label.tolist()) == {0}
    content = (tmp_path / "shard-001.tar").read_bytes()
    (tmp_path / "shard-001.tar").write_bytes(content[: len(content) // 2])
    damaged = open_dataset(ImageSourceConfig(source=source), "train")
    assert len(damaged) < len(data)
    assert "It is skipped." in caplog.text
    for config, message in (
        (ImageSourceConfig(source=str(tmp_path / "gone.tar")), "There is no file"),
        (AudioSourceConfig(source=source), "holds too few signals"),
    ):
        with pytest.raises(DataError, match=message):
            open_dataset(config, "train")


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "t.parquet", "image", [picture(seed) for seed in range(4)])
    for column in ({"column": "photo"}, {"label_column": "colour"}):
        with pytest.raises(DataError, match="has no column"):
            open_dataset(ImageSourceConfig(source=source, **column), "train")  # type: ignore[arg-type]


def recipe_of(ndim: int, source: str) -> Recipe:
    if ndim == 2:
        data = f"data={{kind='images', source='{source}', size=16, crop='random', flip=true}}"
        return load_recipe("demo-images", overrides=[data, *(line for line in TINY if not line.startswith("data."))])
    data = {"kind": "recordings", "source": source, "sample_rate": 8000, "crop_samples": 800, "speed": 0.1}
    trainings = {"tokenizer_training": TRAINING | {"steps": 6, "checkpoint_every": 2}, "prior_training": TRAINING}
    tree = {"name": "archives", "data": data, "tokenizer": TOKENIZER, "prior": PRIOR} | trainings
    return validate(Recipe, tree, place="tiny")


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_training_on_archives_that_was_stopped_goes_on_with_the_same_signals(
    ndim: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, make = (".png", picture) if ndim == 2 else (".flac", sound)
    recipe = recipe_of(ndim, write_archives(tmp_path, suffix, [make(seed) for seed in range(COUNT)]))
    whole = train(recipe, tmp_path / "whole")
    step, steps = Trainer.step, count()

    def stopping(self: Trainer, batch: Batch) -> dict[str, torch.Tensor]:  # type: ignore[type-arg]
        if next(steps) == 5:
            raise RuntimeError("stopped")
        return step(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", stopping)
        with pytest.raises(RuntimeError, match="stopped"):
            train(recipe, tmp_path / "stopped")
    resumed = train(recipe, tmp_path / "stopped", resume=True)
    for part in ("tokenizer", "prior"):
        assert_equal(*(dict(getattr(run, part)().state_dict()) for run in (whole, resumed)))
