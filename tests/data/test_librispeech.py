"""LibriSpeech in its official layout: splits by subset, speaker, chapter or utterance."""

import json
import logging
import os
from pathlib import Path
from typing import get_args

import pytest
import torch
from tiny.speech_files import write_librispeech, write_noise

from codeword.config import LibriSpeechConfig, load_recipe
from codeword.config.reading import shipped_recipes
from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.data.librispeech import LibriSpeech
from codeword.data.phones.alignment import Phone
from codeword.errors import DataError, RecipeError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_librispeech(tmp_path, "train-clean-100", {"103": ["1", "2"], "26": ["3"]})
    write_librispeech(tmp_path, "test-other", {"7": ["4"], "26": ["5"]})
    return tmp_path


def config(root: Path, **changes: object) -> LibriSpeechConfig:
    splits = {"train": ("train-clean-100",), "valid": ("train-clean-100/103/2",), "test": ("test-other",)}
    return LibriSpeechConfig(root=root, crop_samples=500, **splits | changes)  # type: ignore[arg-type]


def names(data: LibriSpeech) -> list[str]:
    return [recording.name for recording in data.recordings]


def test_the_longer_path_takes_a_recording(root: Path) -> None:
    settings = config(root, test=("test-other", "train-clean-100/26/3/26-3-0001"))
    train, valid, test = (LibriSpeech(settings, s) for s in ("train", "valid", "test"))  # type: ignore[arg-type]
    assert names(train) == ["103-1-0000", "103-1-0001", "103-1-0002", "26-3-0000", "26-3-0002"]
    assert names(valid) == ["103-2-0000", "103-2-0001", "103-2-0002"]
    assert set(names(test)) == {f"{a}-000{i}" for a in ("7-4", "26-5") for i in range(3)} | {"26-3-0001"}


def test_classes_are_the_training_speakers_in_every_split_and_others_are_the_null_class(root: Path) -> None:
    train, test = LibriSpeech(config(root), "train"), LibriSpeech(config(root), "test")
    assert train.classes == test.classes == ("26", "103")
    assert {r.speaker: test.label(i) for i, r in enumerate(test.recordings)} == {"7": 2, "26": 0}


OF_ALL_VOICES = {"librispeech-voices"}


@pytest.mark.parametrize(
    "name", [name for name in shipped_recipes() if name.startswith("librispeech") and name not in OF_ALL_VOICES]
)
def test_more_speakers_on_the_disk_leave_the_splits_of_a_recipe_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = load_recipe(name).data
    assert isinstance(settings, LibriSpeechConfig)
    chapters = {"19": ["198", "227"], "26": ["495", "496"], "27": ["123349", "124992"]}
    for folder, speakers in (("few", chapters), ("many", chapters | {"103": ["1240"], "8975": ["270782"]})):
        write_librispeech(tmp_path / folder, "train-clean-100", speakers)
        write_librispeech(tmp_path / folder, "test-other", {"1688": ["142285"]})
        for selector in (*settings.train, *settings.valid, *settings.test):
            if selector.count("/") == 3:
                write_noise(tmp_path / folder / "LibriSpeech" / f"{selector}.flac", 500)
    splits = {
        folder: [
            open_dataset(settings.model_copy(update={"root": tmp_path / folder}), split) for split in get_args(Split)
        ]
        for folder in ("few", "many")
    }
    for few, many in zip(splits["few"], splits["many"], strict=True):
        assert names(few) == names(many)  # type: ignore[arg-type]
        assert few.classes == many.classes == ("19", "26", "27")


def test_linked_folders_of_speakers_are_read_and_loops_are_not(root: Path, tmp_path: Path) -> None:
    subset = tmp_path / "linked" / "LibriSpeech" / "train-clean-100"
    (subset / "26").mkdir(parents=True)
    (subset / "103").symlink_to(root / "LibriSpeech" / "train-clean-100" / "103")
    (subset / "26" / "3").symlink_to(root / "LibriSpeech" / "train-clean-100" / "26" / "3")
    (subset / "26" / "loop").symlink_to(subset)
    (subset / "loop").symlink_to(".")
    linked, plain = (
        LibriSpeech(config(folder, test=("train-clean-100/26/3",)), "train") for folder in (tmp_path / "linked", root)
    )
    assert names(linked) == names(plain)
    assert linked.classes == plain.classes == ("103",)
    whole = LibriSpeech(config(tmp_path / "linked", train=("train-clean-100/26",), test=("train-clean-100",)), "train")
    assert names(whole) == ["26-3-0000", "26-3-0001", "26-3-0002"]


