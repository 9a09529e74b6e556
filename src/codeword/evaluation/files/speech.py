"""Files of recordings: ours at every rate, FLAC, Opus and MP3, all scored by the same judges."""

from collections.abc import Iterable, Iterator
from functools import partial

import soundfile
from torch import Tensor

from codeword.codec import CompressOptions, Signal
from codeword.data.recordings import Recordings
from codeword.evaluation.files.amounts import Amounts, OtherFormat, Progress
from codeword.evaluation.files.audio_formats import LADDER, round_trip
from codeword.evaluation.files.codeword_files import CodewordFiles
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import SCALES, Original, comparison_metrics
from codeword.evaluation.measure.parallel import threads
from codeword.evaluation.results import FileFormat, Metric
from codeword.media.waves import dequantise
from codeword.model import Model

ONE_EACH = 10
"""Number of recordings that get one of our files each: the prior runs cell by cell for each of them, which is slow."""

_METRICS = ("per", "stoi", "pesq_wb", "log_mel_distance")


class RecordingFiles:
    """Files of the first `limit` recordings of a split; the originals and their judgements stay in memory."""

    def __init__(self, model: Model, data: Recordings, limit: int | None, progress: Progress) -> None:
        self.data, self.tokenizer, self.progress = data, model.tokenizer, progress
        self.values, self.sample_rate = model.tokenizer.config.values, data.sample_rate
        lengths = [r.samples for r in data.recordings[:limit]]
        self.amounts = Amounts([n / data.sample_rate for n in lengths], "bit/s", samples=sum(lengths))
        self.signals = [self._signal(i) for i in range(len(lengths))]
        left_out = judges.missing_judges().keys() | (SCALES.keys() - set(_METRICS))
        self.originals = [
            Original(dequantise(data.read(i)[0], self.values), sample_rate=data.sample_rate, left_out=left_out)
            for i in range(len(lengths))
        ]
        self.left_out: dict[str, str] = {}

    def ours(self, files: CodewordFiles) -> Iterator[FileFormat]:
        """Our files at every rate; at the highest rate also one file for each recording."""
        quality: dict[str, Metric] = {}
        # A decoder that draws one sample after another takes minutes for a second of audio.
        decodes = not self.tokenizer.likelihood.sequential
        for k in self.tokenizer.quantizer.served_codes:
            setting = "1 code a cell" if k == 1 else f"{k} codes a cell"
            written = files.write(setting, CompressOptions(codes=k))
            if decodes:
                quality = self._quality(dequantise(x[0], self.values) for x in files.read(written))
            yield written.entry.model_copy(update={"metrics": quality})
        yield files.write(f"{setting}, a file each", CompressOptions(), one_each=ONE_EACH).entry

    def others(self) -> Iterator[FileFormat]:
        """FLAC, Opus and MP3 at every setting; `left_out` gets the formats that do not support this sample rate."""
        for form in LADDER:
            sizes: list[int] = []
            waves = self._waves(form, sizes)
            try:
                quality = self._quality(waves) if not form.lossless else {}
                for _ in waves:  # A lossless format is only written for its sizes.
                    pass
            except soundfile.SoundFileError as error:
                self.left_out[form.name] = f"libsndfile does not write it at {self.sample_rate} Hz: {error}"
                continue
            yield self.amounts.entry(form, sizes, quality)

    def _waves(self, form: OtherFormat, sizes: list[int]) -> Iterator[Tensor]:
        """Yield the decoded waveform (T,) of each recording's file, and append the file's size in bytes to `sizes`."""
        for original in self.originals:
            size, wave = round_trip(original.wave, form, sample_rate=self.sample_rate)
            sizes.append(size)
            yield wave

    def _quality(self, waves: Iterable[Tensor]) -> dict[str, Metric]:
        """Metrics of the decoded waveforms (T,) of all recordings, in order."""
        with threads() as pool:
            futures = [
                pool.start(partial(original.compare, wave))
                for original, wave in zip(self.originals, waves, strict=True)
            ]
            rows = [future.result() for future in futures]
        self.progress(len(rows), len(self.signals))
        metrics = comparison_metrics(rows)
        return {name: metrics[name] for name in _METRICS if name in metrics}

    def _signal(self, i: int) -> Signal:
        return Signal(str(i), (self.data.recordings[i].samples,), lambda: [self.data.read(i)])
