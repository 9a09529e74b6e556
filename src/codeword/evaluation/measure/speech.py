"""Measures of a tokenizer and its prior on whole recordings, at every rate that the tokenizer serves.

Each recording is read and encoded once, and each test recording is decoded once at each rate (and in each voice).
Waveforms of the test split stay in memory (230 MB an hour at 16 kHz); of the training split only codes and the
features that k-means needs (115 MB an hour for the baseline, 140 MB for phones).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log, log2

import torch
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data.recordings import Recordings
from codeword.evaluation.measure import baseline, judges, voices
from codeword.evaluation.measure.baseline import KMeansBaseline
from codeword.evaluation.measure.comparison import FIGURES, Original, comparison_metrics
from codeword.evaluation.measure.distances import silence_mse
from codeword.evaluation.measure.intervals import mean_metric, ratio_metric, resampled_intervals
from codeword.evaluation.measure.parallel import threads
from codeword.evaluation.measure.phones import LARGEST_CODEBOOK, AlignedRecording, phone_metrics
from codeword.evaluation.measure.voices import ConvertedRecording, centroid_recordings
from codeword.evaluation.medium import cells_per_second, sample_rate
from codeword.evaluation.results import Measures, Metric, Rate, metric
from codeword.media.audio import dequantise
from codeword.priors import Prior
from codeword.quantizers import CodeUsage
from codeword.quantizers.usage import entropy_bits
from codeword.tokenizer import Tokenizer


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of one training recording; None for those that no measure needs.

    Codes (G, K), the cells of its phones, log-mel cells (G', 160) for the baseline, and the voice vector (256,).
    """

    speaker: str
    codes: Tensor | None = None
    aligned: AlignedRecording | None = None
    cells: Tensor | None = None
    voice: Tensor | None = None


@dataclass(frozen=True)
class RecordingMeasures:
    """Measures of one recording: its codes (G, K), their cost, and the figures of each number of codes decoded."""

    original: Original
    speaker: str
    codes: Tensor
    aligned: AlignedRecording | None
    code_bits: float
    signal_bits: float
    rates: dict[int, dict[str, float]] = field(default_factory=dict)
    conversions: dict[int, list[ConvertedRecording]] = field(default_factory=dict)


def measure_recordings(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Recordings,
    train: Recordings,
    config: EvaluationConfig,
    *,
    progress: Callable[[int, int], None],
) -> Measures:
    """Measure a split of recordings; `train` is what the baselines and probes are fitted on, and has the speakers."""
    count = min(len(data.recordings), config.limit or len(data.recordings))
    plan = _Plan(tokenizer, prior, data, train, count=count, baselines=config.baselines)
    served_codes, codebook_sizes = tokenizer.quantizer.served_codes, tokenizer.quantizer.codebook_sizes
    with threads() as pool:
        learned = pool.map(plan.learn, len(train.recordings)) if plan.needs_training else []
        fitting = pool.start(lambda: _fit_baseline(learned, tokenizer)) if plan.baseline else None
        vectors = [(r.voice, r.speaker) for r in learned if r.voice is not None]
        centroids = voices.voice_centroids([v for v, _ in vectors], [s for _, s in vectors])
        measured = pool.map(lambda i: plan.measure(i, centroids), count, progress=progress)
        baselines = []
        if fitting is not None:
            codec = fitting.result()
            baselines = pool.map(
                lambda i: _baseline_figures(codec, measured[i].original, served_codes), count, progress=progress
            )
        metrics = _whole_metrics(measured)
        if plan.phones:
            aligned = [r.aligned for r in learned if r.aligned], [r.aligned for r in measured if r.aligned]
            metrics |= phone_metrics(*aligned, codebook_size=codebook_sizes[0])
        conversions: dict[int, dict[str, Metric]] = {}
        if plan.voices:
            probe = voices.speaker_probe(
                [(r.codes, r.speaker) for r in learned if r.codes is not None],
                [(r.codes, r.speaker) for r in measured if r.speaker in tokenizer.config.classes],
                codebook_sizes=codebook_sizes,
            )
            for k in served_codes:
                of_rate = [c for r in measured for c in r.conversions.get(k, ())]
                conversions[k] = voices.conversion_metrics(of_rate) | {"speaker_probe_accuracy": probe}
        rates = [
            Rate(codes=k, metrics=_rate_metrics(measured, tokenizer, k) | conversions.get(k, {})) for k in served_codes
        ]
    return Measures(
        signals=count,
        metrics=rates[-1].metrics | metrics,
        rates=tuple(rates) if len(rates) > 1 else (),
        baselines=tuple(
            Rate(codes=k, metrics=comparison_metrics([figures[k] for figures in baselines]))
            for k in (served_codes if baselines else ())
        ),
        left_out=plan.left_out,
    )


