"""Whether a run converts voices: every pair of a held-out utterance and another speaker of training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codeword.data.recordings import Recordings
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.conversion import conversion_margins, speaker_probe_accuracy, voice_centroids
from codeword.evaluation.measure.intervals import mean_interval, resampled_interval
from codeword.evaluation.results import Metric, metric
from codeword.media.audio import dequantise
from codeword.tokenizer import Tokenizer

VOICES_HEARD = 12
"""How many training utterances of each speaker make its centroid."""
MOST_SPEAKERS = 16
"""Beyond this many speakers, only conversions to the first ones are tried."""


@dataclass(frozen=True)
class Conversion:
    """One held-out recording in another voice: cosine to the target less that to the source, and what is understood."""

    recording: int
    margin: float
    edits: int
    phones: int


@torch.no_grad()
def measure_conversions(
    tokenizer: Tokenizer, data: Recordings, train: Recordings, *, count: int
) -> tuple[dict[int, dict[str, Metric]], dict[str, str]]:
    """Figures of conversion for each number of codes, over the first `count` recordings, or why there are none.

    Held-out utterances of speakers that training knows, each in the voice of every other one.
    """
    missing = judges.missing_judges()
    for needed in ("conversion_success", "per"):
        if needed in missing:
            return {}, {"conversion_success": missing[needed]}
    known = [i for i in range(count) if data.label(i) < tokenizer.classes]
    if tokenizer.classes < 2:
        return {}, {"conversion_success": "the decoder is not told who speaks"}
    if not known:
        return {}, {"conversion_success": "nobody of this split speaks in training; use a split by chapter"}
    centroids = _centroids(tokenizer, train)
    served_codes = tokenizer.quantizer.served_codes
    found: dict[int, list[Conversion]] = {k: [] for k in served_codes}
    for i in known:
        for k, conversions in _converted(tokenizer, data, i, centroids).items():
            found[k] += conversions
    probe = _probe(tokenizer, data, train, known)
    return {k: _figures(found[k]) | {"speaker_probe_accuracy": probe} for k in served_codes}, {}


def _converted(
    tokenizer: Tokenizer, data: Recordings, i: int, centroids: dict[str, Tensor]
) -> dict[int, list[Conversion]]:
    """Recording `i` in every other voice, for each number of codes."""
    names, source = tokenizer.config.classes, tokenizer.config.classes[data.label(i)]
    x = data.read(i)
    original = dequantise(x[0], tokenizer.config.values)
    phones = judges.recognise(original, sample_rate=_rate(tokenizer))
    codes = tokenizer.encode(x[None].to(_device(tokenizer)))
    conversions: dict[int, list[Conversion]] = {}
    for k in tokenizer.quantizer.served_codes:
        conversions[k] = []
        for target in (name for name in centroids if name != source):
            label = torch.tensor([names.index(target)], device=codes.device)
            decoded = tokenizer.decode(codes[..., :k], label, size=(x.shape[-1],))[0, 0].cpu()
            wave = dequantise(decoded, tokenizer.config.values)
            voice = judges.speaker_vector(wave, sample_rate=_rate(tokenizer))
            if voice is None:
                continue
            margin = float(conversion_margins([voice], [source], [target], centroids))
            edits = judges.edit_distance(judges.recognise(wave, sample_rate=_rate(tokenizer)), phones)
            conversions[k].append(Conversion(i, margin, edits, len(phones)))
    return conversions


def _figures(conversions: list[Conversion]) -> dict[str, Metric]:
    if not conversions:
        return {}
    margins = torch.tensor([c.margin for c in conversions])
    edits, phones = (torch.tensor([getattr(c, name) for c in conversions]) for name in ("edits", "phones"))
    per = resampled_interval(
        lambda rows: 100 * float(edits[rows].sum() / phones[rows].sum().clamp(min=1)), len(conversions)
    )
    return {
        "conversion_success": metric(
            mean_interval(100 * (margins > 0).double()), "% closer to the target's voice than to the source's"
        ),
        "conversion_margin": metric(mean_interval(margins), "cosine to the target less that to the source"),
        "conversion_per": metric(per, "% of the phones recognised in the original"),
    }


def _centroids(tokenizer: Tokenizer, train: Recordings) -> dict[str, Tensor]:
    vectors, speakers = [], []
    for label, name in enumerate(tokenizer.config.classes[:MOST_SPEAKERS]):
        mine = [i for i in range(len(train.recordings)) if train.label(i) == label]
        # Spread over all that the speaker read, for chapters were recorded on different days.
        for i in mine[:: max(1, len(mine) // VOICES_HEARD)]:
            wave = dequantise(train.read(i)[0], tokenizer.config.values)
            voice = judges.speaker_vector(wave, sample_rate=_rate(tokenizer))
            if voice is not None:
                vectors.append(voice)
                speakers.append(name)
    return voice_centroids(vectors, speakers)


def _probe(tokenizer: Tokenizer, data: Recordings, train: Recordings, known: list[int]) -> Metric:
    """How well the codes alone give the speaker away; what conversion wants is as little as possible."""

    def codes(split: Recordings, i: int) -> Tensor:
        return tokenizer.encode(split.read(i)[None].to(_device(tokenizer)))[0].cpu()

    learned = range(len(train.recordings))
    value = speaker_probe_accuracy(
        [codes(train, i) for i in learned],
        [train.recordings[i].speaker for i in learned],
        [codes(data, i) for i in known],
        [data.recordings[i].speaker for i in known],
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
    )
    return metric((value, value, value), "% of held-out recordings, linear on code histograms")


def _rate(tokenizer: Tokenizer) -> int:
    assert tokenizer.config.sample_rate is not None
    return tokenizer.config.sample_rate


def _device(tokenizer: Tokenizer) -> torch.device:
    return next(tokenizer.parameters()).device
