"""Recordings of every rate, number of channels and format that people have, and the notes on them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codeword.config import TokenizerConfig
from codeword.errors import DataError
from codeword.media import medium_of_files
from codeword.media.audio import Audio
from codeword.media.audio_files import UNREADABLE_SUFFIXES
from codeword.media.waves import dequantise

LINEAR = TokenizerConfig(ndim=1, channels=1, values=65536, sample_rate=16_000)
MU_LAW = LINEAR.model_copy(update={"values": 256})


def tone(rate: int, channels: int = 1, *, level: float = 0.25, seconds: float = 0.25) -> np.ndarray:
    """A tone of 400 Hz in all channels."""
    wave = level * np.sin(2 * np.pi * 400 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, 1)


def read(path: Path, config: TokenizerConfig = LINEAR) -> tuple[np.ndarray, list[str]]:
    """The wave that a model gets of a file, and the notes on it."""
    notes = list[str]()
    x = torch.cat(list(Audio().read(path, config, notes)), 1)
    assert Audio().size(path, config) == (x.shape[1],)
    return dequantise(x[0], config.values).numpy(), notes


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_any_rate_and_number_of_channels_keeps_the_tone(rate: int, channels: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(rate, channels), rate)
    wave, notes = read(tmp_path / "x.wav")
    assert len(wave) == 4000
    level = np.abs(np.fft.rfft(wave[:4000]))
    assert level.argmax() == 100
    # The sum of the weights of the channels.
    gain = {6: 1 + 0.5**0.5 + 2 * 0.5**1.5, 8: 1 + 0.5**0.5 + 4 * 0.5**1.5}.get(channels, 1)
    assert level[100] / 2000 == pytest.approx(0.25 * gain, rel=0.02)
    before = [f"{rate / 1000:g} kHz"] * (rate != 16_000) + [f"{channels} channels"] * (channels > 1)
    after = ["16 kHz"] * (rate != 16_000) + ["mono"] * (channels > 1)
    expected = [f"{', '.join(before)} -> {' '.join(after)}"] if before else []
    if channels > 2:
        expected.append(f"taken as {channels - 1}.1, without channel 4, the low frequencies")
    assert notes == expected


KINDS = [("WAV", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")]
KINDS += [("WAV", s) for s in ("IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", "NMS_ADPCM_32")]
KINDS += [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
KINDS += [(container, "PCM_16") for container in ("AIFF", "AU", "CAF", "W64", "RF64", "NIST", "WAVEX")]
KINDS += [("CAF", "ALAC_24"), ("AIFF", "FLOAT"), ("AU", "ULAW")]


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_every_format_keeps_the_tone_and_says_what_it_loses(container: str, subtype: str, tmp_path: Path) -> None:
    # All kinds of blocks, and the last one full, because some formats store no number of samples.
    soundfile.write(tmp_path / "x.sound", tone(16_000, seconds=1.2), 16_000, format=container, subtype=subtype)
    wave, notes = read(tmp_path / "x.sound")
    assert 19_200 <= len(wave) < 20_300
    assert np.abs(np.fft.rfft(wave[1000:17_000])).argmax() == 400
    width = {"PCM_24": "24 bits", "PCM_32": "32 bits", "FLOAT": "32-bit floats", "DOUBLE": "64-bit floats"}
    width["ALAC_24"] = "24 bits"
    assert notes == ([f"{width[subtype]} -> 16 bits"] if subtype in width else [])


def test_a_mu_law_model_says_that_it_keeps_8_bits(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(16_000), 16_000)
    assert read(tmp_path / "x.wav", MU_LAW)[1] == ["16 bits -> 8 bits (mu-law)"]
    soundfile.write(tmp_path / "x.wav", tone(16_000), 16_000, subtype="ULAW")
    assert read(tmp_path / "x.wav", MU_LAW)[1] == []


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    wave = np.zeros(4000, np.float32)
    wave[:10] = [-3, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3, 1e8]
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    assert read(tmp_path / "x.wav")[1][1:] == ["0.125 % of the samples clipped (5 of 4,000)"]
    loud = np.sign(tone(44_100))  # Resampling exceeds the edges of a square wave.
    soundfile.write(tmp_path / "x.wav", loud, 44_100)
    assert "samples clipped" in read(tmp_path / "x.wav")[1][1]


def test_loud_stereo_floats_are_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(16_000, 2, level=1e8), 16_000, subtype="FLOAT")
    assert read(tmp_path / "x.wav")[1][-1] == "95 % of the samples clipped (3,800 of 4,000)"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused_in_every_channel(bad: float, tmp_path: Path) -> None:
    wave = tone(16_000, 6)
    wave[7, 3] = bad
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite"):
        read(tmp_path / "x.wav")


def test_files_without_sound_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(16_000), 16_000)
    content = path.read_bytes()
    for part, said in ((b"", "is empty"), (content[:44], "cut short"), (content[:20], "cannot be read as audio")):
        path.write_bytes(part)
        with pytest.raises(DataError, match=said):
            read(path)
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(DataError, match="holds no samples"):
        read(path)
    for rate, samples in ((8000, 2), (16_000, 1)):
        soundfile.write(path, np.zeros(1), rate)
        assert len(read(path)[0]) == samples
    soundfile.write(path, np.zeros(1), 48_000)
    for call in (lambda: read(path), lambda: Audio().size(path, LINEAR)):
        with pytest.raises(DataError, match="shorter than one sample at 16000 Hz"):
            call()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.m4a", b"\0\0\0\x20ftypM4A ", "MPEG-4 audio"),
        ("voice.wav", b"\0\0\0\x20ftypM4A ", "MPEG-4 audio"),
        ("x.wma", b"\x30\x26\xb2\x75\x8e\x66", "Windows Media Audio"),
        ("x.amr", b"#!AMR\n", "AMR"),
        ("x.aac", b"\xff\xf1\x50\x80", "AAC"),
        ("x.opus", b"\x1aE\xdf\xa3", "WebM or Matroska"),
        ("x.ape", b"other bytes", "Monkey's Audio"),
    ],
)
def test_formats_that_cannot_be_read_have_a_name(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content + bytes(1000))
    with pytest.raises(DataError, match=rf"is {said}, which cannot be read; convert it to WAV, FLAC"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", sorted(UNREADABLE_SUFFIXES))
def test_they_are_recordings_by_their_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix.upper()}"
    path.write_bytes(b"other bytes")
    assert medium_of_files([path]).name == "audio"
    with pytest.raises(DataError, match="which cannot be read"):
        read(path)
