"""Recordings that end too early, in every format that libsndfile writes."""

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeword.errors import CodewordError, DataError
from codeword.media.cut_files import lacks_end
from codeword.media.waves import audio_length, read_audio

# The headers of these do not say how long the sound is, or libsndfile does not read their pieces to the end. None of
# them has a suffix that Codeword looks for in folders.
NOT_NOTICED = {"AVR", "IRCAM", "MAT4", "MAT5", "MPC2K", "PAF", "PVF", "SD2", "SDS", "VOC", "WVE", "XI"}
# Libsndfile lists them, but cannot write them, or not move in them.
NOT_WRITTEN = {
    ("AIFF", "DWVW_12"),
    ("AIFF", "DWVW_16"),
    ("AIFF", "DWVW_24"),
    ("MP3", "MPEG_LAYER_I"),
    ("MP3", "MPEG_LAYER_II"),
    ("WAV", "MPEG_LAYER_III"),
}
KINDS = [
    (container, subtype)
    for container in sorted(soundfile.available_formats())
    for subtype in soundfile.available_subtypes(container)
    if container != "RAW" and (container, subtype) not in NOT_WRITTEN
]


def write(path: Path, container: str, subtype: str) -> bytes:
    # Ogg files of several pages, others of several kilobytes.
    samples = 48_000 if container == "OGG" else 6000
    wave = np.random.default_rng(0).normal(0, 0.1, samples)
    soundfile.write(path, wave, 8000 if container == "WVE" else 16_000, format=container, subtype=subtype)
    return path.read_bytes()


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_a_whole_file_is_read_and_a_cut_one_refused(container: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sound"
    content = write(path, container, subtype)
    assert read_audio(path, sample_rate=16_000, values=65536).shape[1] > 2000
    if container in NOT_NOTICED:
        return
    assert read_audio(path, sample_rate=16_000, values=65536).shape[1] == audio_length(path, 16_000)
    # The last byte of some is padding.
    for missing in (1 + subtype.startswith(("ALAC", "GSM610")), 3, 100, len(content) // 4, len(content) // 2):
        path.write_bytes(content[:-missing])
        with pytest.raises(DataError):
            read_audio(path, sample_rate=16_000, values=65536)


def list_chunk(text: bytes) -> bytes:
    comment = b"INFOICMT" + struct.pack("<I", len(text)) + text
    return b"LIST" + struct.pack("<I", len(comment)) + comment


@pytest.mark.parametrize("claimed", [3_000_000_000, 12_002])
def test_large_and_much_described_wav_files_are_noticed_too(claimed: int, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    content = write(path, "WAV", "PCM_16")
    assert content[36:40] == b"data"
    # A comment longer than the log of libsndfile stands before the samples.
    path.write_bytes(content[:36] + list_chunk(b"c" * 4000) + b"data" + struct.pack("<I", claimed) + content[44:])
    with pytest.raises(DataError, match="is cut short"):
        read_audio(path, sample_rate=16_000, values=65536)


@pytest.mark.parametrize("unknown", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0xFFFFFFFF - 36])
def test_a_wav_file_of_unknown_length_is_read(unknown: int, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    content = write(path, "WAV", "PCM_16")
    path.write_bytes(content[:40] + struct.pack("<I", unknown) + content[44:])
    assert audio_length(path, 16_000) == 6000


def ogg_pages(content: bytes) -> list[int]:
    """The positions of the pages of an Ogg file."""
    found, position = list[int](), 0
    while position < len(content):
        found.append(position)
        segments = content[position + 26]
        position += 27 + segments + sum(content[position + 27 : position + 27 + segments])
    return found


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_that_ends_with_a_page_is_read_and_its_missing_end_is_said(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    content = write(path, "OGG", subtype)
    assert not lacks_end(path)
    last = ogg_pages(content)[-1]
    for rest in (1, 4, 5, 20, 27, 100):
        path.write_bytes(content[: last + rest])
        with pytest.raises(DataError, match="is cut short"):
            audio_length(path, 16_000)
    path.write_bytes(content[:last])
    assert lacks_end(path)
    assert 0 < audio_length(path, 16_000) < 48_000


def test_ogg_files_with_tags_or_a_second_stream_behind_them_are_whole(tmp_path: Path) -> None:
    content = write(tmp_path / "x.ogg", "OGG", "VORBIS")
    second = write(tmp_path / "y.ogg", "OGG", "OPUS")
    for more in (b"TAG" + bytes(125), bytes(1000), bytes(200_000), second):
        (tmp_path / "z.ogg").write_bytes(content + more)
        assert audio_length(tmp_path / "z.ogg", 16_000) >= 48_000
        assert not lacks_end(tmp_path / "z.ogg")


def test_forged_headers_are_one_sentence_or_read(tmp_path: Path) -> None:
    for container in ("AIFF", "AU", "CAF", "NIST", "RF64", "W64", "WAV"):
        good = write(tmp_path / "good", container, "PCM_16")
        generator = np.random.default_rng(0)
        for _ in range(40):
            forged = bytearray(good)
            forged[generator.integers(4, 120)] = generator.integers(256)
            (tmp_path / "x").write_bytes(forged)
            with suppress(CodewordError):
                read_audio(tmp_path / "x", sample_rate=16_000, values=65536)


def test_an_au_file_of_less_than_its_header_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.au"
    path.write_bytes(write(path, "AU", "PCM_16")[:10])
    with pytest.raises(DataError, match="cut short"):
        audio_length(path, 16_000)


def test_an_mp3_file_with_bytes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 2000), 8000, format="MP3")
    content = path.read_bytes()
    path.write_bytes(content[:144] + content[108:])
    with pytest.raises(DataError, match="cut short"):
        audio_length(path, 8000)
