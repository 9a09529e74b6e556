"""Recordings that a report shows and plays: a few seconds each, short enough to embed in the page."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log2

import torch
from torch import Tensor

from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.data.phones.alignment import Phone
from codeword.data.recordings import Recordings
from codeword.evaluation.measure.baseline import KMeansBaseline, log_mel_cells
from codeword.evaluation.measure.phones import PHONES, cell_phones, co_occurrences
from codeword.evaluation.medium import cells_per_second, sample_rate
from codeword.evaluation.report.signals import ReportSignals, draw_samples
from codeword.evaluation.results import Evaluation
from codeword.media.waves import dequantise, quantise
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

UTTERANCES_SHOWN = 3
TRACKS_SHOWN = 2
SOURCES_SHOWN = 2
VOICES_SHOWN = 3
SAMPLES_SHOWN = 4
RECORDINGS_COUNTED = 100
BASELINE_TRAIN_S = 600
RATES_HEARD, RATES_DRAWN = 8, 3

# Seconds of each excerpt and of each sample; one second if the decoder draws one sample of audio after another.
_SHOWN_S, _SAMPLED_S, _SEQUENTIAL_S = 3.0, 2.5, 1.0
_LEAD_S = 0.4  # Seconds skipped: read speech begins with a pause of about this length.
_COUNTED_S = 60  # Seconds of each recording: some are an hour long.


@dataclass(frozen=True)
class Utterance:
    """An excerpt x (1, T) of a recording, its codes (G, K) and its phones; empty without an alignment."""

    name: str
    speaker: str
    label: int
    x: Tensor
    codes: Tensor
    phones: tuple[Phone, ...]


@dataclass(frozen=True)
class PhoneCounts:
    """Counts of cells (codebook size, PHONES) by first code and phone, over the `recordings` with an alignment."""

    split: Split
    recordings: int
    counts: Tensor


@dataclass(frozen=True)
class ConvertedUtterance:
    """The utterance of index `utterance`, decoded from its first `codes` codes in each voice: x (voices, 1, T)."""

    utterance: int
    codes: int
    x: Tensor


@dataclass(frozen=True)
class ReportRecordings(ReportSignals):
    """Recordings of integer samples at `sample_rate` Hz.

    `decoded[k]` (N, 1, T) are the N `utterances` decoded from the first k codes of each cell, for at most
    `RATES_HEARD` rates; `baselines[k]` are those of the k-means codec. `tracks` are utterances with an alignment if
    there are any. `voices` are the speakers that the decoder can be conditioned on.
    """

    sample_rate: int
    utterances: tuple[Utterance, ...]
    decoded: dict[int, Tensor]
    baselines: dict[int, Tensor]
    tracks: tuple[Utterance, ...]
    phone_counts: PhoneCounts
    voices: tuple[str, ...]
    conversions: tuple[ConvertedUtterance, ...]

    def bits_per_second(self, codes: int) -> float:
        """The rate of the first `codes` codes of each cell if every codeword is equally likely."""
        return bits_per_second(self.tokenizer, codes)


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most `most` of sorted numbers, evenly spread, with the first and the last one."""
    return sorted({numbers[i * (len(numbers) - 1) // (most - 1)] for i in range(most)})


def bits_per_second(tokenizer: Tokenizer, codes: int) -> float:
    """The nominal rate of the first `codes` codes of each cell."""
    return cells_per_second(tokenizer) * sum(log2(n) for n in tokenizer.quantizer.codebook_sizes[:codes])


def gather_recordings(run: Run, evaluation: Evaluation, *, samples: int, seed: int) -> ReportRecordings:
    """Code and decode the first recordings of the split that was evaluated, on the CPU.

    At most `SAMPLES_SHOWN` of the `samples` are drawn, because each is listened to. If the evaluation has baselines,
    the k-means codec is fitted again, on ten minutes of recordings.

    Raises:
        UsageError: the run is not finished.
        DataError, ModelError: data or models cannot be read.
    """
    tokenizer, prior = run.tokenizer(), run.prior()
    data = _open(run, evaluation.split)
    usage, phone_counts = _count(tokenizer, data, evaluation.split)
    aligned = data
    if not phone_counts.recordings and evaluation.split != "valid":
        aligned = _open(run, "valid")
        phone_counts = _count(tokenizer, aligned, "valid")[1]
    with_phones = [i for i in range(len(aligned.recordings)) if aligned.phones(i)]
    utterances = tuple(_utterances(tokenizer, data, range(len(data.recordings)), UTTERANCES_SHOWN))
    x, codes = torch.stack([u.x for u in utterances]), torch.stack([u.codes for u in utterances])
    label = torch.tensor([u.label for u in utterances])
    served_codes = tokenizer.quantizer.served_codes
    shown = spread(served_codes, RATES_HEARD)
    decoded = {k: tokenizer.decode(codes[..., :k], label, size=tuple(x.shape[2:])) for k in shown}
    baselines = _baselines(run, tokenizer, x, shown) if evaluation.baselines else {}
    voices = tokenizer.config.classes[:VOICES_SHOWN]
    class_names = data.classes[: min(VOICES_SHOWN, prior.classes)]
    seconds = _SEQUENTIAL_S if tokenizer.likelihood.sequential else _SAMPLED_S
    length = round(seconds * data.sample_rate)
    if not prior.any_grid:
        length = min(length, prior.grid[0] * tokenizer.hop)
    drawn, by_class = draw_samples(
        tokenizer,
        prior,
        (length,),
        count=min(samples, SAMPLES_SHOWN),
        classes=len(class_names),
        per_class=1,
        condition_decoder=True,
        seed=seed,
    )
    return ReportRecordings(
        tokenizer=tokenizer,
        prior=prior,
        split=evaluation.split,
        counts=usage.counts,
        counted=min(RECORDINGS_COUNTED, len(data.recordings)),
        code_summary=_code_summary(tokenizer),
        seed=seed,
        sample_rate=data.sample_rate,
        utterances=utterances,
        decoded=decoded,
        baselines=baselines,
        tracks=tuple(_utterances(tokenizer, aligned, with_phones, TRACKS_SHOWN)) or utterances[:TRACKS_SHOWN],
        phone_counts=phone_counts,
        voices=voices,
        conversions=tuple(_conversions(tokenizer, utterances, len(voices))) if voices else (),
        samples=drawn,
        samples_by_class=by_class,
        class_names=class_names,
    )


def _open(run: Run, split: Split) -> Recordings:
    data = open_dataset(run.recipe().data, split)
    assert isinstance(data, Recordings)
    return data


def _count(tokenizer: Tokenizer, data: Recordings, split: Split) -> tuple[CodeUsage, PhoneCounts]:
    """Encode the first recordings of the split, and count the codewords, and the phones of each first code."""
    codebook_sizes = tokenizer.quantizer.codebook_sizes
    usage, recordings = CodeUsage(codebook_sizes), 0
    counts = torch.zeros(codebook_sizes[0], len(PHONES), dtype=torch.int64)
    for i in range(min(RECORDINGS_COUNTED, len(data.recordings))):
        codes = tokenizer.encode(data.read(i)[None, :, : _COUNTED_S * data.sample_rate])[0]
        usage.add(codes)
        if phones := data.phones(i):
            cells = cell_phones(phones, cells=len(codes), cells_per_second=cells_per_second(tokenizer))
            counts += co_occurrences(codes[:, 0], cells, codebook_size=codebook_sizes[0])
            recordings += 1
    return usage, PhoneCounts(split, recordings, counts)


def _utterances(tokenizer: Tokenizer, data: Recordings, indices: Sequence[int], count: int) -> Iterator[Utterance]:
    """Excerpts of equal length of `count` recordings among `indices`, from different speakers if possible.

    Recordings shorter than an excerpt are skipped; if too few are left, excerpts of the longest ones are shorter.
    """
    rate = data.sample_rate
    lead, wanted = round(_LEAD_S * rate), round((_SEQUENTIAL_S if tokenizer.likelihood.sequential else _SHOWN_S) * rate)
    length = {i: data.recordings[i].samples for i in indices}
    long_enough = [i for i in indices if length[i] >= lead + wanted]
    if len(long_enough) < count:
        long_enough = sorted(sorted(indices, key=lambda i: -length[i])[:count])
    # By the number of earlier recordings of the same speaker: first one recording of each speaker.
    earlier: Counter[str] = Counter()
    order = []
    for i in long_enough:
        order.append((earlier[data.recordings[i].speaker], i))
        earlier[data.recordings[i].speaker] += 1
    chosen = [i for _, i in sorted(order)[:count]]
    shortest = min((length[i] for i in chosen), default=0)
    start = lead if shortest >= 2 * lead else 0
    size = min(wanted, shortest - start)
    for i in chosen:
        x = data.read(i)[:, start : start + size]
        phones = tuple(
            replace(p, start_s=max(0.0, p.start_s - start / rate), end_s=min(p.end_s - start / rate, size / rate))
            for p in data.phones(i) or ()
            if p.end_s > start / rate and p.start_s < (start + size) / rate
        )
        recording = data.recordings[i]
        yield Utterance(recording.name, recording.speaker, data.label(i), x, tokenizer.encode(x[None])[0], phones)


def _baselines(run: Run, tokenizer: Tokenizer, x: Tensor, served_codes: Sequence[int]) -> dict[int, Tensor]:
    """Reconstructions of x (N, 1, T) by k-means fitted on ten minutes of training recordings, by number of codes."""
    train, values = _open(run, "train"), tokenizer.config.values
    total_s = sum(r.samples for r in train.recordings) / train.sample_rate
    step = max(1, round(total_s / BASELINE_TRAIN_S))
    waves = (dequantise(train.read(i)[0], values) for i in range(0, len(train.recordings), step))
    codec = KMeansBaseline.fit(
        torch.cat([log_mel_cells(wave, sample_rate=train.sample_rate) for wave in waves]),
        tokenizer.quantizer.codebook_sizes,
        sample_rate=train.sample_rate,
        generator=torch.Generator().manual_seed(0),
    )
    baselines: dict[int, list[Tensor]] = {k: [] for k in served_codes}
    for wave in dequantise(x[:, 0], values):
        codes = codec.encode(wave)
        for k, decoded in baselines.items():
            decoded.append(quantise(codec.decode(codes[:, :k], length=len(wave)), values)[None])
    return {k: torch.stack(decoded) for k, decoded in baselines.items()}


def _conversions(tokenizer: Tokenizer, utterances: Sequence[Utterance], voices: int) -> Iterator[ConvertedUtterance]:
    """The first utterances in each of the first `voices` voices, at the lowest and at the highest rate."""
    served_codes = tokenizer.quantizer.served_codes
    for i, utterance in enumerate(utterances[:SOURCES_SHOWN]):
        for k in sorted({served_codes[0], served_codes[-1]}):
            codes = utterance.codes[:, :k].expand(voices, -1, -1)
            size = tuple(utterance.x.shape[1:])
            yield ConvertedUtterance(i, k, tokenizer.decode(codes, torch.arange(voices), size=size))


def _code_summary(tokenizer: Tokenizer) -> str:
    codebook_sizes = tokenizer.quantizer.codebook_sizes
    alphabets = (
        f"{len(codebook_sizes)} codes of {codebook_sizes[0]:,}"
        if len(set(codebook_sizes)) == 1
        else " × ".join(map(str, codebook_sizes))
    )
    served = ", ".join(
        f"{bits_per_second(tokenizer, k):,.0f} with the first {k}" for k in tokenizer.quantizer.served_codes[:-1]
    )
    return (
        f"{cells_per_second(tokenizer):g} cells a second of {alphabets} codewords: "
        f"{bits_per_second(tokenizer, len(codebook_sizes)):,.0f} bit/s at most{f' ({served})' if served else ''}, "
        f"for {sample_rate(tokenizer) * log2(tokenizer.config.values):,.0f} bit/s of signal"
    )