def test_lengths_are_read(root: Path) -> None:
    train = LibriSpeech(config(root), "train")
    assert [r.samples for r in train.recordings[:3]] == [700, 1400, 2100]
    assert train.read(2).shape == (1, 2100)


def test_phones_are_found_beside_the_folder_or_where_the_recipe_says(root: Path) -> None:
    assert LibriSpeech(config(root), "train").phones(0) is None
    (root / "trans.phones.txt").write_text("103-1-0000\ttrans\t4\tSIL 0 1;AH 1 3\n")
    train = LibriSpeech(config(root), "train")
    assert train.phones(0) == (Phone("SIL", 0.0, 0.01), Phone("AH", 0.01, 0.04))
    assert train.phones(1) is None
    with pytest.raises(DataError, match="There are no alignments at"):
        LibriSpeech(config(root, alignments=root / "gone.txt"), "train").phones(0)


def test_lengths_are_measured_once_and_again_where_files_change(root: Path) -> None:
    assert LibriSpeech(config(root), "train").recordings[0].samples == 700
    (manifest,) = (root / "cache" / "codeword" / "manifests").iterdir()
    content = json.loads(manifest.read_text())
    name = "train-clean-100/103/1/103-1-0000.flac"
    content["files"][name][1] = 650
    manifest.write_text(json.dumps(content))
    assert LibriSpeech(config(root), "train").recordings[0].samples == 650
    write_noise(root / "LibriSpeech" / name, 800)
    assert LibriSpeech(config(root), "train").recordings[0].samples == 800
    manifest.write_text("damaged")
    assert LibriSpeech(config(root), "train").recordings[0].samples == 800


def test_a_cache_that_cannot_be_written_is_no_obstacle(root: Path) -> None:
    (root / "cache").write_text("a file where a folder should be")
    assert len(LibriSpeech(config(root), "train").recordings) == 6


def test_broken_files_are_named_and_skipped(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = root / "LibriSpeech/train-clean-100/103/1/103-1-0001.flac"
    broken.write_bytes(broken.read_bytes()[:1500])
    with caplog.at_level(logging.WARNING, "codeword"):
        train = LibriSpeech(config(root), "train")
    assert train.skipped == ["103-1-0001"]
    assert len(train.recordings) == 5
    assert "1 of 6 recordings" in caplog.text
    assert "103-1-0001.flac" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": ("dev-clean",)}, r"there is test-other, train-clean-100; .*for the subset dev-clean"),
        ({"train": ("train-clean-100/9",)}, r"in .*train-clean-100 there is 26, 103\."),
        ({"train": ("train-clean-100/26/3/26-3-0009",)}, r"/26/3 there is 26-3-0000, 26-3-0001, 26-3-0002\."),
        ({"train": ("train-clean-100/103/2/103-2-0000",), "valid": ("train-clean-100",)}, None),
    ],
)
def test_a_selector_that_finds_nothing_says_what_there_is(
    root: Path, changes: dict[str, object], said: str | None
) -> None:
    if said is None:
        assert names(LibriSpeech(config(root, **changes), "train")) == ["103-2-0000"]
        return
    with pytest.raises(DataError, match=said):
        LibriSpeech(config(root, **changes), "train")


def test_splits_that_clash_or_run_empty_are_one_sentence(root: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.valid and data\.test both name test-other"):
        LibriSpeech(config(root, valid=("test-other",)), "train")
    with pytest.raises(DataError, match=r"The train split .* is empty"):
        LibriSpeech(config(root, train=("train-clean-100/26",), valid=("train-clean-100/26/3",)), "train")


def test_no_librispeech_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="codeword data fetch librispeech` for the subset dev-clean"):
        open_dataset(LibriSpeechConfig(root=tmp_path), "train")


def test_real_recordings_have_phones_and_the_crops_that_the_whole_has() -> None:
    root = os.environ.get("CODEWORD_DATA")
    if not root or not (Path(root) / "LibriSpeech" / "train-clean-100").is_dir():
        pytest.skip("needs real recordings: set CODEWORD_DATA to a folder that holds LibriSpeech/train-clean-100")
    settings = LibriSpeechConfig(train=("train-clean-100",), valid=("dev-clean",), test=("test-clean",))
    train = LibriSpeech(settings, "train")
    phones, whole = train.phones(0), train.read(0)
    assert phones is None or abs(phones[-1].end_s - whole.shape[1] / 16_000) < 0.03
    assert torch.equal(train.take([0]).x[0, :, : whole.shape[1]], whole[:, :16_000])
