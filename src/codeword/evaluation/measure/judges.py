"""Judges of speech from the extra `[speech]`: what a listener would understand, how it sounds, who speaks.

Each is imported when it is first used; `missing_judges` tells beforehand which are not there. Waveforms are float
(T,) in [-1, 1], tensors or arrays. A judge that can say nothing (silence, too short) gives None, a missing value.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.errors import UsageError

Wave = Tensor | NDArray[np.float32]

JUDGES = {"per": "hama", "stoi": "pystoi", "pesq_wb": "pesq", "conversion_success": "resemblyzer"}
"""The package that each figure needs."""

RATE = 16_000
WORST_PESQ = 1.04

# resemblyzer asks for webrtcvad, which must be compiled; the extra has it ready built under another name.
_INSTALL = {"resemblyzer": "pip install 'codeword[speech]' && pip install --no-deps resemblyzer"}

# STOI wants 30 frames of 25.6 ms, half overlapping.
_SHORTEST_STOI_S = 0.4
_SHORTEST_VOICE_S = 0.3


def missing_judges() -> dict[str, str]:
    """Each figure that cannot be had here, and the sentence that says why and what to install."""
    return {name: _advice(package) for name, package in JUDGES.items() if find_spec(package) is None}


def recognise(wave: Wave, *, sample_rate: int = RATE) -> tuple[str, ...]:
    """The phones, in IPA, that hama's recogniser hears.

    Raises:
        UsageError: hama is not installed.
    """
    return tuple(_recogniser()(_prepared(wave, sample_rate), RATE).phonemes)


def pronounce(text: str) -> tuple[str, ...]:
    """The phones of an English text in the IPA that `recognise` speaks, word by word, from hama's own dictionary model.

    Raises:
        UsageError: hama is not installed.
    """
    speller = _speller()
    return tuple(unit.phoneme for word in text.lower().split() for unit in speller.predict(word).alignments)


def edit_distance(found: Sequence[str], reference: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions between two strings of phones (Levenshtein 1966)."""
    above = list(range(len(reference) + 1))
    for row, phone in enumerate(found, 1):
        current = [row]
        for column, wanted in enumerate(reference, 1):
            substituted = above[column - 1] + (phone != wanted)
            current.append(min(substituted, above[column] + 1, current[-1] + 1))
        above = current
    return above[-1]


def per(found: Sequence[Sequence[str]], reference: Sequence[Sequence[str]]) -> float | None:
    """Phone error rate in percent over utterances: all edits over all reference phones; None without any."""
    phones = sum(len(r) for r in reference)
    edits = sum(edit_distance(f, r) for f, r in zip(found, reference, strict=True))
    return 100 * edits / phones if phones else None


def stoi(reconstruction: Wave, original: Wave, *, sample_rate: int = RATE) -> float | None:
    """Short-time objective intelligibility, 1 at best (Taal et al. 2011); None below 0.4 s of speech.

    Raises:
        UsageError: pystoi is not installed.
    """
    judge = _package("pystoi")
    found, reference = _prepared(reconstruction, sample_rate), _prepared(original, sample_rate)
    if len(reference) < _SHORTEST_STOI_S * RATE or not reference.any():
        return None
    with warnings.catch_warnings():
        # pystoi warns, and returns 1e-5, where too few frames remain without the silent ones.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(judge.stoi(reference, found, RATE))
        except RuntimeWarning:
            return None


def pesq_wb(reconstruction: Wave, original: Wave, *, sample_rate: int = RATE) -> float | None:
    """Wide-band perceptual quality from 1.04 to 4.64 (ITU-T P.862.2); None where the original holds no speech.

    A reconstruction in which PESQ finds no speech scores lowest: left out, it would flatter the mean.

    Raises:
        UsageError: pesq is not installed.
    """
    judge = _package("pesq")
    found, reference = _prepared(reconstruction, sample_rate), _prepared(original, sample_rate)
    if not reference.any() or not _scores(judge, reference, reference):
        return None
    # pesq cannot align what is silent throughout.
    return (_scores(judge, reference, found) if found.any() else None) or WORST_PESQ


def _scores(judge: Any, reference: NDArray[np.float32], found: NDArray[np.float32]) -> float | None:
    try:
        return float(judge.pesq(RATE, reference, found, "wb"))
    except judge.PesqError:
        return None


def speaker_vector(wave: Wave, *, sample_rate: int = RATE) -> Tensor | None:
    """Who speaks: a vector (256,) of unit length from resemblyzer (Wan et al. 2018, GE2E); None for silence.

    Pauses are cut out first. Two utterances of one speaker have a cosine near 0.9, of two speakers near 0.5.

    Raises:
        UsageError: resemblyzer is not installed.
    """
    encoder, audio = _voice_encoder()
    heard = _prepared(wave, sample_rate)
    if len(heard) < _SHORTEST_VOICE_S * RATE or not heard.any():
        return None
    loud = audio.normalize_volume(heard, audio.audio_norm_target_dBFS, increase_only=True)
    voiced = audio.trim_long_silences(np.clip(loud, -1, 1))
    # The voice detector may take all of a rough reconstruction for noise.
    kept = voiced if len(voiced) >= _SHORTEST_VOICE_S * RATE else loud
    with _quiet():
        return torch.from_numpy(encoder.embed_utterance(kept.astype(np.float32)))


def _prepared(wave: Wave, sample_rate: int) -> NDArray[np.float32]:
    """What the judges take: a float32 array at 16 kHz."""
    array = wave.detach().cpu().numpy() if isinstance(wave, Tensor) else wave
    array = np.ascontiguousarray(array, dtype=np.float32)
    return array if sample_rate == RATE else soxr.resample(array, sample_rate, RATE)


@lru_cache(maxsize=1)
def _recogniser() -> Any:
    return _package("hama").ASRModel()


@lru_cache(maxsize=1)
def _speller() -> Any:
    return _package("hama").G2PModel()


@lru_cache(maxsize=1)
def _voice_encoder() -> tuple[Any, Any]:
    package = _package("resemblyzer")
    return package.VoiceEncoder("cpu", verbose=False), package.audio


def _package(name: str) -> Any:
    try:
        with _quiet():
            return import_module(name)
    except ImportError as error:
        raise UsageError(_advice(name)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Packages that are no longer maintained import what is deprecated; that is not the user's to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _advice(package: str) -> str:
    figures = " and ".join(name for name, needed in JUDGES.items() if needed == package)
    command = _INSTALL.get(package, "pip install 'codeword[speech]'")
    return f"{figures} needs {package}, which is not installed; run `{command}`."
