"""Judges of speech from the extra `[speech]`: recognised phones, intelligibility, quality, and the speaker's voice.

All have their weights in their packages, so that they work offline.

Each package is imported at its first use; `missing_judges` lists the packages that are not installed. Waveforms are
float (T,) in [-1, 1], tensors or arrays. A judge returns None if it has no result (silence, or too short a waveform).
All functions are thread-safe.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.errors import UsageError

Wave = Tensor | NDArray[np.float32]

JUDGES = {
    "per": ("hama", "rapidfuzz"),
    "per_transcript": ("hama", "rapidfuzz"),
    "stoi": ("pystoi",),
    "pesq_wb": ("pesq",),
    "pesq_nb": ("pesq",),
    "speaker_cosine": ("resemblyzer",),
    "dnsmos_overall": ("speechmos", "librosa", "onnxruntime", "requests"),
    "dnsmos_p808": ("speechmos", "librosa", "onnxruntime", "requests"),
    "conversion_success": ("resemblyzer",),
}
"""Packages that each metric needs."""

RATE = 16_000  # Hz, of all judges.
WORST_PESQ = {"wb": 1.04, "nb": 1.02}

# resemblyzer requires webrtcvad, which needs a compiler; the extra installs a prebuilt package of another name.
_INSTALL = {"resemblyzer": "pip install 'codeword[speech]' && pip install --no-deps resemblyzer"}

# STOI needs 30 frames of 25.6 ms, overlapping by half; with fewer, pystoi returns 1e-5.
_SHORTEST_STOI_S = 0.4
_TOO_FEW_FRAMES = 1e-5
_SHORTEST_VOICE_S = 0.3
_SHORTEST_DNSMOS_S = 0.4
_DNSMOS_SAMPLES = 144_160

# `warnings.catch_warnings` changes the state of the whole process, so only one thread at a time may use it.
_WARNINGS = threading.Lock()
_THREAD = threading.local()


def missing_judges() -> dict[str, str]:
    """Metrics that cannot be measured here, each with a sentence that names the package to install."""
    missing = {name: [p for p in packages if find_spec(p) is None] for name, packages in JUDGES.items()}
    return {name: _advice(packages[0]) for name, packages in missing.items() if packages}


def recognise(wave: Wave, *, sample_rate: int = RATE) -> tuple[str, ...]:
    """Phones (IPA) that hama recognises in a waveform.

    Raises:
        UsageError: hama is not installed.
    """
    # One recogniser for each thread: it is not thread-safe. It releases Python's lock, so threads run in parallel.
    if not hasattr(_THREAD, "recogniser"):
        _THREAD.recogniser = _package("hama").ASRModel()
    return tuple(_THREAD.recogniser(_prepared(wave, sample_rate), RATE).phonemes)


def pronounce(transcript: str) -> tuple[str, ...]:
    """Phones (IPA) of an English transcript by hama, in the conventions of `recognise`.

    Raises:
        UsageError: hama is not installed.
    """
    # One for each thread, as of the recogniser.
    if not hasattr(_THREAD, "speller"):
        _THREAD.speller = _package("hama").G2PModel()
    spoken = transcript.lower().split()
    return tuple(phone.phoneme for word in spoken for phone in _THREAD.speller.predict(word).alignments)


def edit_distance(phones: Sequence[str], reference: Sequence[str]) -> int:
    """Smallest number of insertions, deletions and substitutions between two sequences of phones (Levenshtein 1966).

    torchmetrics only compares strings of characters, so this uses rapidfuzz.

    Raises:
        UsageError: rapidfuzz is not installed.
    """
    return int(_package("rapidfuzz.distance").Levenshtein.distance(phones, reference))


def stoi(reconstruction: Wave, original: Wave, *, sample_rate: int = RATE) -> float | None:
    """Short-time objective intelligibility, 1 at best (Taal et al. 2011); None below 0.4 s.

    Raises:
        UsageError: pystoi is not installed.
    """
    judge = _package("pystoi")
    decoded, reference = _prepared(reconstruction, sample_rate), _prepared(original, sample_rate)
    if len(reference) < _SHORTEST_STOI_S * RATE or not reference.any():
        return None
    try:
        with _quiet(), np.errstate(divide="raise", over="raise", invalid="raise"):
            value = float(judge.stoi(reference, decoded, RATE))
    except FloatingPointError:
        return None
    return None if value == _TOO_FEW_FRAMES else value


def has_speech(wave: Wave, *, sample_rate: int = RATE) -> bool:
    """True if PESQ finds speech in a waveform and therefore can score its reconstructions.

    Raises:
        UsageError: pesq is not installed.
    """
    reference = _prepared(wave, sample_rate)
    return bool(reference.any()) and _pesq(reference, reference, "wb") is not None


def pesq(reconstruction: Wave, original: Wave, *, band: Literal["wb", "nb"], sample_rate: int = RATE) -> float:
    """Perceptual quality of a reconstruction of an original with speech: wide-band from 1.04 to 4.64 (ITU-T P.862.2),
    narrow-band from 1.02 to 4.55 (P.862.1).

    A reconstruction in which PESQ finds no speech gets the lowest score: leaving it out would make the mean too high.

    Raises:
        UsageError: pesq is not installed.
    """
    decoded = _prepared(reconstruction, sample_rate)
    # pesq cannot align an all-zero signal.
    return (_pesq(_prepared(original, sample_rate), decoded, band) if decoded.any() else None) or WORST_PESQ[band]


def _pesq(reference: NDArray[np.float32], decoded: NDArray[np.float32], band: str) -> float | None:
    """PESQ score, or None if one of the waveforms has no speech."""
    judge = _package("pesq")
    try:
        return float(judge.pesq(RATE, reference, decoded, band))
    except judge.PesqError:
        return None


def speaker_vector(wave: Wave, *, sample_rate: int = RATE) -> Tensor | None:
    """Speaker embedding (256,) of unit length by resemblyzer (Wan et al. 2018, GE2E); None for silence.

    Pauses are removed first. The cosine of two utterances is near 0.9 for one speaker and near 0.5 for two speakers.

    Raises:
        UsageError: resemblyzer is not installed.
    """
    encoder, audio = _voice_encoder()
    samples = _prepared(wave, sample_rate)
    if len(samples) < _SHORTEST_VOICE_S * RATE or not samples.any():
        return None
    loud = audio.normalize_volume(samples, audio.audio_norm_target_dBFS, increase_only=True)
    voiced = audio.trim_long_silences(np.clip(loud, -1, 1))
    # The voice detector may classify a whole noisy reconstruction as noise.
    kept = voiced if len(voiced) >= _SHORTEST_VOICE_S * RATE else loud
    with _quiet():
        return torch.from_numpy(encoder.embed_utterance(kept.astype(np.float32)))


def dnsmos(wave: Wave, *, sample_rate: int = RATE) -> tuple[float, float] | None:
    """Predicted opinions from 1 to 5 without an original: of the overall quality (P.835, Reddy et al. 2022), and by
    P.808 (Reddy et al. 2021); None for silence and below 0.4 s.

    The mean over adjacent stretches of 9.01 s, for speed (the authors' script moves by 1 s); the last one is filled by
    repeating the recording.

    Raises:
        UsageError: speechmos or a package that it needs is not installed.
    """
    scorer = _opinion_scorer()
    samples = _prepared(wave, sample_rate).clip(-1, 1)
    if len(samples) < _SHORTEST_DNSMOS_S * RATE or not samples.any():
        return None
    stretches = max(1, round(len(samples) / _DNSMOS_SAMPLES))
    found = [scorer(part, RATE, False) for part in np.resize(samples, (stretches, _DNSMOS_SAMPLES))]
    overall, p808 = (float(np.mean([one[name] for one in found])) for name in ("ovrl_mos", "p808_mos"))
    return overall, p808


@lru_cache(maxsize=1)
def _opinion_scorer() -> Any:
    for needed in JUDGES["dnsmos_overall"]:
        _package(needed)
    package, runtime = _package("speechmos.dnsmos"), _package("onnxruntime")
    names = ("sig_bak_ovr.onnx", "model_v8.onnx")
    overall, p808 = (str(Path(package.__file__).parent / "dnsmos_models" / name) for name in names)
    scorer = package.DNSMOS(overall, p808)
    # With one thread each; the package's own sessions have as many threads as the machine has cores, and they spin.
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    scorer.onnx_sess = runtime.InferenceSession(overall, options)
    scorer.p808_onnx_sess = runtime.InferenceSession(p808, options)
    return scorer


def _prepared(wave: Wave, sample_rate: int) -> NDArray[np.float32]:
    """A waveform as a float32 array at 16 kHz, the input of all judges."""
    array = wave.detach().cpu().numpy() if isinstance(wave, Tensor) else wave
    array = np.ascontiguousarray(array, dtype=np.float32)
    return array if sample_rate == RATE else soxr.resample(array, sample_rate, RATE)


@lru_cache(maxsize=1)
def _voice_encoder() -> tuple[Any, Any]:
    package = _package("resemblyzer")
    return package.VoiceEncoder("cpu", verbose=False), package.audio


@lru_cache
def _package(name: str) -> Any:
    try:
        with _quiet():
            return import_module(name)
    except ImportError as error:
        raise UsageError(_advice(name.partition(".")[0])) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of the packages about deprecated modules; a user cannot fix them."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _advice(package: str) -> str:
    metrics = " and ".join(name for name, needed in JUDGES.items() if package in needed)
    command = _INSTALL.get(package, "pip install 'codeword[speech]'")
    return f"{metrics} needs {package}, which is not installed; run `{command}`."
