"""Agreement of codes with phones, by the protocol of van den Oord et al. 2017, sec. 4.3.

The phone of a cell is the phone spoken at its centre. Each code is mapped to the phone that it occurs with most often
in training, and the map is scored on held-out recordings. Silence is frequent and easy to predict, which raises the
scores, so the main scores exclude silent cells from both the fit and the test. Chance is the score of a single code.
Stress is ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.phones.alignment import SILENCE, Phone, phone_at
from codeword.evaluation.measure.intervals import Interval, resampled_intervals
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

MAX_CODEBOOK_SIZE = 4096
"""Phoneme metrics are left out for larger codebooks: most of their codewords are too rare for a map to phones."""

KMEANS_ITERATIONS = 40

_CEPSTRA = 16
_UNIT = "% of held-out cells"
_SPOKEN = f"{_UNIT}, silence left out"
_LABELS = {name: label for label, name in enumerate(PHONES)}

Labelled = tuple[Tensor, Tensor]
"""Codes (G,) or features (G, D) of the cells of one recording, and the labels (G,) of their phones."""


@dataclass(frozen=True)
class AlignedRecording:
    """Cells of a recording with an alignment: the first code (G,) and the phone label (G,) of each cell.

    `log_mels` and `cepstra` (G, D) are the features that the k-means codes of comparison are fitted to.
    """

    codes: Tensor
    phones: Tensor
    log_mels: Tensor
    cepstra: Tensor

    @classmethod
    def of(
        cls, codes: Tensor, phones: Sequence[Phone], wave: Tensor, *, hop: int, sample_rate: int
    ) -> "AlignedRecording":
        """Label the cells of a recording, from its first codes (G,), its phones and its waveform (T,)."""
        return cls(
            codes,
            cell_phones(phones, cells=len(codes), cells_per_second=sample_rate / hop),
            kmeans_features(wave, hop=hop, sample_rate=sample_rate),
            kmeans_features(wave, hop=hop, sample_rate=sample_rate, cosines=_CEPSTRA),
        )


def phone_metrics(
    train: Sequence[AlignedRecording], held_out: Sequence[AlignedRecording], *, codebook_size: int
) -> dict[str, Metric]:
    """Phoneme metrics of the first code of each cell, with intervals over the held-out recordings.

    The map from codes to phones, the probe and the k-means codes are fitted on `train`.
    """

    def labelled(cells: Callable[[AlignedRecording], Tensor]) -> tuple[list[Labelled], list[Labelled]]:
        fit, test = ([(cells(r), r.phones) for r in split] for split in (train, held_out))
        return fit, test

    def clustered(features: Callable[[AlignedRecording], Tensor]) -> tuple[list[Labelled], list[Labelled]]:
        generator = torch.Generator().manual_seed(0)
        codebook = kmeans([features(r) for r in train], codebook_size=codebook_size, generator=generator)
        return labelled(lambda r: nearest(features(r), codebook))

    def one_hot(recording: AlignedRecording) -> Tensor:
        return with_neighbours(F.one_hot(recording.codes, codebook_size).float())

    def scored(fit: Sequence[Labelled], test: Sequence[Labelled]) -> dict[str, Interval]:
        phone_map = PhoneMap(fit, codebook_size=codebook_size)
        return resampled_intervals(lambda rows: phone_map.scores([test[row] for row in rows.tolist()]), len(test))

    codes = scored(*labelled(lambda r: r.codes))
    log_mels, cepstral = scored(*clustered(lambda r: r.log_mels)), scored(*clustered(lambda r: r.cepstra))
    return {
        "phoneme_accuracy": metric(codes["accuracy"], _SPOKEN),
        "phoneme_accuracy_with_silence": metric(codes["accuracy_with_silence"], _UNIT),
        "phoneme_chance": metric(codes["chance"], _SPOKEN),
        "phoneme_chance_with_silence": metric(codes["chance_with_silence"], _UNIT),
        "phoneme_nmi": metric(codes["nmi"], "0 to 1, silence left out"),
        "phoneme_accuracy_kmeans": metric(log_mels["accuracy"], f"{_SPOKEN}; k-means on log-mels"),
        "phoneme_accuracy_kmeans_with_silence": metric(
            log_mels["accuracy_with_silence"], f"{_UNIT}; k-means on log-mels"
        ),
        "phoneme_accuracy_kmeans_cepstra": metric(cepstral["accuracy"], f"{_SPOKEN}; k-means on {_CEPSTRA} cepstra"),
        "phoneme_probe_accuracy": exactly(
            phoneme_probe_accuracy(*labelled(one_hot)), f"{_SPOKEN}; linear, the code and its neighbours"
        ),
    }


def cell_phones(phones: Sequence[Phone], *, cells: int, cells_per_second: float) -> Tensor:
    """Label of the phone at the centre of each cell (cells,) int64; names outside ARPAbet count as silence."""
    spoken = tuple(phones)
    names = (phone_at(spoken, (cell + 0.5) / cells_per_second) for cell in range(cells))
    return torch.tensor([_LABELS.get(name, 0) for name in names], dtype=torch.int64)


class PhoneMap:
    """Map from codes below `codebook_size` to phones, fitted on training recordings, with and without silence."""

    def __init__(self, train: Sequence[Labelled], *, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        # By the suffix of the scores: phone of each code (codebook_size,), and the most frequent phone ().
        self.fits: dict[str, tuple[Tensor, Tensor]] = {}
        for suffix in ("", "_with_silence"):
            codes, phones = _joined(train, spoken=not suffix)
            most_frequent = phones.bincount(minlength=len(PHONES)).argmax()
            self.fits[suffix] = code_to_phone(codes, phones, codebook_size=codebook_size), most_frequent

    def scores(self, held_out: Sequence[Labelled]) -> dict[str, float]:
        """Percentages of held-out cells, and `nmi`, the normalised mutual information of codes and phones."""
        scores = {}
        for suffix, (phone_of_code, most_frequent) in self.fits.items():
            codes, phones = _joined(held_out, spoken=not suffix)
            scores[f"accuracy{suffix}"] = _percentage(phone_of_code[codes] == phones)
            scores[f"chance{suffix}"] = _percentage(most_frequent == phones)
            if not suffix:
                scores["nmi"] = normalised_mutual_information(codes, phones, codebook_size=self.codebook_size)
        return scores


def code_to_phone(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """The phone each code occurs with most often (codebook_size,); for unseen codes, the most frequent phone."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    return torch.where(counts.sum(1) > 0, counts.argmax(1), counts.sum(0).argmax())


