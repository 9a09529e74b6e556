"""Reading whatever people call audio, and writing ours."""

import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import CodewordError, DataError, UsageError
from codeword.media.audio_files import AUDIO_SUFFIXES
from codeword.media.waves import (
    audio_length,
    dequantise,
    quantise,
    read_audio,
    read_blocks,
    read_wave,
    write_audio,
    write_blocks,
)


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (samples, channels)).astype(np.float32)


def read(path: Path, **part: int) -> torch.Tensor:
    return read_audio(path, sample_rate=16_000, values=65536, **part)  # type: ignore[arg-type]


@given(
    samples=st.integers(1, 3000),
    values=st.sampled_from([256, 65536]),
    suffix=st.sampled_from([".wav", ".flac"]),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read(
    samples: int, values: int, suffix: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    x = torch.randint(values, (1, samples), generator=torch.Generator().manual_seed(seed))
    path = tmp_path_factory.mktemp("audio") / f"x{suffix}"
    write_audio(path, x, sample_rate=16_000, values=values)
    assert torch.equal(read_audio(path, sample_rate=16_000, values=values), x)
    assert audio_length(path, 16_000) == samples


@pytest.mark.parametrize("values", [256, 65536])
def test_every_integer_survives_dequantising(values: int) -> None:
    x = torch.arange(values)
    assert torch.equal(quantise(dequantise(x, values), values), x)


def test_mu_law_is_centred_and_as_exact_as_8_bits_allow() -> None:
    # Laplacian, as speech is; an off-by-half in either direction costs more than 10 dB here.
    wave = torch.distributions.Laplace(0.0, 0.05).sample((200_000,)).clamp(-1, 1)
    error = dequantise(quantise(wave, 256), 256) - wave
    assert abs(error.mean()) < 1e-5
    assert 10 * torch.log10(wave.square().mean() / error.square().mean()) > 37.5


def test_integers_stay_in_range_whatever_the_wave() -> None:
    wave = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])
    assert quantise(wave, 65536).tolist() == [0, 0, 32768, 65535, 65535]
    assert quantise(wave, 256).tolist() == [0, 0, 128, 255, 255]


@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    samples=st.integers(500, 20_000),
    block=st.integers(1, 5000),
    start=st.floats(0, 0.99),
    share=st.floats(0.01, 1),
)
def test_blocks_and_parts_are_the_whole(
    rate: int, samples: int, block: int, start: float, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("audio") / "x.flac"
    soundfile.write(path, noise(samples), rate)
    whole = read(path)
    assert whole.shape == (1, audio_length(path, 16_000))
    blocks = list(read_blocks(path, sample_rate=16_000, values=65536, block_samples=max(block, 50)))
    assert torch.equal(torch.cat(blocks, 1), whole)
    assert {b.shape[1] for b in blocks[:-1]} <= {max(block, 50)}
    first = int(start * whole.shape[1])
    count = max(1, int(share * (whole.shape[1] - first)))
    part = read(path, start=first, count=count)
    assert part.shape == (1, count)
    assert (part - whole[:, first : first + count]).abs().max() <= (0 if rate == 16_000 else 1)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_width_and_channel_count_is_read(subtype: str, channels: int, tmp_path: Path) -> None:
    wave = noise(2000, channels)
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype=subtype)
    mean = torch.from_numpy(wave.mean(1))
    got = dequantise(read(tmp_path / "x.wav")[0], 65536)
    assert (got - mean).abs().max() < {"PCM_U8": 0.01, "ULAW": 0.03}.get(subtype, 1e-4)


@pytest.mark.parametrize("suffix", [".aiff", ".au", ".caf", ".mp3", ".ogg", ".w64", ".rf64"])
def test_other_formats_are_read(suffix: str, tmp_path: Path) -> None:
    assert suffix in AUDIO_SUFFIXES
    soundfile.write(tmp_path / f"x{suffix}", noise(5000), 16_000)
    assert read(tmp_path / f"x{suffix}").shape == (1, 5000)


def test_silence_and_clipping_are_only_loudness(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(100, np.float32), 16_000)
    soundfile.write(tmp_path / "loud.wav", np.full(100, 3, np.float32), 16_000, subtype="FLOAT")
    assert (read(tmp_path / "silence.wav") == 32768).all()
    assert (read(tmp_path / "loud.wav") == 65535).all()


def wav(tmp_path: Path) -> bytes:
    soundfile.write(tmp_path / "good.wav", noise(1000), 16_000)
    return (tmp_path / "good.wav").read_bytes()