class _Plan:
    """Decides which measures are possible, and takes them recording by recording; `left_out` has the other ones."""

    def __init__(
        self, tokenizer: Tokenizer, prior: Prior, data: Recordings, train: Recordings, *, count: int, baselines: bool
    ) -> None:
        self.tokenizer, self.prior, self.data, self.train = tokenizer, prior, data, train
        self.sample_rate, self.device = sample_rate(tokenizer), tokenizer.device
        self.decodes = not tokenizer.likelihood.sequential
        missing = judges.missing_judges()
        self.left_out = {name: why for name, why in missing.items() if name != "conversion_success"}
        if not self.decodes:
            why = "this decoder draws one sample after another, which is slow; `codeword reconstruct` runs it"
            self.left_out |= dict.fromkeys(("per", *FIGURES), why)
        self.baseline = self.decodes and baselines
        if self.baseline and cells_per_second(tokenizer) != baseline.RATE_HZ:
            self.baseline = False
            self.left_out["baselines"] = (
                f"the k-means codec has {baseline.RATE_HZ} cells a second, this model another rate"
            )
        why_no_phones = self._why_no_phones(count)
        why_no_voices = self._why_no_voices(count, missing)
        self.phones, self.voices = not why_no_phones, self.decodes and not why_no_voices
        if why_no_phones:
            self.left_out["phoneme_accuracy"] = why_no_phones
        if why_no_voices and self.decodes:
            self.left_out["conversion_success"] = why_no_voices
        self.representatives = centroid_recordings(train, tokenizer.config.classes) if self.voices else set[int]()

    @property
    def needs_training(self) -> bool:
        return self.baseline or self.phones or self.voices

    def learn(self, i: int) -> TrainingFeatures:
        """Read training recording `i` and compute its features."""
        x = self.train.read(i)
        wave = dequantise(x[0], self.tokenizer.config.values)
        needs_codes = self.voices or (self.phones and self.train.phones(i) is not None)
        codes = self.tokenizer.encode(x[None].to(self.device))[0].cpu() if needs_codes else None
        return TrainingFeatures(
            self.train.recordings[i].speaker,
            codes,
            self._aligned(self.train, i, codes, wave),
            baseline.log_mel_cells(wave, sample_rate=self.sample_rate) if self.baseline else None,
            judges.speaker_vector(wave, sample_rate=self.sample_rate) if i in self.representatives else None,
        )

    def measure(self, i: int, centroids: dict[str, Tensor]) -> RecordingMeasures:
        """Read and encode recording `i`, decode it at every rate and in every voice, and compare."""
        tokenizer, device = self.tokenizer, self.device
        x, label = self.data.read(i)[None].to(device), torch.tensor([self.data.label(i)], device=device)
        analysis = tokenizer.analyse(x, label)
        codes = analysis.quantized.codes
        original = Original(
            dequantise(x[0, 0].cpu(), tokenizer.config.values), sample_rate=self.sample_rate, left_out=self.left_out
        )
        speaker = self.data.recordings[i].speaker

        def decoded(k: int, label: Tensor) -> Tensor:
            signal = tokenizer.decode(codes[..., :k], label, size=(x.shape[-1],))
            return dequantise(signal[0, 0].cpu(), tokenizer.config.values)

        def in_voice(k: int) -> Callable[[str], Tensor]:
            return lambda name: decoded(k, torch.tensor([tokenizer.config.classes.index(name)], device=device))

        converts = self.voices and speaker in tokenizer.config.classes
        served_codes = tokenizer.quantizer.served_codes
        return RecordingMeasures(
            original,
            speaker,
            codes[0].cpu(),
            self._aligned(self.data, i, codes[0].cpu(), original.wave),
            code_bits=-float(self.prior.log_prob(codes)) / log(2),
            signal_bits=-float(tokenizer.likelihood.log_prob(analysis.features, x)) / log(2),
            rates={k: original.compare(decoded(k, label)) for k in served_codes} if self.decodes else {},
            conversions=(
                {k: voices.converted(original, speaker, centroids, in_voice(k)) for k in served_codes}
                if converts
                else {}
            ),
        )

    def _aligned(self, split: Recordings, i: int, codes: Tensor | None, wave: Tensor) -> AlignedRecording | None:
        phones = split.phones(i) if self.phones else None
        if phones is None:
            return None
        assert codes is not None
        hop = self.tokenizer.hop
        return AlignedRecording.of(codes[:, 0], phones, wave, hop=hop, sample_rate=self.sample_rate)

    def _why_no_phones(self, count: int) -> str:
        codebook_size = self.tokenizer.quantizer.codebook_sizes[0]
        for split, recordings in ((self.train, len(self.train.recordings)), (self.data, count)):
            if all(split.phones(i) is None for i in range(recordings)):
                return "no alignments are known for this split; `codeword align` makes them"
        if codebook_size > LARGEST_CODEBOOK:
            return f"the first codebook has {codebook_size} codewords, too many to name each a phone"
        return ""

    def _why_no_voices(self, count: int, missing: dict[str, str]) -> str:
        for needed in ("conversion_success", "per"):
            if needed in missing:
                return missing[needed]
        if self.tokenizer.classes < 2:
            return "the decoder is not conditioned on the speaker"
        if all(self.data.label(i) >= self.tokenizer.classes for i in range(count)):
            return "no speaker of this split occurs in training; use a split by chapter"
        return ""


