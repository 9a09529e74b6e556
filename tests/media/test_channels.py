"""One channel out of several."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codeword.config import TokenizerConfig
from codeword.errors import DataError, UsageError
from codeword.media.audio import Audio
from codeword.media.waves import read_audio, read_blocks

TONE = (0.25 * np.sin(np.arange(4000) * 0.2)).astype(np.float32)
SPEECH = TokenizerConfig(ndim=1, channels=1, values=65536, sample_rate=16_000)


def write(path: Path, gains: list[float], **options: str) -> Path:
    """The same tone in each channel, with these gains."""
    soundfile.write(path, TONE[:, None] * np.float32(gains), 16_000, **options)
    return path


def gain(path: Path, channel: int | None = None, notes: list[str] | None = None) -> float:
    """The gain of the tone in the one channel that is read."""
    blocks = list(read_blocks(path, sample_rate=16_000, values=65536, channel=channel, notes=notes))
    wave = (torch.cat(blocks, 1)[0].numpy() - 32768) / 32768
    return float(wave @ TONE / (TONE @ TONE))


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "FLAC", "RF64", "W64", "AIFF", "CAF", "AU"])
@pytest.mark.parametrize("channels", [6, 8])
def test_each_channel_of_surround_sound_has_its_place_in_the_mix(container: str, channels: int, tmp_path: Path) -> None:
    for i in range(channels):
        path = write(tmp_path / "x", [float(i == j) for j in range(channels)], format=container, subtype="PCM_16")
        if i == 3:  # Of the low frequencies.
            with pytest.raises(DataError, match="below channel 4 alone"):
                gain(path)
        else:
            assert gain(path) == pytest.approx([0.5, 0.5, 0.5**0.5][i] if i < 3 else 0.5**1.5, abs=1e-3)


@pytest.mark.parametrize(("subtype", "channels"), [("VORBIS", 6), ("OPUS", 6), ("VORBIS", 8)])
def test_the_centre_of_an_ogg_file_is_its_second_channel(subtype: str, channels: int, tmp_path: Path) -> None:
    for i, expected in enumerate([0.5, 0.5**0.5, 0.5, 0.5**1.5]):
        gains = [float(i == j) for j in range(channels)]
        assert gain(write(tmp_path / "x", gains, format="OGG", subtype=subtype)) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("channels", [2, 3, 4, 5, 7])
def test_all_others_are_averaged(channels: int, tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", [1.0] + [0.0] * (channels - 1), subtype="FLOAT")
    assert gain(path) == pytest.approx(1 / channels, abs=1e-3)
    assert torch.equal(
        read_audio(path, sample_rate=16_000, values=65536)[0],
        torch.from_numpy(np.rint((TONE / np.float32(channels)) * 32768) + 32768).long(),
    )


def test_a_part_of_surround_sound_is_that_of_the_whole(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, (3000, 6))
    soundfile.write(tmp_path / "x.flac", wave, 16_000)
    whole = read_audio(tmp_path / "x.flac", sample_rate=16_000, values=65536)
    part = read_audio(tmp_path / "x.flac", sample_rate=16_000, values=65536, start=777, count=1001)
    assert torch.equal(part, whole[:, 777:1778])


def test_channels_that_cancel_are_refused_and_one_of_them_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", [0.5, -0.49])
    with pytest.raises(DataError, match=r"its 2 channels is 40 dB below channel 1 alone.* choose that channel"):
        gain(path)
    assert gain(path, channel=1) == pytest.approx(0.5, abs=1e-3)
    assert gain(path, channel=2) == pytest.approx(-0.49, abs=1e-3)
    notes = list[str]()
    gain(write(tmp_path / "y.wav", [1, -0.5]), notes=notes)
    assert notes == ["the mix of the channels is 12 dB below channel 1 alone"]
    for gains in ([1, 0], [1, 1], [0, 0]):
        gain(write(tmp_path / "y.wav", gains), notes=notes)
        assert notes == []


def test_a_channel_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", [1.0, 1.0])
    for call in (lambda: gain(path, channel=3), lambda: Audio().with_channel(3).size(path, SPEECH)):
        with pytest.raises(DataError, match="has 2 channels, so no channel 3"):
            call()
    with pytest.raises(UsageError, match="no channel 0"):
        Audio().with_channel(0)
