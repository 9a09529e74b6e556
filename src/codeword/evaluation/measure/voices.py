"""Voice conversion: similarity of converted speech to the target's voice, and speaker information in the codes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.recordings import Recordings
from codeword.errors import DataError
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import SCALES, Original
from codeword.evaluation.measure.intervals import mean_metric, resampled_interval, share_metric
from codeword.evaluation.measure.probe import LinearProbe
from codeword.evaluation.results import Metric, exactly, metric
from codeword.quantizers.usage import histogram

CENTROID_RECORDINGS = 12
"""The centroid of a speaker is the mean of about this number of training recordings."""
MAX_SPEAKERS = 16
"""Conversions are measured to at most this number of speakers, the first ones."""


@dataclass(frozen=True)
class ConvertedRecording:
    """Measures of one recording decoded in another voice.

    `margin` is that of `conversion_margin`. `edits` is the edit distance between the phones recognised in it and those
    of the original, which has `phones` phones.
    """

    margin: float
    edits: int
    phones: int


def converted(
    original: Original, source: str, centroids: Mapping[str, Tensor], decode: Callable[[str], Tensor]
) -> list[ConvertedRecording]:
    """Measures of a recording of speaker `source` in every other voice; `decode(target)` returns the waveform (T,)."""
    conversions = []
    for target in (name for name in centroids if name != source):
        wave = decode(target)
        voice = judges.speaker_vector(wave, sample_rate=original.sample_rate)
        if voice is not None:
            margin = conversion_margin(voice, source, target, centroids)
            conversions.append(ConvertedRecording(margin, original.edits(wave), len(original.phones)))
    return conversions


def conversion_metrics(conversions: Sequence[ConvertedRecording]) -> dict[str, Metric]:
    """Metrics over conversions; empty without conversions."""
    if not conversions:
        return {}
    margins = torch.tensor([c.margin for c in conversions])
    edits, phones = (torch.tensor([getattr(c, name) for c in conversions]) for name in ("edits", "phones"))
    per = resampled_interval(
        lambda rows: 100 * float(edits[rows].sum() / phones[rows].sum().clamp(min=1)), len(conversions)
    )
    return {
        "conversion_success": share_metric(margins > 0, "% closer to the target's voice than to the source's"),
        "conversion_margin": mean_metric(margins, "cosine to the target less that to the source"),
        "conversion_per": metric(per, SCALES["per"].unit),
    }


def centroid_recordings(train: Recordings, classes: Sequence[str]) -> set[int]:
    """Indices of the training recordings for the centroids, evenly spaced over each speaker's chapters, because
    chapters are recorded on different days.
    """
    chosen = set()
    for label in range(len(classes[:MAX_SPEAKERS])):
        of_speaker = [i for i in range(len(train.recordings)) if train.label(i) == label]
        chosen |= set(of_speaker[:: max(1, len(of_speaker) // CENTROID_RECORDINGS)])
    return chosen


def voice_centroids(vectors: Sequence[Tensor], speakers: Sequence[str]) -> dict[str, Tensor]:
    """Mean of the voice vectors (E,) of each speaker, normalised to unit length."""
    by_speaker: dict[str, list[Tensor]] = {name: [] for name in sorted(set(speakers))}
    for vector, speaker in zip(vectors, speakers, strict=True):
        by_speaker[speaker].append(vector)
    return {name: F.normalize(torch.stack(group).mean(0), dim=0) for name, group in by_speaker.items()}


def conversion_margin(voice: Tensor, source: str, target: str, centroids: Mapping[str, Tensor]) -> float:
    """Cosine of a voice vector (E,) to the target's centroid minus its cosine to the source's."""
    to_target, to_source = (float(F.cosine_similarity(voice, centroids[name], dim=0)) for name in (target, source))
    return to_target - to_source


def code_histograms(recordings: Sequence[Tensor], *, codebook_sizes: Sequence[int]) -> Tensor:
    """Relative frequency of each codeword in the codes (G, K) of N recordings: (N, sum of the codebook sizes)."""
    counts = [[histogram(codes[:, k], size) for k, size in enumerate(codebook_sizes)] for codes in recordings]
    cells = torch.tensor([max(1, len(codes)) for codes in recordings])
    return torch.stack([torch.cat(of_recording) for of_recording in counts]).float() / cells[:, None]


def speaker_probe(
    train: Collection[tuple[Tensor, str]], held_out: Collection[tuple[Tensor, str]], *, codebook_sizes: Sequence[int]
) -> Metric:
    """Percentage of held-out recordings whose speaker a linear probe predicts from the histogram of codes (G, K).

    Each recording is a pair of codes and speaker. Lower is better for conversion: for codes without speaker
    information the result is the share of the most frequent speaker.

    Raises:
        DataError: a held-out speaker does not occur in `train`.
    """
    names = sorted({speaker for _, speaker in train})
    unseen = sorted({speaker for _, speaker in held_out} - set(names))
    if unseen:
        raise DataError(
            f"The speaker probe needs training recordings of speaker {', '.join(unseen)}; "
            "hold out chapters of training speakers instead."
        )

    def labelled(split: Collection[tuple[Tensor, str]]) -> tuple[Tensor, Tensor]:
        histograms = code_histograms([codes for codes, _ in split], codebook_sizes=codebook_sizes)
        # The square root raises the weight of rare codewords.
        return histograms.sqrt(), torch.tensor([names.index(speaker) for _, speaker in split])

    features, speakers = labelled(held_out)
    correct = LinearProbe(*labelled(train), classes=len(names)).predict(features) == speakers
    return exactly(100 * float(correct.double().mean()), "% of held-out recordings, linear on code histograms")
