"""Files of recordings: ours at every rate, FLAC, Opus and MP3, all compared by the same judges."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import soundfile
from torch import Tensor

from codeword.codec import CompressOptions, Signal
from codeword.data.recordings import Recordings
from codeword.evaluation.files.amounts import Amounts, Progress
from codeword.evaluation.files.audio_formats import LADDER, AudioFormat, written
from codeword.evaluation.files.codeword_files import CodewordFiles
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import Original, comparison_metrics
from codeword.evaluation.measure.parallel import threads
from codeword.evaluation.results import FileFormat, Metric
from codeword.media.audio import dequantise
from codeword.model import Model

ONE_EACH = 10
"""Number of recordings that get one of our files each: the prior runs cell by cell for each of them, which is slow."""

_JUDGED = ("per", "stoi", "pesq_wb", "log_mel_distance")


class RecordingFiles:
    """Files of the first `limit` recordings of a split.

    The originals are read once, and kept in memory with what the judges find in them.
    """

    def __init__(self, model: Model, data: Recordings, limit: int | None, progress: Progress) -> None:
        self.data, self.tokenizer, self.progress = data, model.tokenizer, progress
        self.values, self.sample_rate = model.tokenizer.config.values, data.sample_rate
        recordings = data.recordings[:limit]
        self.amounts = Amounts(
            [r.samples / data.sample_rate for r in recordings], "bit/s", samples=sum(r.samples for r in recordings)
        )
        self.signals = [self._signal(i) for i in range(len(recordings))]
        missing = judges.missing_judges()
        self.originals = [
            Original(dequantise(data.read(i)[0], self.values), sample_rate=data.sample_rate, left_out=missing)
            for i in range(len(recordings))
        ]
        self.left_out: dict[str, str] = {}

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]:
        """Our files: every rate; at the highest also portable, and one file for each recording."""
        quality: dict[str, Metric] = {}
        # A decoder that draws sample after sample takes minutes for a second.
        decodes = not self.tokenizer.likelihood.sequential
        for k in self.tokenizer.quantizer.served_codes:
            options, setting = CompressOptions(codes=k), "1 code a cell" if k == 1 else f"{k} codes a cell"
            made = files.write(setting, options)
            if decodes:
                quality = self._quality(dequantise(x[0], self.values) for x in files.read(made, options))
            yield made.entry.model_copy(update={"metrics": quality})
        portable = CompressOptions(portable=True)
        made = files.write(f"{setting}, portable", portable)
        if decodes:
            files.check(made, portable)
        # The same codes, so the same signal.
        yield made.entry.model_copy(update={"metrics": quality})
        yield files.write(f"{setting}, a file each", CompressOptions(), together=False, most=ONE_EACH).entry

    def others(self) -> Iterator[FileFormat]:
        """FLAC, Opus and MP3 at every setting; `left_out` gets the formats without this sample rate."""
        for form in LADDER:
            sizes: list[int] = []
            waves = self._waves(form, sizes)
            try:
                quality = self._quality(waves) if not form.lossless else {}
                for _ in waves:  # Of a lossless format, only the sizes are of interest.
                    pass
            except soundfile.SoundFileError as error:
                self.left_out[form.name] = f"libsndfile does not write it at {self.sample_rate} Hz: {error}"
                continue
            yield self.amounts.entry(form, sizes, quality)

    def _waves(self, form: AudioFormat, sizes: list[int]) -> Iterator[Tensor]:
        """The waveform (T,) that is read back from each recording's file; its size is added to `sizes`."""
        for original in self.originals:
            size, wave = written(original.wave, form, sample_rate=self.sample_rate)
            sizes.append(size)
            yield wave

    def _quality(self, waves: Iterable[Tensor]) -> dict[str, Metric]:
        """Metrics of decoded waveforms (T,) of all recordings, in order."""
        rows: Sequence[dict[str, float]] = []
        with threads() as pool:
            started = [
                pool.start(partial(original.compare, wave))
                for original, wave in zip(self.originals, waves, strict=True)
            ]
            rows = [future.result() for future in started]
        self.progress(len(rows), len(self.signals))
        metrics = comparison_metrics(rows)
        return {name: metrics[name] for name in _JUDGED if name in metrics}

    def _signal(self, i: int) -> Signal:
        return Signal(str(i), (self.data.recordings[i].samples,), lambda: [self.data.read(i)])
