"""Items of named data sets, folders, archives and data sets of the Hub."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.speech_files import write_librispeech
from tiny.tokens import CONFIGS, IMAGES, write_files
from torch import Tensor

from codeword.data.items import Item, list_items
from codeword.errors import DataError, UsageError
from codeword.media.images import read_image

AUDIO = CONFIGS[1]


def png(seed: int = 0) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def opened(item: Item) -> tuple[Tensor, str | None]:
    with item.open() as signal:
        return signal.data if isinstance(signal.data, Tensor) else read_image(signal.data), signal.label


def test_a_folder_is_its_files_sorted(tmp_path: Path, ndim: int) -> None:
    names = write_files(tmp_path, ndim, 6)
    (tmp_path / "notes.txt").write_text("passed over")
    items = list_items(str(tmp_path), CONFIGS[ndim])
    assert [item.id for item in items] == names
    assert [item.source for item in items] == [str(tmp_path / name) for name in names]
    with items[-1].open() as signal:
        assert (signal.data, signal.label) == (tmp_path / names[-1], "b")
    assert [item.id for item in list_items(str(tmp_path), CONFIGS[ndim], limit=2)] == names[:2]
    with pytest.raises(DataError, match=r"holds no (images|audio)"):
        list_items(str(tmp_path), CONFIGS[3 - ndim])
    with pytest.raises(DataError, match="There is no folder"):
        list_items(str(tmp_path / "missing"), CONFIGS[ndim])


def test_splits_share_a_folder_out(tmp_path: Path) -> None:
    names = write_files(tmp_path, 2, 30)
    parts = [list_items(str(tmp_path), IMAGES, split=split) for split in ("train", "valid", "test")]
    assert sorted(item.id for part in parts for item in part) == names
    with pytest.raises(UsageError, match="no split 'all'"):
        list_items(str(tmp_path), IMAGES, split="all")


def test_librispeech_is_its_utterances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_librispeech(tmp_path, "dev-clean", {"103": ["1240"], "26": ["495"]})
    write_librispeech(tmp_path, "test-clean", {"7": ["1"]})
    monkeypatch.setenv("CODEWORD_DATA", str(tmp_path))
    items = list_items("librispeech", AUDIO, subsets=["dev-clean"])
    assert [item.id for item in items] == [f"{chapter}-{i:04}" for chapter in ("103-1240", "26-495") for i in range(3)]
    with items[0].open() as signal:
        assert signal.label == "103"
    assert len(list_items(str(tmp_path), AUDIO)) == len(list_items(str(tmp_path / "LibriSpeech"), AUDIO)) == 9
    with pytest.raises(DataError, match="there is dev-clean, test-clean"):
        list_items("librispeech", AUDIO, subsets=["dev-other"])
    with pytest.raises(UsageError, match="codes images, but librispeech holds audio"):
        list_items("librispeech", IMAGES)
    with pytest.raises(UsageError, match="has no splits"):
        list_items("librispeech", AUDIO, split="train")
    with pytest.raises(UsageError, match="Only LibriSpeech has subsets"):
        list_items(str(tmp_path / "LibriSpeech" / "dev-clean"), AUDIO, subsets=["dev-clean"])


def test_cifar10_is_a_split_of_it(cifar_root: Path) -> None:
    items = list_items("cifar10", IMAGES, split="test", limit=3)
    assert [(item.id, item.source) for item in items] == [(f"test/{i:05}", f"cifar10/test/{i:05}") for i in range(3)]
    image, label = opened(items[0])
    assert (tuple(image.shape), label) == ((3, 32, 32), "cat")
    assert items == list_items(str(cifar_root), IMAGES, split="test", limit=3)


def test_archives_are_their_members(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "shard-008.tar",
        {"x/a.png": png(1), "x/a.cls": b"7\n", "b.PNG": png(2), "b.json": b'{"speaker": "ann"}', "c.txt": b"words"},
    )
    write_tar(tmp_path / "shard-009.tar", {"a.png": png(3)})
    write_tar(tmp_path / "shard-010.tar", {})
    items = list_items(str(tmp_path / "shard-{008..010}.tar"), IMAGES)
    assert [item.id for item in items] == ["shard-008.tar/x/a.png", "shard-008.tar/b.PNG", "shard-009.tar/a.png"]
    assert items[0].source == f"{tmp_path / 'shard-008.tar'}:x/a.png"
    assert [opened(item)[1] for item in items] == ["7", "ann", None]
    for item, seed in zip(items, (1, 2, 3), strict=True):
        (tmp_path / "alone.png").write_bytes(png(seed))
        assert opened(item)[0].equal(read_image(tmp_path / "alone.png"))
    with pytest.raises(UsageError, match="counts from 3 to 1"):
        list_items(str(tmp_path / "shard-{003..001}.tar"), IMAGES)
    with pytest.raises(DataError, match="There is no file"):
        list_items(str(tmp_path / "shard-011.tar"), IMAGES)


def test_names_in_archives_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    (tmp_path / "secret.png").write_bytes(png(9))
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"link-{kind.decode()}.png")
            member.type, member.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(member)
        member = tarfile.TarInfo("../../up.png")
        member.size = len(png())
        archive.addfile(member, io.BytesIO(png()))
    item, *links = list_items(str(path), IMAGES)
    assert item.id == "evil.tar/../../up.png"
    opened(item)
    for link, kind in zip(links, "216", strict=True):
        with pytest.raises(DataError, match=f"link-{kind}.png is a link, a device or sparse"):
            opened(link)
    assert sorted(os.listdir(tmp_path)) == ["evil.tar", "secret.png"]


def test_members_of_one_name_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, seed in (("a.png", 1), ("b.png", 2), ("a.png", 3), ("\udcff.png", 4)):
            member = tarfile.TarInfo(name)
            member.size = len(png(seed))
            archive.addfile(member, io.BytesIO(png(seed)))
    *items, replaced = list_items(str(path), IMAGES)
    assert [item.id for item in items] == ["a.tar/a.png", "a.tar/b.png", r"a.tar/\xff.png"]
    (tmp_path / "alone.png").write_bytes(png(3))
    assert opened(items[0])[0].equal(read_image(tmp_path / "alone.png"))
    assert replaced.id == "a.tar/a.png at byte 512"
    with pytest.raises(DataError, match=r"a\.tar:a\.png is replaced by a later member of the same name"):
        opened(replaced)


def test_what_is_wrong_in_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {"a.png": b"no image", "b.png": png(), "b.json": b"{", "c.png": png(), "c.cls": b"x" * 70_000})
    broken = list_items(str(path), IMAGES)
    for item, reason in zip(
        broken, ("a.png is not an image", "b.png has a .json that", "c.png has a .cls of 70,000 bytes"), strict=True
    ):
        with pytest.raises(DataError, match=reason):
            opened(item)
    write_tar(path, {"a.png": png(1), "b.png": png(2)})
    whole = path.read_bytes()
    path.write_bytes(whole[:530])
    first, tail = list_items(str(path), IMAGES)
    with pytest.raises(DataError, match=r"a\.png is cut short"):
        opened(first)
    with pytest.raises(DataError, match="damaged after its first 1 members"):
        opened(tail)
    path.write_bytes(whole[:1024] + b"?" * 512 + whole[1536:])
    first, tail = list_items(str(path), IMAGES)
    opened(first)
    assert tail.id == "a.tar"
    write_tar(path, {"x" * 5000 + ".png": png()})
    with pytest.raises(DataError, match="a name of more than"):
        list_items(str(path), IMAGES)


def test_a_header_that_asks_for_gigabytes_gets_none(tmp_path: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 3 << 30
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(4 << 30)  # Sparse: it takes no room.
    (item,) = list_items(str(tmp_path / "a.tar"), IMAGES)
    with pytest.raises(DataError, match="a header claims"):
        opened(item)


@pytest.mark.parametrize("size", [-5, -(1 << 70)])
def test_a_member_of_negative_size_is_refused(size: int, tmp_path: Path) -> None:
    member = tarfile.TarInfo("a.png")
    member.pax_headers = {"size": str(size)}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    for item in list_items(str(tmp_path / "a.tar"), IMAGES):
        with pytest.raises(DataError):
            opened(item)


def test_tables_of_other_programs_hold_files_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs codeword[tokens]")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, cell in (("bytes", png(1)), ("struct", {"bytes": png(1), "path": "a.png"})):
        pq.write_table(pa.table({"name": ["x"], "photo": [cell], "label": ["cat"]}), tmp_path / f"{name}.parquet")
        image, label = opened(*list_items(str(tmp_path / f"{name}.parquet"), IMAGES))
        assert (tuple(image.shape), label) == ((3, 5, 7), "cat")
    pq.write_table(pa.table({"name": ["x"], "label": ["cat"]}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="no column of type Image or of bytes, only name, label"):
        list_items(str(tmp_path / "none.parquet"), IMAGES)


def test_rows_of_a_data_set_are_decoded_by_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs codeword[tokens]")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "secret.png").write_bytes(png(9))
    rows = datasets.Dataset.from_dict(
        {
            "image": [
                {"bytes": png(1), "path": "../a.png"},
                {"bytes": b"no image", "path": None},
                {"bytes": None, "path": str(tmp_path / "secret.png")},
                None,
            ],
            "label": [1, -1, 0, 0],
        },
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}),
    )
    (tmp_path / "files").mkdir()
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(rows.data.table, tmp_path / "files" / "a.parquet")
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    for place in ("files", "files/a.parquet", "saved"):
        items = list_items(str(tmp_path / place), IMAGES)
        assert [item.id for item in items] == [f"train/{i:08}" for i in range(4)]
        image, label = opened(items[0])
        assert (tuple(image.shape), label) == ((3, 5, 7), "dog")
        with pytest.raises(DataError, match="is not an image"):
            opened(items[1])
        # A saved data set may name any file of the disk on which it was saved.
        for item in items[3 if place == "saved" else 2 :]:
            with pytest.raises(DataError, match="contains no media"):
                opened(item)
    with pytest.raises(DataError, match="no column of type Audio"):
        list_items(str(tmp_path / "files"), AUDIO)
    with pytest.raises(DataError, match="no split test"):
        list_items(str(tmp_path / "saved"), IMAGES, split="test")
