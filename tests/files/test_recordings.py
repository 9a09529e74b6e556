"""Notes on recordings in the results of the commands on files, and the channel that these read."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny.cli import run_cli
from tiny.codec_models import sine

import codeword
from codeword.config import TokenizerConfig
from codeword.files import DecodeOptions, encode_files, reconstruct
from codeword.media import MEDIA


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """Antiphase, as a wrongly wired microphone records it."""
    wave = 0.3 * np.sin(np.arange(12_000) / 20)
    soundfile.write(tmp_path / "talk.wav", np.stack([wave, -wave], 1), 48_000)
    return tmp_path / "talk.wav"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    MEDIA["images"].write(tmp_path / "photo.png", [sine(2, (40, 40), channels=3, values=256)], TokenizerConfig())
    return tmp_path / "photo.png"


def test_the_library_reads_the_chosen_channel_and_says_so(stereo: Path, tmp_path: Path) -> None:
    with pytest.raises(codeword.DataError, match="below channel 1 alone"):
        codeword.read(stereo)
    left, right = (codeword.read(stereo, channel=channel) for channel in (1, 2))
    assert torch.allclose(left - 32768, 32768 - right, atol=1)
    done = codeword.compress(stereo, tmp_path / "talk.cw", channel=2)
    notes = {str(stereo): ["48 kHz, channel 2 of 2 -> 16 kHz mono"]}
    assert done.results[str(tmp_path / "talk.cw")]["notes"] == notes
    done = encode_files("speech", [stereo], tmp_path / "talk.npz", DecodeOptions(channel=1))
    assert done.results[str(stereo)]["notes"] == ["48 kHz, channel 1 of 2 -> 16 kHz mono"]
    done = reconstruct("speech", [stereo], tmp_path / "out", DecodeOptions(channel=1))
    assert done.results[str(stereo)]["notes"] == ["48 kHz, channel 1 of 2 -> 16 kHz mono"]
    assert done.results[str(stereo)]["log_mel_distance"] < 2


def test_recordings_without_a_mix_become_failures_and_the_others_are_compressed(stereo: Path, tmp_path: Path) -> None:
    loud = np.full(4000, 0.5, np.float32)
    loud[:4] = 2
    soundfile.write(tmp_path / "loud.wav", loud, 16_000, subtype="FLOAT")
    done = codeword.compress([stereo, tmp_path / "loud.wav"], tmp_path / "a.cw")
    assert list(done.failures) == [str(stereo)]
    notes = ["32-bit floats -> 16 bits", "0.1 % of the samples clipped (4 of 4,000)"]
    assert done.results[str(tmp_path / "a.cw")]["notes"] == {str(tmp_path / "loud.wav"): notes}


def test_the_commands_take_a_channel_and_refuse_it_for_pictures(
    stereo: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("compress", stereo, "--out", tmp_path / "a.cw") == 1
    assert "choose that channel" in capsys.readouterr().err
    assert run_cli("compress", stereo, "--out", tmp_path / "a.cw", "--channel", "1", "--json") == 0
    result = json.loads(capsys.readouterr().out)["results"][str(tmp_path / "a.cw")]
    assert result["notes"] == {str(stereo): ["48 kHz, channel 1 of 2 -> 16 kHz mono"]}
    for command in (
        ("reconstruct", "speech", stereo, "--out", tmp_path / "out"),
        ("encode", "speech", stereo, "--out", tmp_path / "a.npz"),
    ):
        assert run_cli(*command, "--channel", "2", "--json") == 0
        assert "channel 2 of 2 -> 16 kHz mono" in capsys.readouterr().out
        assert run_cli(*command, "--channel", "3", "--force") == 1
        assert "has 2 channels, so no channel 3" in capsys.readouterr().err
        assert run_cli(*command, "--channel", "0", "--force") == 2
        assert "no channel 0" in capsys.readouterr().err
    assert run_cli("compress", photo, "--out", tmp_path / "p.cw", "--channel", "1") == 2
    assert "The channels of images cannot be chosen; leave the channel out." in capsys.readouterr().err


def test_formats_that_cannot_be_read_are_named_in_folders_and_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "x.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(1000))
    for inputs in (folder, folder / "x.m4a"):
        assert run_cli("compress", inputs, "--out", tmp_path / "a.cw") == 1
        assert "x.m4a is MPEG-4 audio, which cannot be read; convert it to WAV, FLAC" in capsys.readouterr().err
        assert not (tmp_path / "a.cw").exists()
    soundfile.write(folder / "y.wav", 0.1 * np.sin(np.arange(4000)), 16_000)
    assert run_cli("compress", folder, "--out", tmp_path / "a.cw") == 1
    assert "x.m4a is MPEG-4 audio, which cannot be read" in capsys.readouterr().err
    assert (tmp_path / "a.cw").is_file()
