"""Phone alignments: the phones of an utterance with their times."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codeword.data.phones.pronunciation import pronounce
from codeword.errors import DataError, UsageError
from codeword.media.waves import read_wave
from codeword.store import write_atomically

SILENCE = "SIL"
FRAMES_PER_S = 100

_SILENT = {"", "SIL", "SP", "SPN", "<EPS>", "<SIL>"}
_ALIGNER_RATE = 16_000

# Values in a TextGrid: strings, flags and numbers between spaces; all other text is a comment. The reader is our own,
# because praatio 6.2 and tgt 1.5 accept a truncated file.
_TEXTGRID_VALUE = re.compile(r'"((?:[^"]|"")*)"|<(\w+)>|(?<!\S)(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)', re.ASCII)


@dataclass(frozen=True)
class Phone:
    """One phone of an utterance: ARPAbet without stress, or `SIL`. It lasts from `start_s` to `end_s`, in seconds."""

    name: str
    start_s: float
    end_s: float


def phone_at(phones: tuple[Phone, ...], time_s: float) -> str:
    """The name of the phone at a time; `SIL` before the first phone, after the last one and in gaps."""
    i = bisect_right(phones, time_s, key=lambda phone: phone.start_s) - 1
    return phones[i].name if i >= 0 and time_s < phones[i].end_s else SILENCE


def read_alignments(path: Path) -> dict[str, tuple[Phone, ...]]:
    """Read the phones of each utterance from a file of `write_alignments`, a TextGrid, or a folder of TextGrids.

    The name of a TextGrid's utterance is the file name without suffix; its phones are the tier "phones", as the
    Montreal Forced Aligner writes it. Stress digits are removed, and every label for silence becomes `SIL`.

    Raises:
        DataError: the file or folder is missing or empty, or a line or tier is invalid.
    """
    if path.is_dir():
        grids = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".textgrid")
        if not grids:
            raise DataError(f"{path} holds no .TextGrid file; give a folder with TextGrids, or an alignment file.")
        return {grid.stem: _read_textgrid(grid) for grid in grids}
    if path.suffix.lower() == ".textgrid":
        return {path.stem: _read_textgrid(path)}
    lines = _text(path).splitlines()
    return dict(_read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line)


def write_alignments(path: Path, alignments: Mapping[str, tuple[Phone, ...]], *, replace: bool = True) -> None:
    """Write one line per utterance: name, "trans", number of frames and `phone start length;...`, separated by tabs.

    Times are rounded to frames of 10 ms.

    Raises:
        CodewordError: the path cannot be written to, or a file exists there and `replace` is False.
    """
    lines = []
    for name, phones in alignments.items():
        frames = [(round(p.start_s * FRAMES_PER_S), round(p.end_s * FRAMES_PER_S)) for p in phones]
        units = ";".join(f"{p.name} {start} {end - start}" for p, (start, end) in zip(phones, frames, strict=True))
        lines.append(f"{name}\ttrans\t{frames[-1][1] if frames else 0}\t{units}\n")
    write_atomically(path, "".join(lines).encode(), replace=replace)


def align(path: Path, transcript: str) -> tuple[Phone, ...]:
    """Align an English recording with its transcript, using pocketsphinx.

    For words that are not in its dictionary, `pronounce` gives a pronunciation.

    Raises:
        UsageError: pocketsphinx is not installed.
        DataError: the audio cannot be read, the transcript is empty or contains digits, or it does not fit the audio.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise UsageError("Aligning needs pocketsphinx; run `pip install codeword[speech]`.") from error

    wave = read_wave(path, sample_rate=_ALIGNER_RATE)
    pcm = (np.clip(wave, -1, 32767 / 32768) * 32768).astype(np.int16).tobytes()
    # Without a language model and a best-path search, because with them some utterances cannot be aligned.
    decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")
    transcript_words = re.sub(r"[^\w' ]+", " ", transcript.lower()).split()
    if not transcript_words:
        raise DataError(f"{path} cannot be aligned: its transcript has no words; give the spoken words.")
    for word in transcript_words:
        if decoder.lookup_word(word) is None:
            pronunciation = pronounce(word, decoder.lookup_word)
            if pronunciation is None:
                raise DataError(
                    f"{path} cannot be aligned: the pronunciation of {word!r} is unknown; spell it as spoken."
                )
            decoder.add_word(word, pronunciation)
    try:
        decoder.set_align_text(" ".join(transcript_words))
        _decode(decoder, pcm)
        # The second pass finds the phones inside the words of the first pass.
        decoder.set_alignment()
        _decode(decoder, pcm)
        phones = tuple(_phones(decoder.get_alignment()))
        if not phones:
            raise RuntimeError("the alignment is empty")
    except RuntimeError as error:
        raise DataError(
            f"{path} cannot be aligned with its transcript; check that it contains the spoken words."
        ) from error
    return phones


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _phones(alignment: Any) -> Iterator[Phone]:
    for word in alignment or ():
        for phone in word:
            yield _phone(phone.name, phone.start / FRAMES_PER_S, (phone.start + phone.duration) / FRAMES_PER_S)


def _phone(name: str, start_s: float, end_s: float) -> Phone:
    plain = name.strip().upper()
    # Labels such as +SPN+ and +NSN+ stand for noise.
    if plain in _SILENT or plain.startswith("+"):
        return Phone(SILENCE, start_s, end_s)
    return Phone(plain.rstrip("012"), start_s, end_s)


def _read_line(line: str, location: str) -> tuple[str, tuple[Phone, ...]]:
    phones = []
    try:
        name, _, _, units = line.split("\t")
        for unit in units.split(";") if units else ():
            phone, start, length = unit.split()
            first, last = int(start), int(start) + int(length)
            phones.append(_phone(phone, first / FRAMES_PER_S, last / FRAMES_PER_S))
    except ValueError as error:
        raise DataError(
            f"{location} is no alignment ({error}); it must hold a name, a word, the number of frames and "
            f"`phone start length;...`, separated by tabs."
        ) from error
    return name, tuple(phones)


def _read_textgrid(path: Path) -> tuple[Phone, ...]:
    values = (match.group(match.lastindex or 0) for match in _TEXTGRID_VALUE.finditer(_text(path)))
    try:
        # The file begins with "ooTextFile", "TextGrid", from, to, <exists>, number of tiers; the tiers follow.
        *_, tiers = (next(values) for _ in range(6))
        for _ in range(int(tiers)):
            kind, name, _, _, count = (next(values) for _ in range(5))
            # An interval has the values from, to, text; a point has time, text.
            rows = [[next(values) for _ in range(3 if kind == "IntervalTier" else 2)] for _ in range(int(count))]
            if kind == "IntervalTier" and name.lower() in ("phones", "phone"):
                return tuple(_phone(text, float(start), float(end)) for start, end, text in rows)
    except (StopIteration, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is not a complete TextGrid; write it again.") from error
    raise DataError(f'{path} has no interval tier "phones"; align it down to phones.')


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        # Praat writes UTF-16 if any character is not ASCII.
        return content.decode("utf-16" if content[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"There are no alignments at {path}; make them with `codeword align`.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); write it again.") from error
