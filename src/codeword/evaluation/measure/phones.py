"""What a run's codes say of phones: the figures of `phonemes` for recordings whose alignments are known."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.data.recordings import Recordings
from codeword.evaluation.measure.intervals import resampled_interval
from codeword.evaluation.measure.phone_scores import (
    LabelledCodes,
    cell_phones,
    kmeans_codes,
    phoneme_probe_accuracy,
    phoneme_scores,
)
from codeword.evaluation.results import Metric, metric
from codeword.media.audio import dequantise
from codeword.spectra.cepstra import with_neighbours
from codeword.tokenizer import Tokenizer

_UNIT = "% of held-out cells"
_CEPSTRA = 16
_LARGEST_ALPHABET = 4096  # Beyond it, a map from codes to phones is a list of what was seen.


@torch.no_grad()
def measure_phonemes(
    tokenizer: Tokenizer, data: Recordings, train: Recordings, *, count: int
) -> tuple[dict[str, Metric], dict[str, str]]:
    """The phoneme figures of the first code of each cell over the first `count` recordings, or why there are none.

    The code-to-phone map, the probe and the k-means codes are fitted on `train`. Intervals are over recordings.
    """
    learned, scored = (
        [i for i in range(n) if split.phones(i) is not None]
        for split, n in ((train, len(train.recordings)), (data, count))
    )
    codebook_size = tokenizer.quantizer.codebook_sizes[0]
    if not learned or not scored:
        return {}, {"phoneme_accuracy": "no alignments are known for this split; `codeword align` makes them"}
    if codebook_size > _LARGEST_ALPHABET:
        return {}, {
            "phoneme_accuracy": f"the first codebook has {codebook_size} codewords, too many to name each a phone"
        }
    labels_learned = [_phones(tokenizer, train, i) for i in learned]
    labels_scored = [_phones(tokenizer, data, i) for i in scored]
    ours_learned = [_codes(tokenizer, train, i) for i in learned]
    ours_scored = [_codes(tokenizer, data, i) for i in scored]
    waves_learned = [_wave(tokenizer, train, i) for i in learned]
    waves_scored = [_wave(tokenizer, data, i) for i in scored]

    def kmeans(cosines: int | None) -> tuple[list[Tensor], list[Tensor]]:
        return kmeans_codes(
            waves_learned,
            waves_scored,
            codebook_size=codebook_size,
            hop=tokenizer.hop,
            sample_rate=_sample_rate(tokenizer),
            cosines=cosines,
            generator=torch.Generator().manual_seed(0),
        )

    ours, log_mels, cepstra = (
        (_labelled(fitted, labels_learned), _labelled(held, labels_scored))
        for fitted, held in ((ours_learned, ours_scored), kmeans(None), kmeans(_CEPSTRA))
    )

    def scored_metric(figure: str, unit: str, codes: tuple[list[LabelledCodes], list[LabelledCodes]] = ours) -> Metric:
        fitted, tested = codes
        return metric(
            resampled_interval(
                lambda rows: getattr(
                    phoneme_scores(fitted, [tested[int(r)] for r in rows], codebook_size=codebook_size), figure
                ),
                len(tested),
            ),
            unit,
        )

    probe = phoneme_probe_accuracy(
        [(_features(c, codebook_size), p) for c, p in zip(ours_learned, labels_learned, strict=True)],
        [(_features(c, codebook_size), p) for c, p in zip(ours_scored, labels_scored, strict=True)],
    )
    return {
        "phoneme_accuracy": scored_metric("accuracy", f"{_UNIT}, silence left out"),
        "phoneme_accuracy_with_silence": scored_metric("accuracy_with_silence", _UNIT),
        "phoneme_chance": scored_metric("chance", f"{_UNIT}, silence left out"),
        "phoneme_chance_with_silence": scored_metric("chance_with_silence", _UNIT),
        "phoneme_accuracy_kmeans": scored_metric(
            "accuracy", f"{_UNIT}, silence left out; k-means on log-mels", log_mels
        ),
        "phoneme_accuracy_kmeans_with_silence": scored_metric(
            "accuracy_with_silence", f"{_UNIT}; k-means on log-mels", log_mels
        ),
        "phoneme_accuracy_kmeans_cepstra": scored_metric(
            "accuracy", f"{_UNIT}, silence left out; k-means on {_CEPSTRA} cepstra", cepstra
        ),
        "phoneme_nmi": scored_metric("nmi", "0 to 1, silence left out"),
        "phoneme_probe_accuracy": metric(
            (probe, probe, probe), f"{_UNIT}, silence left out; linear, the code and its neighbours"
        ),
    }, {}


def _labelled(codes: Sequence[Tensor], phones: Sequence[Tensor]) -> list[LabelledCodes]:
    return [LabelledCodes(c, p) for c, p in zip(codes, phones, strict=True)]


def _codes(tokenizer: Tokenizer, data: Recordings, i: int) -> Tensor:
    device = next(tokenizer.parameters()).device
    return tokenizer.encode(data.read(i)[None].to(device))[0, :, 0].cpu()


def _phones(tokenizer: Tokenizer, data: Recordings, i: int) -> Tensor:
    phones = data.phones(i)
    assert phones is not None
    (cells,) = tokenizer.grid((data.recordings[i].samples,))
    return cell_phones(phones, cells=cells, cells_per_second=_sample_rate(tokenizer) / tokenizer.hop)


def _features(codes: Tensor, codebook_size: int) -> Tensor:
    return with_neighbours(F.one_hot(codes, codebook_size).float())


def _wave(tokenizer: Tokenizer, data: Recordings, i: int) -> Tensor:
    return dequantise(data.read(i)[0], tokenizer.config.values)


def _sample_rate(tokenizer: Tokenizer) -> int:
    assert tokenizer.config.sample_rate is not None
    return tokenizer.config.sample_rate
