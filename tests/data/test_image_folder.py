"""A folder of images of any format and size, some of them broken."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codeword.config import ImageFolderConfig
from codeword.data import open_dataset
from codeword.data.files.tree import split_of
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


def test_splits_are_whole_disjoint_and_stay_when_files_are_added(folder: Path) -> None:
    config = ImageFolderConfig(root=folder, size=16)

    def names() -> dict[str, set[str]]:
        return {s: set(ImageFolder(config, s)._names) for s in ("train", "valid", "test")}  # type: ignore[arg-type]

    before = names()
    assert sum(map(len, before.values())) == len(set().union(*before.values())) == 60
    picture(99).save(folder / "cats" / "new.png")
    after = names()
    assert all(before[split] <= after[split] for split in before)


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
    names = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*"))
    config = ImageFolderConfig(root=folder, size=16)
    broken = [name for name in names if split_of(name, config) == "train"][:5]
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
    other = "valid" if split_of("one.png", ImageFolderConfig(root=tmp_path)) == "train" else "train"
    with pytest.raises(DataError, match=f"falls into the {other} split"):
        open_dataset(ImageFolderConfig(root=tmp_path), other)  # type: ignore[arg-type]