def co_occurrences(codes: Tensor, phones: Tensor, *, codebook_size: int) -> Tensor:
    """Number of cells with each code and phone: codes (N,), phones (N,) to (codebook_size, len(PHONES)) int64."""
    pairs = codes * len(PHONES) + phones
    return torch.bincount(pairs, minlength=codebook_size * len(PHONES)).view(codebook_size, len(PHONES))


def normalised_mutual_information(codes: Tensor, phones: Tensor, *, codebook_size: int) -> float:
    """`2 I(codes; phones) / (H(codes) + H(phones))`: 0 if independent, 1 if each determines the other."""
    counts = co_occurrences(codes, phones, codebook_size=codebook_size)
    marginal = entropy_bits(counts.sum(1)) + entropy_bits(counts.sum(0))
    return 2 * (marginal - entropy_bits(counts.flatten())) / marginal if marginal > 0 else 0.0


def phoneme_probe_accuracy(train: Sequence[Labelled], held_out: Sequence[Labelled]) -> float:
    """Percentage of held-out spoken cells whose phone a linear probe predicts from features (G, D).

    Features are one-hot codes or codewords; `spectra.cepstra.with_neighbours` adds those of neighbouring cells.
    """
    features, phones = _joined(train, spoken=True)
    held_features, held_phones = _joined(held_out, spoken=True)
    if not (len(phones) and len(held_phones)):
        return 0.0
    probe = LinearProbe(features, phones, classes=len(PHONES))
    return _percentage(probe.predict(held_features) == held_phones)


def kmeans_features(wave: Tensor, *, hop: int, sample_rate: int, cosines: int | None = None) -> Tensor:
    """Waveform (T,) to the concatenated frames of each cell (ceil(T / hop), frames * D): log-mels or cepstra.

    Frames are 80 log-mels of 25 ms windows every 10 ms; each band is normalised over the recording to mean 0 and scale
    1. On LibriSpeech this is 1 to 4 points more accurate than single windows of 40 or 64 ms, averaged frames,
    neighbouring cells, or no normalisation. With `cosines`, features are the first `cosines` cepstra of the log-mels,
    normalised in the same way; 13 or 16 cepstra are about 3 points more accurate than log-mels.
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


def _percentage(correct: Tensor) -> float:
    return 100 * float(correct.double().mean()) if len(correct) else 0.0


def _joined(recordings: Sequence[Labelled], *, spoken: bool) -> Labelled:
    """All cells of several recordings, or with `spoken` the cells that are not silent."""
    cells, phones = (torch.cat(parts) for parts in zip(*recordings, strict=True))
    return (cells[phones > 0], phones[phones > 0]) if spoken else (cells, phones)
