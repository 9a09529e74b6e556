"""Training reads archives, Parquet files and saved data sets where they are, as folders of the same files."""

from pathlib import Path

import pytest
from tiny.sources import (
    COUNT,
    SPLITS,
    all_signals,
    picture,
    recipe_of,
    signals,
    sound,
    train_and_stop,
    write_archives,
    write_parquet,
)
from tiny.weights import assert_equal

from codeword.config import AudioSourceConfig, ImageFolderConfig, ImageSourceConfig
from codeword.data import open_dataset
from codeword.data.files.check import check
from codeword.errors import DataError
from codeword.training import train


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


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_training_on_archives_that_was_stopped_goes_on_with_the_same_signals(
    ndim: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, make = (".png", picture) if ndim == 2 else (".flac", sound)
    recipe = recipe_of(ndim, write_archives(tmp_path, suffix, [make(seed) for seed in range(COUNT)]))
    whole = train(recipe, tmp_path / "whole")
    train_and_stop(recipe, tmp_path / "stopped", monkeypatch)
    resumed = train(recipe, tmp_path / "stopped", resume=True)
    for part in ("tokenizer", "prior"):
        assert_equal(*(dict(getattr(run, part)().state_dict()) for run in (whole, resumed)))