def _fit_baseline(learned: Sequence[TrainingFeatures], tokenizer: Tokenizer) -> KMeansBaseline:
    """The baseline with the tokenizer's codebook sizes, fitted on all training recordings."""
    return KMeansBaseline.fit(
        torch.cat([r.cells for r in learned if r.cells is not None]),
        tokenizer.quantizer.codebook_sizes,
        sample_rate=sample_rate(tokenizer),
        generator=torch.Generator().manual_seed(0),
    )


def _baseline_figures(
    codec: KMeansBaseline, original: Original, served_codes: Sequence[int]
) -> dict[int, dict[str, float]]:
    codes, length = codec.encode(original.wave), len(original.wave)
    return {k: original.compare(codec.decode(codes[:, :k], length=length)) for k in served_codes}


def _rate_metrics(measured: Sequence[RecordingMeasures], tokenizer: Tokenizer, k: int) -> dict[str, Metric]:
    """Quality and cost of the first k codes of each cell."""
    codebook_sizes = tokenizer.quantizer.codebook_sizes[:k]
    usages = []
    for recording in measured:
        usages.append(CodeUsage(codebook_sizes))
        usages[-1].add(recording.codes[:, :k])
    counts = [torch.stack(of_book) for of_book in zip(*(usage.counts for usage in usages), strict=True)]
    cells, seconds = [len(r.codes) for r in measured], [r.original.seconds for r in measured]
    cells_a_second = sum(cells) / sum(seconds)

    def statistics(rows: Tensor) -> dict[str, float]:
        summed = [c[rows].sum(0) for c in counts]
        entropy = sum(map(entropy_bits, summed))
        used = sum(float((c > 0).sum()) for c in summed)
        return {
            "bits_per_second_order0": entropy * cells_a_second,
            "usage": used / sum(codebook_sizes),
            "perplexity": 2 ** (entropy / k),
        }

    units = ("bit/s, each codebook's own entropy", "fraction of codewords", "codewords, over the whole split")
    intervals = resampled_intervals(statistics, len(measured))
    bits = sum(log2(n) for n in codebook_sizes)
    metrics = {"bits_per_second_nominal": ratio_metric([bits * n for n in cells], seconds, "bit/s")}
    metrics |= {name: metric(interval, unit) for (name, interval), unit in zip(intervals.items(), units, strict=True)}
    if k == len(tokenizer.quantizer.codebook_sizes):
        code_bits = [r.code_bits for r in measured]
        metrics["bits_per_second_prior"] = ratio_metric(code_bits, seconds, "bit/s under the prior")
    if all(k in r.rates for r in measured):
        metrics |= comparison_metrics([r.rates[k] for r in measured])
    return metrics


def _whole_metrics(measured: Sequence[RecordingMeasures]) -> dict[str, Metric]:
    """Metrics that do not depend on the rate."""
    samples = [float(len(r.original.wave)) for r in measured]
    signal_bits = [r.signal_bits for r in measured]
    total_bits = [r.code_bits + r.signal_bits for r in measured]
    silence = torch.tensor([silence_mse(r.original.wave) for r in measured])
    return {
        "silence_mse": mean_metric(silence, "values in [-1, 1]"),
        "bits_per_sample": ratio_metric(total_bits, samples, "bit/sample, codes and signal"),
        "signal_bits_per_sample": ratio_metric(signal_bits, samples, "bit/sample, the signal given its codes"),
    }
