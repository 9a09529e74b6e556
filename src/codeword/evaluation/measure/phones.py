"""Agreement of codes with phones, by the protocol of van den Oord et al. 2017, sec. 4.3.

A cell's phone is the one spoken at the cell's centre. Each code is mapped to the phone that it most often occurs with
in training; the map is scored on other recordings. Silence is both frequent and easy, so percentages that count it
are flattering: the others leave its cells out of the fit and of the score. Chance is the same protocol with a single
code. Stress is ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.phones.alignment import SILENCE, Phone, phone_at
from codeword.evaluation.measure.intervals import resampled_intervals
from codeword.evaluation.measure.probe import LinearProbe
from codeword.evaluation.results import Metric, exactly, metric
from codeword.quantizers import nearest
from codeword.quantizers.codebook import cluster
from codeword.quantizers.usage import entropy_bits
from codeword.spectra.cepstra import cells_of, cepstra, standardised, with_neighbours
from codeword.spectra.stft import LogMel

_ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
PHONES = tuple(f"{SILENCE} {_ARPABET}".split())
"""ARPAbet without stress, as in the CMU dictionary; a phone's index is its label. Silence is 0."""

LARGEST_CODEBOOK = 4096
"""With more codewords, a map from codes to phones only lists what it has seen."""

KMEANS_ITERATIONS = 40

_CEPSTRA = 16
_UNIT = "% of held-out cells"
_SPOKEN = f"{_UNIT}, silence left out"
_LABELS = {name: label for label, name in enumerate(PHONES)}

Labelled = tuple[Tensor, Tensor]
"""Codes (G,) or features (G, D) of one recording's cells, and the labels (G,) of their phones."""


@dataclass(frozen=True)
class AlignedRecording:
    """Cells of one recording whose phones are known: first codes (G,), phone labels (G,), features for k-means (G, D).

    `log_mels` and `cepstra` are the two kinds of features for k-means.
    """

    codes: Tensor
    phones: Tensor
    log_mels: Tensor
    cepstra: Tensor

    @classmethod
    def of(
        cls, codes: Tensor, phones: Sequence[Phone], wave: Tensor, *, hop: int, sample_rate: int
    ) -> "AlignedRecording":
        """From the first codes (G,), the phones and the waveform (T,) of a recording."""
        return cls(
            codes,
            cell_phones(phones, cells=len(codes), cells_per_second=sample_rate / hop),
            kmeans_features(wave, hop=hop, sample_rate=sample_rate),
            kmeans_features(wave, hop=hop, sample_rate=sample_rate, cosines=_CEPSTRA),
        )


def phone_metrics(
    train: Sequence[AlignedRecording], held_out: Sequence[AlignedRecording], *, codebook_size: int
) -> dict[str, Metric]:
    """Phoneme metrics of the first code of each cell, with intervals over recordings.

    The code-to-phone map, the probe and the k-means codes are fitted on `train`.
    """

    def labelled(codes: Callable[[AlignedRecording], Tensor]) -> tuple[list[Labelled], list[Labelled]]:
        fitted, held = ([(codes(r), r.phones) for r in split] for split in (train, held_out))
        return fitted, held

    def clustered(features: Callable[[AlignedRecording], Tensor]) -> tuple[list[Labelled], list[Labelled]]:
        generator = torch.Generator().manual_seed(0)
        book = kmeans([features(r) for r in train], codebook_size=codebook_size, generator=generator)
        return labelled(lambda r: nearest(features(r), book))

    def one_hot(recording: AlignedRecording) -> Tensor:
        return with_neighbours(F.one_hot(recording.codes, codebook_size).float())

    metrics: dict[str, Metric] = {}
    for (fitted, held), names in (
        (
            labelled(lambda r: r.codes),
            {
                "accuracy": ("phoneme_accuracy", _SPOKEN),
                "accuracy_with_silence": ("phoneme_accuracy_with_silence", _UNIT),
                "chance": ("phoneme_chance", _SPOKEN),
                "chance_with_silence": ("phoneme_chance_with_silence", _UNIT),
                "nmi": ("phoneme_nmi", "0 to 1, silence left out"),
            },
        ),
        (
            clustered(lambda r: r.log_mels),
            {
                "accuracy": ("phoneme_accuracy_kmeans", f"{_SPOKEN}; k-means on log-mels"),
                "accuracy_with_silence": ("phoneme_accuracy_kmeans_with_silence", f"{_UNIT}; k-means on log-mels"),
            },
        ),
        (
            clustered(lambda r: r.cepstra),
            {"accuracy": ("phoneme_accuracy_kmeans_cepstra", f"{_SPOKEN}; k-means on {_CEPSTRA} cepstra")},
        ),
    ):
        phone_map = PhoneMap(fitted, codebook_size=codebook_size)
        intervals = resampled_intervals(_scores_of(phone_map, held), len(held))
        metrics |= {title: metric(intervals[score], unit) for score, (title, unit) in names.items()}
    probe = phoneme_probe_accuracy(*labelled(one_hot))
    return metrics | {"phoneme_probe_accuracy": exactly(probe, f"{_SPOKEN}; linear, the code and its neighbours")}


