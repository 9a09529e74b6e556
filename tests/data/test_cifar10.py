"""CIFAR-10 in both layouts: complete, truncated, corrupt and hostile."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from codeword.config import Cifar10Config
from codeword.data import open_dataset
from codeword.data.cifar10 import BATCHES, BINARY_BYTES, CLASSES
from codeword.data.files.check import check
from codeword.errors import DataError


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """One file's records: a label, then 3072 pixel values."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (10_000, 1), dtype=np.uint8)
    return np.concatenate([labels, rng.integers(0, 256, (10_000, 3072), dtype=np.uint8)], axis=1)


@pytest.fixture
def binary(rows: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rows.tofile(folder / "test_batch.bin")
    return folder


def write_pickle(path: Path, rows: np.ndarray) -> None:
    # As the official files are: keys of bytes, labels as a list, pixels as raw bytes (protocol 3 keeps them raw).
    batch = {b"data": rows[:, 1:].copy(), b"labels": rows[:, 0].tolist(), b"batch_label": b"x", b"filenames": []}
    path.write_bytes(pickle.dumps(batch, protocol=3))


def test_binary_and_python_layouts_give_the_same_images(rows: np.ndarray, binary: Path, tmp_path: Path) -> None:
    python = tmp_path / "py" / "cifar-10-batches-py"
    python.mkdir(parents=True)
    write_pickle(python / "test_batch", rows)
    a = open_dataset(Cifar10Config(root=tmp_path), "test").take(range(100))
    b = open_dataset(Cifar10Config(root=tmp_path / "py"), "test").take(range(100))
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.label, b.label)
    assert a.x.shape == (100, 3, 32, 32)
    assert a.label.tolist() == rows[:100, 0].tolist()
    assert a.x[3].flatten().tolist() == rows[3, 1:].tolist()


def test_the_folder_itself_or_the_environment_may_name_it(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(open_dataset(Cifar10Config(root=binary), "test")) == 10_000
    monkeypatch.setenv("CODEWORD_DATA", str(tmp_path))
    assert len(open_dataset(Cifar10Config(), "test")) == 10_000


def test_half_of_the_training_images_are_mirrored_and_only_where_asked(binary: Path) -> None:
    data = open_dataset(Cifar10Config(root=binary), "test")
    plain = data.take(range(200)).x
    drawn = data.take(range(200), generator=torch.Generator().manual_seed(0)).x
    mirrored = [bool(torch.equal(a.flip(2), b)) for a, b in zip(plain, drawn, strict=True)]
    same = [bool(torch.equal(a, b)) for a, b in zip(plain, drawn, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 60 < sum(mirrored) < 140
    still = open_dataset(Cifar10Config(root=binary, flip=False), "test")
    assert torch.equal(still.take(range(200), generator=torch.Generator().manual_seed(0)).x, plain)


def test_missing_short_and_corrupt_files_are_named(binary: Path, rows: np.ndarray, tmp_path: Path) -> None:
    config = Cifar10Config(root=tmp_path)
    with pytest.raises(DataError, match=r"is neither in.*codeword data fetch cifar10"):
        open_dataset(Cifar10Config(root=tmp_path / "nowhere"), "test")
    with pytest.raises(DataError, match=r"lacks .*data_batch_1\.bin.*codeword data fetch"):
        open_dataset(config, "train")
    file = binary / "test_batch.bin"
    file.write_bytes(rows.tobytes()[:-1])
    with pytest.raises(DataError, match=rf"test_batch\.bin has 30,729,999 bytes, but {BINARY_BYTES:,} are correct"):
        open_dataset(config, "test")
    wrong = rows.copy()
    wrong[17, 0] = 10
    wrong.tofile(file)
    with pytest.raises(DataError, match=r"corrupt: its label 10"):
        open_dataset(config, "test")


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.path)!r}, 'w').write('executed')",)


def test_a_hostile_pickle_is_refused_and_not_executed(rows: np.ndarray, tmp_path: Path) -> None:
    folder, trace = tmp_path / "cifar-10-batches-py", tmp_path / "trace"
    folder.mkdir()
    config = Cifar10Config(root=tmp_path)
    for content in (
        pickle.dumps({b"data": Hostile(trace), b"labels": []}),
        pickle.dumps({b"data": rows[:5, 1:], b"labels": [0] * 5}),
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": rows[:, 1:], b"labels": [11] * 10_000}),
        b"cnot a pickle",
        b"",
    ):
        (folder / "test_batch").write_bytes(content)
        with pytest.raises(DataError, match="codeword data fetch cifar10"):
            open_dataset(config, "test")
    assert not trace.exists()


def test_the_real_images_are_the_official_ones(cifar_root: Path) -> None:
    found = check(Cifar10Config(root=cifar_root))
    assert (found.train, found.valid, found.test) == (45_000, 5_000, 10_000)
    assert found.classes == CLASSES
    assert found.verified == "all pixels equal the official ones"


def test_other_pixels_are_noticed(cifar_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in BATCHES:
        source = cifar_root / folder.name / f"{name}.bin"
        (folder / source.name).symlink_to(source)
    changed = bytearray((cifar_root / folder.name / "test_batch.bin").read_bytes())
    changed[5] ^= 1
    (folder / "test_batch.bin").unlink()
    (folder / "test_batch.bin").write_bytes(changed)
    with pytest.raises(DataError, match="test pixels have SHA-256"):
        check(Cifar10Config(root=tmp_path))
