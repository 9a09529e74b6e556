"""A folder of images of any format and size, some of them broken."""

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codeword.config import ImageFolderConfig
from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.data.files.tree import Folder
from codeword.data.image_folder import ImageFolder
from codeword.errors import DataError


def picture(seed: int, width: int = 20, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        for i in range(30):
            suffix = (".png", ".jpg", ".bmp")[i % 3]
            picture(i, width=8 + i, height=40 - i).save(tmp_path / kind / f"{i}{suffix}")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def splits(names: list[str], **fractions: float) -> dict[Split, set[str]]:
    """The splits of a folder with these files; they are whole and disjoint."""
    folder, found = Folder(Path(), tuple(sorted(names))), dict[Split, set[str]]()
    for split in SPLITS:
        with suppress(DataError):
            found[split] = set(folder.names_of(split, ImageFolderConfig(root=Path(), **fractions)))
    assert sorted(name for split in found.values() for name in split) == sorted(names)
    return found


@pytest.mark.parametrize("files", [3, 5, 10, 20, 60, 333])
@pytest.mark.parametrize(("valid", "test"), [(0.1, 0.1), (0.2, 0.3), (0.49, 0.49), (0.01, 0.4)])
def test_every_split_has_its_share_by_count(files: int, valid: float, test: float) -> None:
    for start in range(5):
        found = splits([f"{start + i}.png" for i in range(files)], valid_fraction=valid, test_fraction=test)
        assert len(found["train"]) >= 1
        assert max(1, files * valid - 1) <= len(found["valid"]) <= max(1, files * valid)
        assert max(1, files * test - 1) <= len(found["test"]) <= max(1, files * test)


def test_one_file_is_for_training_and_a_second_for_validation() -> None:
    assert [splits(["a.png"]).keys(), splits(["a.png", "b.png"]).keys()] == [{"train"}, {"train", "valid"}]


def test_an_added_file_moves_few_others_and_none_from_train_to_test() -> None:
    names = [f"{i}.png" for i in range(200)]
    before = splits(names[:20])
    for count in range(21, 200):
        after = splits(names[:count])
        moved = [(a, b) for a in SPLITS for b in SPLITS if a != b for _ in before[a] & after[b]]
        assert len(moved) <= 3
        assert ("train", "test") not in moved
        assert ("test", "train") not in moved
        before = after


def test_the_images_of_a_folder_are_split_whole_and_disjoint(folder: Path) -> None:
    names = [name for split in SPLITS for name in ImageFolder(ImageFolderConfig(root=folder, size=16), split)._names]
    assert len(set(names)) == len(names) == 60


def test_images_are_square_labelled_and_the_same_each_time(folder: Path) -> None:
    data = open_dataset(ImageFolderConfig(root=folder, size=16), "train")
    assert data.shape == (3, 16, 16)
    assert data.classes == ("cats", "dogs")
    batch, again = data.take(range(len(data))), data.take(range(len(data)))
    assert batch.x.shape == (len(data), 3, 16, 16)
    assert torch.equal(batch.x, again.x)
    assert set(batch.label.tolist()) == {0, 1}


def test_random_crops_and_flips_follow_the_generator(folder: Path) -> None:
    data = open_dataset(ImageFolderConfig(root=folder, size=8, crop="random", flip=True), "train")

    def drawn(seed: int) -> torch.Tensor:
        return data.take(range(len(data)), generator=torch.Generator().manual_seed(seed)).x

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_broken_files_are_named_counted_and_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = ImageFolderConfig(root=folder, size=16)
    broken = ImageFolder(config, "train")._names[:5]
    for name in broken:
        (folder / name).write_bytes(b"not an image at all")
    with caplog.at_level(logging.WARNING, "codeword"):
        data = ImageFolder(config, "train")
    assert sorted(data.skipped) == broken
    assert len(caplog.records) == 1
    assert "5 of" in caplog.text
    data.take(range(len(data)))


def test_a_file_that_breaks_later_is_replaced_by_the_next(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = ImageFolder(ImageFolderConfig(root=folder, size=16), "train")
    path = folder / data._names[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING, "codeword"):
        first = data.take([0, 0, 1]).x
    assert torch.equal(first[0], first[2])
    assert len(caplog.records) == 1


def test_images_beside_subfolders_leave_no_classes(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(5).save(folder / "loose.png")
    with caplog.at_level(logging.WARNING, "codeword"):
        assert ImageFolder(ImageFolderConfig(root=folder, size=8), "train").classes == ()
    assert "there are no classes" in caplog.text


def test_nothing_to_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        open_dataset(ImageFolderConfig(root=tmp_path / "gone"), "train")
    with pytest.raises(DataError, match="holds no images"):
        open_dataset(ImageFolderConfig(root=tmp_path), "train")
    picture(0).save(tmp_path / "one.png")
    with pytest.raises(
        DataError, match=r"holds too few files \(1\) for a valid split; add files until there are three"
    ):
        open_dataset(ImageFolderConfig(root=tmp_path), "valid")
