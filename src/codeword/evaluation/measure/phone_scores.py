"""How well codes tell phones apart, by the protocol of van den Oord et al. 2017, sec. 4.3.

A cell's phone is the one that is spoken at the cell's centre. Each code is mapped to the phone that it most often
stands for in training; the map is scored on recordings that it never saw. Percentages with silence flatter, since
silence is both frequent and easy: those without leave its cells out of the fit and of the score. Chance is the same
protocol with a single code. Stress is not told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.phones.alignment import SILENCE, Phone, phone_at
from codeword.evaluation.measure.probe import LinearProbe
from codeword.quantizers import nearest
from codeword.quantizers.codebook import draw_rows, lloyd
from codeword.quantizers.usage import entropy_bits
from codeword.spectra.cepstra import cells_of, cepstra, standardised
from codeword.spectra.stft import LogMel

PHONES = (
    SILENCE,
    *[
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AY",
        "B",
        "CH",
        "D",
        "DH",
        "EH",
        "ER",
        "EY",
        "F",
        "G",
        "HH",
        "IH",
        "IY",
        "JH",
        "K",
        "L",
        "M",
        "N",
        "NG",
        "OW",
        "OY",
        "P",
        "R",
        "S",
        "SH",
        "T",
        "TH",
        "UH",
        "UW",
        "V",
        "W",
        "Y",
        "Z",
        "ZH",
    ],
)
"""ARPAbet without stress, as in the CMU dictionary; a phone's place is its label. Silence is 0."""

KMEANS_ITERATIONS = 40

_LABELS = {name: label for label, name in enumerate(PHONES)}


@dataclass(frozen=True)
class LabelledCodes:
    """One recording: the code of each cell (G,) int64 and the phone of each cell (G,), a place in `PHONES`."""

    codes: Tensor
    phones: Tensor


@dataclass(frozen=True)
class PhonemeScores:
    """Percentages of held-out cells, and the normalised mutual information of codes and phones in [0, 1]."""

    accuracy: float
    accuracy_with_silence: float
    chance: float
    chance_with_silence: float
    nmi: float


def cell_phones(phones: Sequence[Phone], *, cells: int, cells_per_second: float) -> Tensor:
    """The phone at the centre of each cell (cells,) int64; what is no phone of English counts as silence."""
    spoken = tuple(phones)
    names = (phone_at(spoken, (cell + 0.5) / cells_per_second) for cell in range(cells))
    return torch.tensor([_LABELS.get(name, 0) for name in names], dtype=torch.int64)


def phoneme_scores(
    train: Sequence[LabelledCodes], held_out: Sequence[LabelledCodes], *, codebook_size: int
) -> PhonemeScores:
    """Fit the map on `train`, score it on `held_out`; codes are below `codebook_size`."""
    codes, phones = _joined(train)
    held_codes, held_phones = _joined(held_out)
    spoken, held_spoken = phones > 0, held_phones > 0
    without = (codes[spoken], phones[spoken], held_codes[held_spoken], held_phones[held_spoken])
    whole = (codes, phones, held_codes, held_phones)
    return PhonemeScores(
        accuracy=_accuracy(*without, codebook_size=codebook_size),
        accuracy_with_silence=_accuracy(*whole, codebook_size=codebook_size),
        chance=_accuracy(*_one_code(*without), codebook_size=1),
        chance_with_silence=_accuracy(*_one_code(*whole), codebook_size=1),
        nmi=normalised_mutual_information(
            held_codes[held_spoken], held_phones[held_spoken], codebook_size=codebook_size
        ),
    )


