"""Written and spoken digits, and pairs of both, in tiny files of the official layouts."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny.digits import IMAGES, LABELS, RANGES, SPEAKERS, write_digits, write_mnist

from codeword.config import MnistConfig, SpokenDigitsConfig
from codeword.data import Pairs
from codeword.data.mnist import Mnist
from codeword.data.spoken_digits import SpokenDigits
from codeword.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_digits(tmp_path)
    return tmp_path


def mnist(root: Path, split: str = "train") -> Mnist:
    return Mnist(MnistConfig(root=root, **RANGES), split)  # type: ignore[arg-type]


def spoken(root: Path, split: str = "train", **fields: object) -> SpokenDigits:
    known = SPEAKERS | {"root": root, "crop_samples": 500}
    return SpokenDigits(SpokenDigitsConfig(**known | fields), split)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", RANGES)
def test_the_splits_of_mnist_are_the_given_ranges(root: Path, split: str) -> None:
    data, (first, last) = mnist(root, split), RANGES[split]
    batch = data.take(range(len(data)))
    assert len(data) == last - first
    assert batch.x.shape == (last - first, 3, 28, 28)
    for channel in range(3):
        assert np.array_equal(batch.x[:, channel].numpy(), IMAGES[first:last])
    assert batch.label.tolist() == LABELS[first:last].tolist()


@pytest.mark.parametrize(
    ("images", "labels"),
    [(IMAGES[:39], LABELS), (IMAGES[:30], LABELS[:30]), (IMAGES, LABELS + 1), (IMAGES, LABELS[:0])],
)
def test_files_of_mnist_that_do_not_fit_are_refused(root: Path, images: np.ndarray, labels: np.ndarray) -> None:
    write_mnist(root / "mnist", images, labels)
    with pytest.raises(DataError, match="40 are needed"):
        mnist(root, "test")


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", gzip.compress(b"\0\0\x08\x03" + b"\0" * 12 + b"more", mtime=0)])
def test_damaged_files_of_mnist_are_refused(root: Path, damage: bytes) -> None:
    (root / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(damage)
    with pytest.raises(DataError, match="fetch it again"):
        mnist(root)


def test_missing_digits_say_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="put its files into"):
        mnist(tmp_path)
    with pytest.raises(DataError, match="There is no folder"):
        spoken(tmp_path)


def test_the_test_of_spoken_digits_has_speakers_of_its_own(root: Path) -> None:
    names = {split: {r.name for r in spoken(root, split).recordings} for split in RANGES}
    assert names["train"] == {f"{digit}_ann_1" for digit in range(10)}
    assert names["valid"] == {f"{digit}_ann_0" for digit in range(10)}
    assert names["test"] == {f"{digit}_bob_{n}" for digit in range(10) for n in range(2)}
    assert {r.name for r in spoken(root, "test", test=()).recordings} == names["valid"]
    with pytest.raises(ValidationError, match="both name ann"):
        spoken(root, test=("ann",))
    with pytest.raises(DataError, match="no recording of carl"):
        spoken(root, test=("carl",), split="test")


def test_the_classes_of_spoken_digits_are_the_digits_at_every_speed(root: Path) -> None:
    data = spoken(root, speed=0.4)
    digits = [int(r.name[0]) for r in data.recordings]
    assert data.take(range(10), generator=torch.Generator().manual_seed(0)).label.tolist() == digits


def test_pairs_are_of_one_class_and_the_partner_is_drawn_anew_in_training(root: Path) -> None:
    written, heard = mnist(root, "test"), spoken(root, "test")
    pairs = Pairs(written, heard)
    assert len(pairs) == len(written)
    own = {heard.take([i]).x.numpy().tobytes(): int(heard.take([i]).label) for i in range(len(heard))}
    batches = [pairs.take(range(10)), pairs.take(range(10))]
    batches += [pairs.take(range(10), generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    for batch in batches:
        assert torch.equal(batch.x, written.take(range(10)).x)
        assert [own[x[None].numpy().tobytes()] for x in batch.second] == batch.label.tolist()
    assert torch.equal(batches[0].second, batches[1].second)
    assert not all(torch.equal(batches[2].second, batch.second) for batch in batches[3:])


def test_shuffled_pairs_are_of_any_classes(root: Path) -> None:
    heard = spoken(root, "test")
    own = {heard.take([i]).x.numpy().tobytes(): int(heard.take([i]).label) for i in range(len(heard))}
    batch = Pairs(mnist(root), heard, shuffled=True).take(range(20))
    assert [own[x[None].numpy().tobytes()] for x in batch.second] != batch.label.tolist()


def test_pairs_of_other_classes_are_refused(root: Path) -> None:
    written, heard = mnist(root), spoken(root)
    heard.classes = tuple("abc")
    with pytest.raises(DataError, match="name recipes with the same ones"):
        Pairs(written, heard)