def cell_phones(phones: Sequence[Phone], *, cells: int, cells_per_second: float) -> Tensor:
    """Label of the phone at the centre of each cell (cells,) int64; what is not an English phone counts as silence."""
    spoken = tuple(phones)
    names = (phone_at(spoken, (cell + 0.5) / cells_per_second) for cell in range(cells))
    return torch.tensor([_LABELS.get(name, 0) for name in names], dtype=torch.int64)


class PhoneMap:
    """Maps from codes below `codebook_size` to phones, with and without silence, fitted on recordings of training."""

    def __init__(self, train: Sequence[Labelled], *, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        self.spoken = _fitted(*_joined(train, spoken=True), codebook_size=codebook_size)
        self.whole = _fitted(*_joined(train), codebook_size=codebook_size)

    def scores(self, held_out: Sequence[Labelled]) -> dict[str, float]:
        """Percentages of held-out cells, and `nmi`, the normalised mutual information of codes and phones."""
        spoken, whole = _joined(held_out, spoken=True), _joined(held_out)
        scores = {"nmi": normalised_mutual_information(*spoken, codebook_size=self.codebook_size)}
        for suffix, (phone_of, likeliest), (codes, phones) in (
            ("", self.spoken, spoken),
            ("_with_silence", self.whole, whole),
        ):
            scores[f"accuracy{suffix}"] = _percentage(phone_of[codes] == phones)
            scores[f"chance{suffix}"] = _percentage(likeliest == phones)
        return scores


def code_to_phone(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """The phone each code occurs with most often (codebook_size,); for unseen codes, the most frequent phone."""
    return _fitted(codes, phones, codebook_size=codebook_size)[0]


def co_occurrences(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """Number of cells with each code and phone: codes (N,), phones (N,) to (codebook_size, len(PHONES)) int64."""
    pairs = codes * len(PHONES) + phones
    return torch.bincount(pairs, minlength=codebook_size * len(PHONES)).view(codebook_size, len(PHONES))


def normalised_mutual_information(codes: Tensor, phones: Tensor, *, codebook_size: int) -> float:
    """`2 I(codes; phones) / (H(codes) + H(phones))`: 0 if independent, 1 if each determines the other."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    apart = entropy_bits(counts.sum(1)) + entropy_bits(counts.sum(0))
    return 2 * (apart - entropy_bits(counts.flatten())) / apart if apart > 0 else 0.0


def phoneme_probe_accuracy(train: Sequence[Labelled], held_out: Sequence[Labelled]) -> float:
    """Percentage of held-out spoken cells whose phone a linear probe predicts from features (G, D).

    Features are one-hot codes or codewords, `spectra.cepstra.with_neighbours` if neighbours may help.
    """
    features, phones = _joined(train, spoken=True)
    held_features, held_phones = _joined(held_out, spoken=True)
    if not (len(phones) and len(held_phones)):
        return 0.0
    probe = LinearProbe(features, phones, classes=len(PHONES))
    return _percentage(probe.predict(held_features) == held_phones)


def kmeans_features(wave: Tensor, *, hop: int, sample_rate: int, cosines: int | None = None) -> Tensor:
    """Waveform (T,) to the frames of each cell side by side (ceil(T / hop), frames * D): log-mels or cepstra.

    80 log-mels of windows of 25 ms every 10 ms, each band of each recording normalised to mean 0 and scale 1: on
    LibriSpeech 1 to 4 points above single windows of 40 or 64 ms, averaged frames, neighbouring cells, or no
    normalisation. The first `cosines` cepstra of the log-mels, each normalised over the recording, are about 3 points
    better still with 13 or 16 of them.
    """
    frames = max(1, round(hop / (0.01 * sample_rate)))
    while hop % frames:
        frames -= 1
    step = hop // frames
    mel = LogMel(sample_rate, max(2 * round(0.0125 * sample_rate), step), step, 80)
    bands: Tensor = mel(F.pad(wave.float(), (0, -len(wave) % hop))[None])[0]
    return cells_of(cepstra(bands, cosines) if cosines else standardised(bands), frames)


def kmeans(features: Sequence[Tensor], *, codebook_size: int, generator: torch.Generator | None = None) -> Tensor:
    """Codebook (codebook_size, D) fitted by k-means to the `kmeans_features` (G, D) of several recordings."""
    return cluster(torch.cat(list(features)), codebook_size, generator, iterations=KMEANS_ITERATIONS)


def _scores_of(phone_map: PhoneMap, held: Sequence[Labelled]) -> Callable[[Tensor], dict[str, float]]:
    return lambda rows: phone_map.scores([held[int(row)] for row in rows])


def _fitted(codes: Tensor, phones: Tensor, *, codebook_size: int) -> tuple[Tensor, Tensor]:
    """The phone of each code (codebook_size,), and the most frequent phone ()."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    likeliest = counts.sum(0).argmax()
    return torch.where(counts.sum(1) > 0, counts.argmax(1), likeliest), likeliest


def _percentage(right: Tensor) -> float:
    return 100 * float(right.double().mean()) if len(right) else 0.0


def _joined(recordings: Sequence[Labelled], *, spoken: bool = False) -> Labelled:
    """All cells of several recordings, or only the spoken ones."""
    cells, phones = (torch.cat(parts) for parts in zip(*recordings, strict=True))
    return (cells[phones > 0], phones[phones > 0]) if spoken else (cells, phones)
