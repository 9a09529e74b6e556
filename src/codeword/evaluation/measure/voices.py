"""Voice conversion: similarity of converted voices to the target's, and speaker information left in the codes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.recordings import Recordings
from codeword.errors import DataError
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import PER_UNIT, Original
from codeword.evaluation.measure.intervals import mean_metric, resampled_interval
from codeword.evaluation.measure.probe import LinearProbe
from codeword.evaluation.results import Metric, exactly, metric
from codeword.quantizers.usage import histogram

CENTROID_RECORDINGS = 12
"""Number of training utterances of each speaker that make up its centroid."""
MOST_SPEAKERS = 16
"""With more speakers than this, only conversions to the first ones are measured."""


@dataclass(frozen=True)
class ConvertedRecording:
    """One recording decoded in another voice: cosine to the target's voice minus cosine to the source's, and edits
    between the phones recognised in it and the `phones` of the original.
    """

    margin: float
    edits: int
    phones: int


def converted(
    original: Original, source: str, centroids: Mapping[str, Tensor], decode: Callable[[str], Tensor]
) -> list[ConvertedRecording]:
    """A recording of speaker `source` in every other voice; `decode` gives the waveform (T,) in a target's voice."""
    conversions = []
    for target in (name for name in centroids if name != source):
        wave = decode(target)
        voice = judges.speaker_vector(wave, sample_rate=original.sample_rate)
        if voice is not None:
            margin = conversion_margin(voice, source, target, centroids)
            conversions.append(ConvertedRecording(margin, original.edits(wave), len(original.phones)))
    return conversions


def conversion_metrics(conversions: Sequence[ConvertedRecording]) -> dict[str, Metric]:
    """Metrics over conversions; none if there are no conversions."""
    if not conversions:
        return {}
    margins = torch.tensor([c.margin for c in conversions])
    edits, phones = (torch.tensor([getattr(c, name) for c in conversions]) for name in ("edits", "phones"))
    per = resampled_interval(
        lambda rows: 100 * float(edits[rows].sum() / phones[rows].sum().clamp(min=1)), len(conversions)
    )
    return {
        "conversion_success": mean_metric(
            100 * (margins > 0).double(), "% closer to the target's voice than to the source's"
        ),
        "conversion_margin": mean_metric(margins, "cosine to the target less that to the source"),
        "conversion_per": metric(per, PER_UNIT),
    }


def centroid_recordings(train: Recordings, classes: Sequence[str]) -> set[int]:
    """Training recordings that represent each speaker's voice, spread over all chapters: they were recorded on
    different days.
    """
    chosen = set()
    for label in range(len(classes[:MOST_SPEAKERS])):
        mine = [i for i in range(len(train.recordings)) if train.label(i) == label]
        chosen |= set(mine[:: max(1, len(mine) // CENTROID_RECORDINGS)])
    return chosen


def voice_centroids(vectors: Sequence[Tensor], speakers: Sequence[str]) -> dict[str, Tensor]:
    """Mean direction of each speaker's voice vectors (E,) of real training utterances, of unit length."""
    names = sorted(set(speakers))
    return {
        name: F.normalize(torch.stack([v for v, s in zip(vectors, speakers, strict=True) if s == name]).mean(0), dim=0)
        for name in names
    }


def conversion_margin(voice: Tensor, source: str, target: str, centroids: Mapping[str, Tensor]) -> float:
    """Cosine of a voice vector (E,) to the target's centroid minus its cosine to the source's."""
    to_target, to_source = (float(F.cosine_similarity(voice, centroids[name], dim=0)) for name in (target, source))
    return to_target - to_source


def code_histograms(recordings: Sequence[Tensor], *, codebook_sizes: Sequence[int]) -> Tensor:
    """Share of the cells of each recording's codes (G, K) that use each codeword: (N, all codewords)."""
    return torch.stack(
        [
            torch.cat([histogram(codes[:, k], size) for k, size in enumerate(codebook_sizes)]).float()
            / max(1, len(codes))
            for codes in recordings
        ]
    )


def speaker_probe(
    train: Collection[tuple[Tensor, str]], held_out: Collection[tuple[Tensor, str]], *, codebook_sizes: Sequence[int]
) -> Metric:
    """Percentage of held-out recordings whose speaker a linear probe predicts from the histogram of codes (G, K).

    Each recording is its codes and its speaker. The less, the better for conversion: codes without speaker information
    leave the probe at the share of the most frequent speaker.

    Raises:
        DataError: a held-out speaker does not occur in `train`.
    """
    names = sorted({speaker for _, speaker in train})
    strangers = sorted({speaker for _, speaker in held_out} - set(names))
    if strangers:
        raise DataError(
            f"The speaker probe cannot know {', '.join(strangers)}, who is not in training; "
            f"hold out chapters of training speakers instead."
        )

    def labelled(split: Collection[tuple[Tensor, str]]) -> tuple[Tensor, Tensor]:
        histograms = code_histograms([codes for codes, _ in split], codebook_sizes=codebook_sizes)
        # Square roots: the rare codewords of a recording count by their information, not by their frequency.
        return histograms.sqrt(), torch.tensor([names.index(speaker) for _, speaker in split])

    features, wanted = labelled(held_out)
    right = LinearProbe(*labelled(train), classes=len(names)).predict(features) == wanted
    return exactly(100 * float(right.double().mean()), "% of held-out recordings, linear on code histograms")