def flac(tmp_path: Path, claimed: int = 20_000) -> bytes:
    soundfile.write(tmp_path / "good.flac", noise(20_000), 16_000)
    content = bytearray((tmp_path / "good.flac").read_bytes())
    (rate_and_count,) = struct.unpack_from(">Q", content, 18)  # The last 36 bits are the number of samples.
    struct.pack_into(">Q", content, 18, rate_and_count >> 36 << 36 | claimed)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("x.wav", lambda _: b"", "is empty"),
        ("x.wav", lambda _: b"not audio at all" * 50, "cannot be read as audio"),
        ("x.flac", lambda _: b"fLaC", "cannot be read as audio"),
        ("x.raw", lambda _: bytes(100), "cannot be read as audio"),
        ("x.wav", lambda p: wav(p)[:-500], "is cut short"),
        ("x.wav", lambda p: wav(p)[:44], "is cut short"),
        ("x.flac", lambda p: flac(p)[:-8000], "is cut short or damaged"),
        ("x.flac", lambda p: flac(p, claimed=20_001), "is cut short or damaged"),
        ("x.flac", lambda p: flac(p, claimed=(1 << 36) - 1), "claims 68,719,476,735 samples"),
        ("x.flac", lambda p: flac(p, claimed=200_000_000), "is cut short or damaged"),
    ],
)
def test_bad_files_are_one_sentence(name: str, make: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(make(tmp_path))  # type: ignore[operator]
    with pytest.raises(DataError, match=said):
        read(path)
    with pytest.raises(DataError):
        audio_length(path, 16_000)
    with pytest.raises(DataError, match=said):
        list(read_blocks(path, sample_rate=16_000, values=256, block_samples=100))


def test_missing_files_folders_and_no_samples_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read(tmp_path / "gone.wav")
    with pytest.raises(DataError, match="cannot be read as audio"):
        read(tmp_path)
    soundfile.write(tmp_path / "x.wav", noise(0), 16_000)
    with pytest.raises(DataError, match="holds no samples"):
        read(tmp_path / "x.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_samples_that_are_no_numbers_are_refused(bad: float, tmp_path: Path) -> None:
    wave = noise(1000)
    wave[500] = bad
    soundfile.write(tmp_path / "x.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite"):
        read(tmp_path / "x.wav")


def test_parts_end_with_the_recording_and_none_lie_behind_it(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(1000), 16_000)
    assert read(tmp_path / "x.wav", start=900, count=500).shape == (1, 100)
    with pytest.raises(DataError, match="none from sample 1000 on"):
        read(tmp_path / "x.wav", start=1000)


def test_a_tone_keeps_its_pitch_at_another_rate(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    soundfile.write(tmp_path / "x.wav", tone, 44_100)
    wave = read_wave(tmp_path / "x.wav", sample_rate=16_000)
    assert np.abs(np.fft.rfft(wave)).argmax() == 440


def test_what_cannot_be_written_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    x = torch.zeros(1, 10, dtype=torch.int64)
    with pytest.raises(UsageError, match=r"try \.wav"):
        write_audio(tmp_path / "x.mp3", x, sample_rate=16_000, values=256)
    (tmp_path / "x.wav").write_text("old")
    for bad in (x[0], x.float(), x.expand(2, -1)):
        with pytest.raises(UsageError, match="a signal is an integer tensor"):
            write_blocks(tmp_path / "x.wav", [x, bad], sample_rate=16_000, values=256)
    (tmp_path / "file").write_text("")
    with pytest.raises(CodewordError, match="Could not write"):
        write_audio(tmp_path / "file" / "x.wav", x, sample_rate=16_000, values=256)
    assert (tmp_path / "x.wav").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "x.wav"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_one_sentence(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit on the size of files stands for the disk."""
    x = torch.randint(65536, (1, 50_000), generator=torch.Generator().manual_seed(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(CodewordError, match=rf"Could not write .*x{suffix} \(File too large\)"):
            write_audio(tmp_path / f"x{suffix}", x, sample_rate=16_000, values=65536)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "\udcff.wav"
    write_audio(path, torch.zeros(1, 100, dtype=torch.int64), sample_rate=16_000, values=256)
    assert read_audio(path, sample_rate=16_000, values=256).shape == (1, 100)
    path.write_bytes(b"no audio")
    with pytest.raises(DataError, match="cannot be read as audio"):
        read_audio(path, sample_rate=16_000, values=256)