def code_to_phone(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """The phone that each code most often stands for (codebook_size,); codes never seen get the most frequent phone."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    return torch.where(counts.sum(1) > 0, counts.argmax(1), counts.sum(0).argmax())


def co_occurrences(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """How many cells have each code and phone: codes (N,), phones (N,) to (codebook_size, len(PHONES)) int64."""
    pairs = codes * len(PHONES) + phones
    return torch.bincount(pairs, minlength=codebook_size * len(PHONES)).view(codebook_size, len(PHONES))


def normalised_mutual_information(codes: Tensor, phones: Tensor, *, codebook_size: int) -> float:
    """`2 I(codes; phones) / (H(codes) + H(phones))`, 0 when independent, 1 when each gives the other away."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    apart = entropy_bits(counts.sum(1)) + entropy_bits(counts.sum(0))
    return 2 * (apart - entropy_bits(counts.flatten())) / apart if apart > 0 else 0.0


def phoneme_probe_accuracy(train: Sequence[tuple[Tensor, Tensor]], held_out: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Percentage of held-out spoken cells whose phone a linear probe tells, from features (G, D) and phones (G,).

    Features are one-hot codes or codewords, `nn.cepstra.with_neighbours` if neighbours may help.
    """
    features, phones = _spoken(train)
    held_features, held_phones = _spoken(held_out)
    if not (len(phones) and len(held_phones)):
        return 0.0
    probe = LinearProbe(features, phones, classes=len(PHONES))
    return _percentage(probe.predict(held_features) == held_phones)


def kmeans_codes(
    train: Sequence[Tensor],
    held_out: Sequence[Tensor],
    *,
    codebook_size: int,
    hop: int,
    sample_rate: int,
    cosines: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """What k-means alone makes of waveforms (T,): codes (ceil(T / hop),) of both splits, fitted on `train`.

    On log-mels of windows of 25 ms every 10 ms, each band of each recording brought to mean 0 and scale 1, all frames
    of a cell side by side: on LibriSpeech 1 to 4 points above single windows of 40 or 64 ms, averaged frames,
    neighbouring cells, or no normalisation. Stronger still, by about 3 points with 13 or 16 of them, are the first
    `cosines` cepstra of the log-mels as they are, each of each recording normalised.
    """
    frames = [_cell_features(wave, hop, sample_rate, cosines) for wave in train]
    together = torch.cat(frames)
    start = draw_rows(together, codebook_size, generator)
    book = lloyd(together, start, generator, iterations=KMEANS_ITERATIONS)
    others = [_cell_features(wave, hop, sample_rate, cosines) for wave in held_out]
    return [nearest(x, book) for x in frames], [nearest(x, book) for x in others]


def _accuracy(codes: Tensor, phones: Tensor, held_codes: Tensor, held_phones: Tensor, *, codebook_size: int) -> float:
    return _percentage(code_to_phone(codes, phones, codebook_size=codebook_size)[held_codes] == held_phones)


def _one_code(codes: Tensor, phones: Tensor, held_codes: Tensor, held_phones: Tensor) -> tuple[Tensor, ...]:
    return torch.zeros_like(codes), phones, torch.zeros_like(held_codes), held_phones


def _percentage(right: Tensor) -> float:
    return 100 * float(right.double().mean()) if len(right) else 0.0


def _joined(recordings: Sequence[LabelledCodes]) -> tuple[Tensor, Tensor]:
    return torch.cat([r.codes for r in recordings]), torch.cat([r.phones for r in recordings])


def _spoken(recordings: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    features, phones = (torch.cat(parts) for parts in zip(*recordings, strict=True))
    return features[phones > 0], phones[phones > 0]


def _cell_features(wave: Tensor, hop: int, sample_rate: int, cosines: int | None) -> Tensor:
    """Waveform (T,) to (ceil(T / hop), frames * D): each cell's normalised frames, 80 log-mels or `cosines` cepstra."""
    frames = max(1, round(hop / (0.01 * sample_rate)))
    while hop % frames:
        frames -= 1
    step = hop // frames
    mel = LogMel(sample_rate, max(2 * round(0.0125 * sample_rate), step), step, 80)
    bands: Tensor = mel(F.pad(wave.float(), (0, -len(wave) % hop))[None])[0]
    return cells_of(cepstra(bands, cosines) if cosines else standardised(bands), frames)
