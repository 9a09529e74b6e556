"""Measures of a tokenizer and its prior on whole recordings, at every rate that the tokenizer serves.

Each recording is read and encoded once, and each test recording is decoded once at each rate (and in each voice). With
a search, each rate of a test recording has codes of its own.
Waveforms of the test split stay in memory (230 MB an hour at 16 kHz); of the training split only codes and the
features that k-means needs (115 MB an hour for the baseline, 140 MB for phones).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log, log2

import torch
from torch import Tensor

from codeword.codec import Codec, CompressOptions
from codeword.codec.search import PLAIN, Search, price_of, search_codes
from codeword.config import EvaluationConfig
from codeword.data.recordings import Recordings
from codeword.evaluation.measure import baseline, judges, voices
from codeword.evaluation.measure.baseline import KMeansBaseline
from codeword.evaluation.measure.comparison import SCALES, Original, comparison_metrics
from codeword.evaluation.measure.distances import silence_mse
from codeword.evaluation.measure.intervals import mean_metric, ratio_metric, resampled_intervals
from codeword.evaluation.measure.parallel import threads
from codeword.evaluation.measure.phones import MAX_CODEBOOK_SIZE, AlignedRecording, phone_metrics
from codeword.evaluation.measure.searching import OF_THE_ENCODER, model_on_cpu
from codeword.evaluation.measure.voices import ConvertedRecording, centroid_recordings
from codeword.evaluation.medium import cells_per_second, sample_rate
from codeword.evaluation.results import Measures, Metric, Rate, metric
from codeword.media.waves import dequantise
from codeword.priors import Prior
from codeword.quantizers.usage import entropy_bits, histogram
from codeword.tokenizer import Tokenizer

_WITHOUT_JUDGES = "the judges are left out of this evaluation; measure again with them"


@dataclass(frozen=True)
class TrainingFeatures:
    """Features of one training recording; a feature that no measure needs is None.

    `codes` (G, K); `cells` (G', 160) are the log-mel cells of the baseline; `voice` (256,) is the speaker embedding.
    """

    speaker: str
    codes: Tensor | None
    aligned: AlignedRecording | None
    cells: Tensor | None
    voice: Tensor | None


@dataclass(frozen=True)
class RecordingMeasures:
    """Measures of one recording, and the bits of the signal given all its codes.

    By the number k of codes of a cell: its `codes` (G, k), the size of a real file in `file_bytes`, the bits under the
    prior in `code_bits` (where the prior models this number), the metrics in `rates`, and `conversions`. `itself` has
    the metrics of the original.
    """

    original: Original
    speaker: str
    codes: dict[int, Tensor]
    aligned: AlignedRecording | None
    file_bytes: dict[int, int]
    code_bits: dict[int, float]
    signal_bits: float
    itself: dict[str, float]
    rates: dict[int, dict[str, float]]
    conversions: dict[int, list[ConvertedRecording]]


def measure_recordings(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Recordings,
    train: Recordings,
    config: EvaluationConfig,
    *,
    search: Search = PLAIN,
    codes: int | None = None,
    progress: Callable[[int, int], None],
) -> Measures:
    """Measure a split of recordings, with `codes` codes a cell, by default with each number that is served.

    Baselines, probes and voices are fitted on `train`.
    """
    count = min(len(data.recordings), config.limit or len(data.recordings))
    plan = _Plan(tokenizer, prior, data, train, count=count, config=config, search=search, codes=codes)
    served_codes, codebook_sizes = plan.served_codes, tokenizer.quantizer.codebook_sizes
    with threads() as pool:
        training = pool.map(plan.training_features, len(train.recordings)) if plan.needs_training else []
        codec = pool.start(lambda: _fit_baseline(training, tokenizer)) if plan.baseline else None
        with_voice = [(r.voice, r.speaker) for r in training if r.voice is not None]
        centroids = voices.voice_centroids([v for v, _ in with_voice], [s for _, s in with_voice])
        measured = pool.map(lambda i: plan.measure(i, centroids), count, progress=progress)
        baselines = []
        if codec is not None:
            compare = partial(_compare_baseline, codec.result(), served_codes)
            baselines = pool.map(lambda i: compare(measured[i].original), count, progress=progress)
        metrics = _whole_metrics(measured)
        if plan.phones:
            aligned = [r.aligned for r in training if r.aligned], [r.aligned for r in measured if r.aligned]
            metrics |= phone_metrics(*aligned, codebook_size=codebook_sizes[0])
        by_rate = {k: _rate_metrics(measured, tokenizer, k) for k in served_codes}
        if plan.voices:
            for k in served_codes:
                by_rate[k] |= voices.conversion_metrics([c for r in measured for c in r.conversions.get(k, ())])
        if plan.voices and plan.probes:
            probe = voices.speaker_probe(
                [(r.codes, r.speaker) for r in training if r.codes is not None],
                [(r.codes[served_codes[-1]], r.speaker) for r in measured if r.speaker in tokenizer.config.classes],
                codebook_sizes=codebook_sizes[: served_codes[-1]],
            )
            by_rate = {k: of_rate | {"speaker_probe_accuracy": probe} for k, of_rate in by_rate.items()}
    rates = tuple(Rate(codes=k, metrics=by_rate[k]) for k in served_codes)
    return Measures(
        signals=count,
        metrics=rates[-1].metrics | metrics,
        rates=rates if len(rates) > 1 else (),
        baselines=tuple(
            Rate(codes=k, metrics=comparison_metrics([values[k] for values in baselines]))
            for k in (served_codes if baselines else ())
        ),
        left_out=plan.left_out,
    )


class _Plan:
    """Decides which measures are possible, and computes them for one recording at a time.

    `left_out` gives the reason for each measure that is not possible.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prior: Prior,
        data: Recordings,
        train: Recordings,
        *,
        count: int,
        config: EvaluationConfig,
        search: Search,
        codes: int | None,
    ) -> None:
        self.tokenizer, self.prior, self.data, self.train, self.search = tokenizer, prior, data, train, search
        self.sample_rate, self.device = sample_rate(tokenizer), tokenizer.device
        self.served_codes = tokenizer.quantizer.served_codes if codes is None else (codes,)
        # Files are written on the CPU.
        self.codec = Codec(model_on_cpu(tokenizer, prior))
        # Made once, before several threads need it.
        self.codec.model.exact_prior.eval()
        self.prices = {k: price_of(self.codec.model, k) for k in self.served_codes if search.rate_weight}
        # A probe of phones or of speakers learns from the codes of all training recordings.
        self.probes = search == PLAIN
        self.decodes = not tokenizer.likelihood.sequential
        missing = judges.missing_judges() if config.judges else dict.fromkeys(judges.JUDGES, _WITHOUT_JUDGES)
        self.left_out = {name: reason for name, reason in missing.items() if name != "conversion_success"}
        if not self.decodes:
            reason = "this decoder draws one sample after another, which is slow; `codeword reconstruct` runs it"
            self.left_out |= dict.fromkeys(SCALES, reason)
        if all(data.transcript(i) is None for i in range(count)):
            self.left_out.setdefault("per_transcript", "these recordings have no transcripts")
        self.baseline = self.decodes and config.baselines and cells_per_second(tokenizer) == baseline.RATE_HZ
        if self.decodes and config.baselines and not self.baseline:
            self.left_out["baselines"] = (
                f"the k-means codec has {baseline.RATE_HZ} cells a second, this model another rate"
            )
        no_phones = self._reason_without_phones(count) if config.judges else _WITHOUT_JUDGES
        no_voices = self._reason_without_voices(count, missing)
        self.phones, self.voices = not no_phones, self.decodes and not no_voices
        if no_phones:
            self.left_out["phoneme_accuracy"] = no_phones
        if no_voices and self.decodes:
            self.left_out["conversion_success"] = no_voices
        if self.voices and not self.probes:
            self.left_out["speaker_probe_accuracy"] = OF_THE_ENCODER
        self.for_centroids = centroid_recordings(train, tokenizer.config.classes) if self.voices else set[int]()

    @property
    def needs_training(self) -> bool:
        """True if a measure is fitted on training recordings."""
        return self.baseline or self.phones or self.voices

    def training_features(self, i: int) -> TrainingFeatures:
        """Read training recording `i` and compute the features that are needed."""
        x = self.train.read(i)
        wave = dequantise(x[0], self.tokenizer.config.values)
        needs_codes = self.probes and (self.voices or (self.phones and self.train.phones(i) is not None))
        codes = self.tokenizer.encode(x[None].to(self.device))[0].cpu() if needs_codes else None
        return TrainingFeatures(
            self.train.recordings[i].speaker,
            codes,
            self._aligned(self.train, i, codes, wave),
            baseline.log_mel_cells(wave, sample_rate=self.sample_rate) if self.baseline else None,
            judges.speaker_vector(wave, sample_rate=self.sample_rate) if i in self.for_centroids else None,
        )

    def measure(self, i: int, centroids: dict[str, Tensor]) -> RecordingMeasures:
        """Read and encode recording `i`, decode it at every rate and in every voice, and compare."""
        tokenizer, device = self.tokenizer, self.device
        x, label = self.data.read(i)[None].to(device), torch.tensor([self.data.label(i)], device=device)
        codes, features = self._codes(x, label)
        most = max(codes)
        original = Original(
            dequantise(x[0, 0].cpu(), tokenizer.config.values),
            sample_rate=self.sample_rate,
            left_out=self.left_out,
            transcript=self.data.transcript(i),
        )
        speaker = self.data.recordings[i].speaker

        def decoded(k: int, label: Tensor) -> Tensor:
            signal = tokenizer.decode(codes[k], label, size=(x.shape[-1],))
            return dequantise(signal[0, 0].cpu(), tokenizer.config.values)

        def in_voice(k: int, name: str) -> Tensor:
            return decoded(k, torch.tensor([tokenizer.config.classes.index(name)], device=device))

        served_codes = self.served_codes
        rates = served_codes if self.decodes else ()
        converted_rates = rates if self.voices and speaker in tokenizer.config.classes else ()
        return RecordingMeasures(
            original,
            speaker,
            {k: of_rate[0].cpu() for k, of_rate in codes.items()},
            self._aligned(self.data, i, codes[most][0].cpu(), original.wave),
            file_bytes={k: self._file_bytes(x[0].cpu(), k, codes[k][0].cpu()) for k in served_codes},
            code_bits={
                k: -float(self.prior.log_prob(codes[k])) / log(2) for k in served_codes if k in self.prior.served_codes
            },
            signal_bits=-float(tokenizer.likelihood.log_prob(features, x)) / log(2),
            itself=original.compare_itself(),
            rates={k: original.compare(decoded(k, label)) for k in rates},
            conversions={
                k: voices.converted(original, speaker, centroids, partial(in_voice, k)) for k in converted_rates
            },
        )

    def _codes(self, x: Tensor, label: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """The codes (1, G, k) of a recording x (1, 1, T) for each rate k, and the features (1, F, T) of the last."""
        tokenizer, served = self.tokenizer, self.served_codes
        if self.search == PLAIN or not x.numel():
            analysis = tokenizer.analyse(x, label)
            codes = {k: analysis.quantized.codes[..., :k] for k in served}
            if served[-1] == analysis.quantized.codes.shape[-1]:
                return codes, analysis.features
        else:
            price, search = self.prices.get, self.search
            found = {k: search_codes(tokenizer, x, search, codes=k, price=price(k), label=int(label)) for k in served}
            codes = {k: of_rate.to(self.device) for k, of_rate in found.items()}
        return codes, tokenizer.features(codes[served[-1]], label, size=(x.shape[-1],))

    def _file_bytes(self, x: Tensor, k: int, codes: Tensor) -> int:
        """Size of the file of one signal x (1, T) with its codes (G, k); a signal without samples needs none."""
        if not x.numel():
            return 0
        return len(self.codec.compress(x, CompressOptions(codes=k), codes=None if self.search == PLAIN else codes))

    def _aligned(self, split: Recordings, i: int, codes: Tensor | None, wave: Tensor) -> AlignedRecording | None:
        phones = split.phones(i) if self.phones else None
        if phones is None:
            return None
        assert codes is not None
        hop = self.tokenizer.hop
        return AlignedRecording.of(codes[:, 0], phones, wave, hop=hop, sample_rate=self.sample_rate)

    def _reason_without_phones(self, count: int) -> str:
        codebook_size = self.tokenizer.quantizer.codebook_sizes[0]
        for split, recordings in ((self.train, len(self.train.recordings)), (self.data, count)):
            if all(split.phones(i) is None for i in range(recordings)):
                return "this split has no alignments; `codeword align` makes them"
        if codebook_size > MAX_CODEBOOK_SIZE:
            return f"the first codebook has {codebook_size} codewords, more than {MAX_CODEBOOK_SIZE}"
        return "" if self.probes else OF_THE_ENCODER

    def _reason_without_voices(self, count: int, missing: dict[str, str]) -> str:
        for needed in ("conversion_success", "per"):
            if needed in missing:
                return missing[needed]
        if self.tokenizer.classes < 2:
            return "the decoder is not conditioned on the speaker"
        if all(self.data.label(i) >= self.tokenizer.classes for i in range(count)):
            return "no speaker of this split occurs in training; use a split by chapter"
        return ""


def _fit_baseline(training: Sequence[TrainingFeatures], tokenizer: Tokenizer) -> KMeansBaseline:
    """The baseline with the tokenizer's codebook sizes, fitted on all training recordings."""
    return KMeansBaseline.fit(
        torch.cat([r.cells for r in training if r.cells is not None]),
        tokenizer.quantizer.codebook_sizes,
        sample_rate=sample_rate(tokenizer),
        generator=torch.Generator().manual_seed(0),
    )


def _compare_baseline(
    codec: KMeansBaseline, served_codes: Sequence[int], original: Original
) -> dict[int, dict[str, float]]:
    codes, length = codec.encode(original.wave), len(original.wave)
    return {k: original.compare(codec.decode(codes[:, :k], length=length), opinions=False) for k in served_codes}


def _rate_metrics(measured: Sequence[RecordingMeasures], tokenizer: Tokenizer, k: int) -> dict[str, Metric]:
    """Quality and bit rates of the first k codes of each cell."""
    codebook_sizes = tokenizer.quantizer.codebook_sizes[:k]
    # By codebook: counts of its codewords in each recording (recordings, codebook size).
    counts = [torch.stack([histogram(r.codes[k][:, j], n) for r in measured]) for j, n in enumerate(codebook_sizes)]
    cells, seconds = [len(r.codes[k]) for r in measured], [r.original.seconds for r in measured]
    mean_cells_per_second = sum(cells) / sum(seconds)

    def statistics(rows: Tensor) -> dict[str, float]:
        totals = [c[rows].sum(0) for c in counts]
        entropy = sum(map(entropy_bits, totals))
        used = sum(float((c > 0).sum()) for c in totals)
        return {
            "bits_per_second_order0": entropy * mean_cells_per_second,
            "usage": used / sum(codebook_sizes),
            "perplexity": 2 ** (entropy / k),
        }

    intervals = resampled_intervals(statistics, len(measured))
    bits_per_cell = sum(log2(n) for n in codebook_sizes)
    metrics = {
        "bits_per_second_real": ratio_metric(
            [8.0 * r.file_bytes[k] for r in measured], seconds, "bit/s, a file each, with headers"
        ),
        "bits_per_second_nominal": ratio_metric([bits_per_cell * n for n in cells], seconds, "bit/s"),
        "bits_per_second_order0": metric(intervals["bits_per_second_order0"], "bit/s, each codebook's own entropy"),
        "usage": metric(intervals["usage"], "fraction of codewords"),
        "perplexity": metric(intervals["perplexity"], "codewords, over the whole split"),
    }
    if all(k in r.code_bits for r in measured):
        code_bits = [r.code_bits[k] for r in measured]
        metrics["bits_per_second_prior"] = ratio_metric(code_bits, seconds, "bit/s under the prior")
    if all(k in r.rates for r in measured):
        metrics |= comparison_metrics([r.rates[k] for r in measured])
    return metrics


def _whole_metrics(measured: Sequence[RecordingMeasures]) -> dict[str, Metric]:
    """Metrics that do not depend on the rate."""
    samples = [float(len(r.original.wave)) for r in measured]
    signal_bits = [r.signal_bits for r in measured]
    total_bits = [r.code_bits[max(r.codes)] + r.signal_bits for r in measured]
    silence = torch.tensor([silence_mse(r.original.wave) for r in measured])
    return {
        **{f"{name}_original": value for name, value in comparison_metrics([r.itself for r in measured]).items()},
        "silence_mse": mean_metric(silence, "values in [-1, 1]"),
        "bits_per_sample": ratio_metric(total_bits, samples, "bit/sample, codes and signal"),
        "signal_bits_per_sample": ratio_metric(signal_bits, samples, "bit/sample, the signal given its codes"),
    }
