"""MP3 files whose first frame does not tell their length."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeword.errors import DataError
from codeword.media.mp3 import mp3_samples
from codeword.media.waves import audio_length, read_audio


def write(path: Path, rate: int, mode: str, *, silent_first: bool = True) -> bytes:
    """A recording of 3 seconds, half of it silent, without the frame that tells its length."""
    wave = np.random.default_rng(0).normal(0, 0.2, 3 * rate)
    wave.reshape(2, -1)[0 if silent_first else 1] = 0
    with soundfile.SoundFile(
        path, "w", rate, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.7, bitrate_mode=mode
    ) as file:
        file.write(wave)
    assert mp3_samples(path) == 0
    assert read_audio(path, sample_rate=rate, values=65536).shape == (1, 3 * rate)
    content = path.read_bytes()
    start = content.find(content[:2], 4)
    return content[start:]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_a_constant_bit_rate_needs_no_length(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    content = write(path, rate, "CONSTANT")
    for start, end in ((b"", b""), (b"ID3\4\0\0\0\0\1\0" + bytes(128), b"TAG" + bytes(125))):
        path.write_bytes(start + content + end)
        samples = mp3_samples(path)
        assert 3 * rate <= samples < 3 * rate + 4 * 1152
        assert audio_length(path, rate) == read_audio(path, sample_rate=rate, values=65536).shape[1] == samples
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="is cut short"):
        read_audio(path, sample_rate=rate, values=65536)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_variable_bit_rate_without_a_length_is_read_whole_or_not(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_bytes(write(path, rate, "VARIABLE"))
    assert audio_length(path, rate) == mp3_samples(path) >= 3 * rate
    path.write_bytes(write(path, rate, "VARIABLE", silent_first=False))
    with pytest.raises(DataError, match="MP3 file that does not say its length, and libsndfile reads only"):
        read_audio(path, sample_rate=rate, values=65536)


def test_other_bytes_between_the_frames_end_the_count(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    content = write(path, 16_000, "CONSTANT")
    path.write_bytes(content + b"no frame" + content)
    assert mp3_samples(path) == 0
