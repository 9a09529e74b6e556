"""Whether a converted voice is the target's, and how much of the speaker the codes still hold."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.errors import DataError
from codeword.evaluation.measure.probe import LinearProbe
from codeword.quantizers.usage import histogram


def voice_centroids(vectors: Sequence[Tensor], speakers: Sequence[str]) -> dict[str, Tensor]:
    """The mean direction of each speaker's voice vectors (E,), of unit length; from real utterances of training."""
    names = sorted(set(speakers))
    return {
        name: F.normalize(torch.stack([v for v, s in zip(vectors, speakers, strict=True) if s == name]).mean(0), dim=0)
        for name in names
    }


def conversion_margins(
    converted: Sequence[Tensor], sources: Sequence[str], targets: Sequence[str], centroids: Mapping[str, Tensor]
) -> Tensor:
    """Cosine to the target's centroid minus cosine to the source's, for each converted voice vector (E,): (N,)."""
    return torch.tensor(
        [
            float(F.cosine_similarity(vector, centroids[target], dim=0))
            - float(F.cosine_similarity(vector, centroids[source], dim=0))
            for vector, source, target in zip(converted, sources, targets, strict=True)
        ]
    )


def conversion_success(
    converted: Sequence[Tensor], sources: Sequence[str], targets: Sequence[str], centroids: Mapping[str, Tensor]
) -> float:
    """Percentage of conversions that are closer to the target's voice than to the source's.

    The cost in intelligibility is the `per` of the conversions less that of plain reconstructions.
    """
    margins = conversion_margins(converted, sources, targets, centroids)
    return 100 * float((margins > 0).double().mean()) if len(margins) else 0.0


def code_histograms(recordings: Sequence[Tensor], *, codebook_sizes: Sequence[int]) -> Tensor:
    """How often each codeword is used in each recording's codes (G, K), as shares of its cells: (N, all codewords)."""
    return torch.stack(
        [
            torch.cat([histogram(codes[:, k], size) for k, size in enumerate(codebook_sizes)]).float()
            / max(1, len(codes))
            for codes in recordings
        ]
    )


def speaker_probe_accuracy(
    train: Sequence[Tensor],
    train_speakers: Sequence[str],
    held_out: Sequence[Tensor],
    held_out_speakers: Sequence[str],
    *,
    codebook_sizes: Sequence[int],
) -> float:
    """Percentage of held-out recordings whose speaker a linear probe tells from the histogram of their codes (G, K).

    Codes that hold no speaker leave it at the share of the most frequent speaker.

    Raises:
        DataError: a held-out speaker is not among those of training.
    """
    names = sorted(set(train_speakers))
    strangers = sorted(set(held_out_speakers) - set(names))
    if strangers:
        raise DataError(
            f"The speaker probe cannot know {', '.join(strangers)}, who is not in training; "
            f"hold out chapters of training speakers instead."
        )
    # Square roots: the rare codewords of a recording weigh as much as they tell, not as they occur.
    features = code_histograms(train, codebook_sizes=codebook_sizes).sqrt()
    held_features = code_histograms(held_out, codebook_sizes=codebook_sizes).sqrt()
    labels = torch.tensor([names.index(s) for s in train_speakers])
    wanted = torch.tensor([names.index(s) for s in held_out_speakers])
    found = LinearProbe(features, labels, classes=len(names)).predict(held_features)
    return 100 * float((found == wanted).double().mean()) if len(wanted) else 0.0
