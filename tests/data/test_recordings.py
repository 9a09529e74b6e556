"""Recordings as crops for training, whole for everything else; from any folder of audio files."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.speech_files import write_noise

from codeword.config import AudioConfig, AudioFolderConfig
from codeword.data import open_dataset
from codeword.data.audio_folder import AudioFolder
from codeword.data.files.check import check
from codeword.data.recordings import Recording, Recordings
from codeword.errors import DataError
from codeword.media.channels import Wave

CROP = 100


class Ramps(Recordings):
    """Recordings in memory whose every sample tells where it comes from: recording i counts up from 5000 i + 1."""

    in_memory = True

    def __init__(self, *lengths: int, values: int = 65536, **changes: float) -> None:
        config = AudioConfig(crop_samples=CROP, values=values, **changes)  # type: ignore[arg-type]
        recordings = [Recording(str(i), None, str(i % 2), n) for i, n in enumerate(lengths)]
        super().__init__(config, recordings, classes=("1",))

    def _wave(self, i: int, start: int, count: int) -> Wave:
        return ((5000 * i + 1 + start + np.arange(count)) / 32768).astype(np.float32)


@given(lengths=st.lists(st.integers(1, 450), min_size=1, max_size=5))
def test_crops_lie_end_to_end_and_weigh_by_duration(lengths: list[int]) -> None:
    data = Ramps(*lengths)
    assert len(data) == sum(max(1, n // CROP) for n in lengths)
    x = data.take(range(len(data))).x
    assert x.shape == (len(data), 1, CROP)
    expected = []
    for i, n in enumerate(lengths):
        whole = data.read(i)[0]
        assert whole.shape == (n,)
        usable = max(CROP, n // CROP * CROP)
        expected.append(torch.nn.functional.pad(whole, (0, max(0, CROP - n)), value=32768)[:usable])
    assert torch.equal(x.flatten(), torch.cat(expected))


@given(lengths=st.lists(st.integers(1, 450), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_moved_crops_stay_inside_their_recording(lengths: list[int], seed: int) -> None:
    data = Ramps(*lengths)
    crops = data.take(range(len(data)), generator=torch.Generator().manual_seed(seed)).x[:, 0] - 32768
    for crop in crops:
        i = int(crop[0] - 1) // 5000
        inside = min(CROP, lengths[i])
        assert torch.equal(crop[:inside], torch.arange(inside) + crop[0])
        assert crop[inside - 1] <= 5000 * i + lengths[i]
        assert (crop[inside:] == 0).all()


def test_moved_crops_reach_all_of_a_recording() -> None:
    data = Ramps(350)
    generator = torch.Generator().manual_seed(0)
    seen = torch.cat([data.take([0, 1, 2], generator=generator).x.flatten() for _ in range(500)])
    assert len(seen.unique()) == 350


def test_labels_are_classes_or_not_told() -> None:
    assert Ramps(100, 200, 50).take([0, 1, 2, 3]).label.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("values", [256, 65536])
def test_augmentation_follows_the_generator_and_stays_in_range(values: int) -> None:
    data = Ramps(350, 80, values=values, speed=0.2, gain_db=20)

    def drawn(seed: int) -> torch.Tensor:
        return data.take(range(len(data)), generator=torch.Generator().manual_seed(seed)).x

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert drawn(1).shape == (4, 1, CROP)
    assert drawn(1).min() >= 0
    assert drawn(1).max() < values


class Tone(Ramps):
    frequency = 0.05  # in turns a sample

    def _wave(self, i: int, start: int, count: int) -> Wave:
        return (0.8 * np.sin(2 * np.pi * self.frequency * (start + np.arange(count)))).astype(np.float32)


def test_speed_moves_the_pitch_and_gain_never_clips() -> None:
    data = Tone(3000, 3000, speed=0.3, gain_db=12)
    batch = data.take([35] * 100, generator=torch.Generator().manual_seed(0))
    waves = batch.x[:, 0] / 32768 - 1
    pitch = torch.fft.rfft(waves * torch.hann_window(CROP), 4096).abs().argmax(1) / 4096
    assert 0.034 < pitch.min() < 0.038
    assert 0.062 < pitch.max() < 0.066
    # Class 0 is the recording's own voice; a voice played at another speed has no class.
    assert set(batch.label.tolist()) == {0, len(data.classes)}
    assert (pitch[batch.label == 0] - 0.05).abs().max() < 0.001
    assert 30 < (batch.label == 0).sum() < 70
    peak = waves.abs().amax(1)
    assert peak.min() < 0.3
    assert peak.max() < 1.01
    # A wave that was cut off at full scale would stay there.
    assert (waves.abs() > 0.9999).float().mean() < 0.05


class Clicks(Ramps):
    def _wave(self, i: int, start: int, count: int) -> Wave:
        return np.eye(1, count, count // 2, dtype=np.float32)[0] / 2


def test_colour_is_smooth_within_its_bounds_and_reaches_them() -> None:
    plain = Clicks(CROP).take([0])
    coloured = Clicks(CROP, colour_db=6).take([0] * 200, generator=torch.Generator().manual_seed(0))
    spectra = torch.fft.rfft((coloured.x[:, 0] - 32768).double()).abs()
    gains_db = 20 * (spectra / torch.fft.rfft((plain.x[:, 0] - 32768).double()).abs()).log10()
    assert 5 < gains_db.max() < 6.1
    assert -6.1 < gains_db.min() < -5
    assert gains_db.std(1).median() > 1
    assert gains_db.diff().abs().max() < 12 * 5 * (1 / (CROP // 2)) ** 0.5 + 0.1
    assert Clicks(0, CROP, colour_db=6).take([0, 1], generator=torch.Generator()).x.shape == (2, 1, CROP)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "audio"
    for speaker in ("anna", "ben"):
        for i in range(20):
            suffix = (".wav", ".flac", ".ogg")[i % 3]
            rate = (16_000, 8000, 44_100)[i % 3]
            write_noise(root / speaker / f"{i}{suffix}", 900 + 50 * i, rate=rate, seed=i)
    (root / "notes.txt").write_text("not audio")
    return root


def opened(root: Path, split: str = "train", **changes: object) -> AudioFolder:
    data = open_dataset(AudioFolderConfig(root=root, crop_samples=200, **changes), split)  # type: ignore[arg-type]
    assert isinstance(data, AudioFolder)
    return data


def test_a_folder_splits_whole_and_disjoint_with_speakers_as_classes(folder: Path) -> None:
    splits = [opened(folder, s) for s in ("train", "valid", "test")]
    names = [r.name for data in splits for r in data.recordings]
    assert len(names) == len(set(names)) == 40
    assert {data.classes for data in splits} == {("anna", "ben")}
    for data in splits:
        assert all(data.read(i).shape == (1, r.samples) for i, r in enumerate(data.recordings))
        assert all(data.classes[data.label(i)] == r.speaker for i, r in enumerate(data.recordings))


def test_crops_from_disk_are_those_of_the_whole(folder: Path) -> None:
    data = opened(folder)
    x, first = data.take(range(len(data))).x, 0
    for i, recording in enumerate(data.recordings):
        crops = x[first : first + max(1, recording.samples // 200), 0]
        first += len(crops)
        whole = data.read(i)[0, : crops.numel()]
        assert (crops.flatten()[: len(whole)] - whole).abs().max() <= 1


def test_a_file_that_breaks_later_is_named_once_and_replaced(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = opened(folder)
    path = data.recordings[0].path
    assert path is not None
    path.write_bytes(b"broken")
    with caplog.at_level(logging.WARNING, "codeword"):
        batch = data.take([0, 0, data._ends[0]])
    assert torch.equal(batch.x[0], batch.x[2])
    assert len(caplog.records) == 1
    assert data.skipped == [data.recordings[0].name]


def test_files_without_subfolders_have_no_classes(tmp_path: Path, folder: Path) -> None:
    data = opened(folder / "anna")
    assert data.classes == ()
    assert data.take([0, 1]).label.tolist() == [0, 0]


def test_checking_reads_everything_and_names_what_is_broken(folder: Path) -> None:
    config = AudioFolderConfig(root=folder, crop_samples=200)
    name = opened(folder).recordings[0].name
    content = (folder / name).read_bytes()
    # Damaged in the middle, which no header shows.
    (folder / name).write_bytes(content[:1000] + bytes(200) + content[1200:])
    soundfile.write(folder / "anna" / "nan.wav", np.full(500, np.nan), 16_000, subtype="FLOAT")
    found = check(config)
    assert found.classes == ("anna", "ben")
    assert f"broken ({name}" in found.verified
    assert "anna/nan.wav" in found.verified


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "There is no folder"),
        (lambda root: root.mkdir(), "holds no audio"),
        (lambda root: write_noise(root / "one.wav", 100), "holds too few files"),
    ],
)
def test_nothing_to_read_is_one_sentence(make: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    make(tmp_path / "root")
    # A lone file is for training; the other two splits are empty.
    with pytest.raises(DataError, match=said):
        opened(tmp_path / "root", "test")
