"""Files of recordings: ours at every rate, FLAC, Opus and MP3, all heard by the same judges."""

from collections.abc import Callable, Iterable, Iterator

import soundfile
import torch
from torch import Tensor

from codeword.codec import CompressOptions, Signal
from codeword.config import EvaluationConfig
from codeword.data.recordings import Recordings
from codeword.errors import UnsupportedError, UsageError
from codeword.evaluation.files.audio_formats import LADDER, SoundFormat, pcm16, written
from codeword.evaluation.files.codeword_files import Amounts, Ours, Progress
from codeword.evaluation.measure import judges
from codeword.evaluation.measure.comparison import Original, comparison_metrics
from codeword.evaluation.results import FileFormat, Metric, exactly
from codeword.media.audio import dequantise
from codeword.model import Model

ONE_EACH = 10
"""How many recordings get a file of ours each: a walk along the prior for every one of them takes long."""

_JUDGED = ("per", "stoi", "pesq_wb", "log_mel_distance")


def measure_recording_files(
    model: Model, data: Recordings, config: EvaluationConfig, *, progress: Callable[[int, int], None]
) -> tuple[list[FileFormat], dict[str, str]]:
    """Every format of a split of recordings; and what was left out, with the reason. Raises DataError."""
    tokenizer, rate = model.tokenizer, data.sample_rate
    count = min(len(data.recordings), config.limit or len(data.recordings))
    amounts = Amounts([recording.samples / rate for recording in data.recordings[:count]], "bit/s")
    listener = _Listener(data, count, values=tokenizer.config.values, progress=progress)

    def signal(i: int) -> Signal:
        return Signal(str(i), (data.recordings[i].samples,), lambda: [data.read(i)])

    ours = Ours(model, [signal(i) for i in range(count)], amounts, progress)
    files = list(_ours(ours, listener))
    left_out = {}
    try:
        files.append(ours.lossless("one file, lossless"))
    except (UsageError, UnsupportedError) as error:
        left_out["lossless files"] = str(error)
    for form in LADDER:
        try:
            files.append(_other(form, listener, amounts))
        except soundfile.SoundFileError as error:
            left_out[form.name] = f"libsndfile does not write it at {rate} Hz: {error}"
    samples = sum(recording.samples for recording in data.recordings[:count])
    return [_with_bits_per_sample(file, samples) for file in files], left_out


class _Listener:
    """The judges, with the originals."""

    def __init__(self, data: Recordings, count: int, *, values: int, progress: Progress) -> None:
        self.data, self.count, self.values, self.progress = data, count, values, progress
        self.missing = judges.missing_judges()
        self._originals: dict[int, Original] = {}

    def judge(self, waves: Iterable[Tensor]) -> dict[str, Metric]:
        """What the first recordings became, in order, as waveforms (T,)."""
        rows = []
        for i, wave in enumerate(waves):
            if i not in self._originals:
                original = dequantise(self.data.read(i)[0], self.values)
                self._originals[i] = Original(original, sample_rate=self.data.sample_rate, left_out=self.missing)
            rows.append(self._originals[i].compare(wave))
            self.progress(i + 1, self.count)
        found = comparison_metrics(rows)
        return {name: found[name] for name in _JUDGED if name in found}


def _ours(ours: Ours, listener: _Listener) -> Iterator[FileFormat]:
    """The model at every rate; at the highest also portable, and a file for each recording."""
    tokenizer = ours.model.tokenizer
    for k in tokenizer.quantizer.served_codes:
        options, codes = CompressOptions(codes=k), "1 code a cell" if k == 1 else f"{k} codes a cell"
        made = ours.write(codes, options)
        heard: dict[str, Metric] = {}
        # A decoder that draws sample after sample takes minutes for a second.
        if not tokenizer.likelihood.sequential:
            heard = listener.judge(dequantise(x[0], tokenizer.config.values) for x in ours.read(made, options))
        yield made.entry.model_copy(update={"metrics": heard})
    portable = CompressOptions(portable=True)
    made = ours.write(f"{codes}, portable", portable)
    if not tokenizer.likelihood.sequential:
        for _ in ours.read(made, portable):
            pass
    # The same codes, so the same sound.
    yield made.entry.model_copy(update={"metrics": heard})
    yield ours.write(f"{codes}, a file each", CompressOptions(), together=False, most=ONE_EACH).entry


def _other(form: SoundFormat, listener: _Listener, amounts: Amounts) -> FileFormat:
    """One format, a file for each recording."""
    data, sizes = listener.data, list[int]()

    def waves() -> Iterator[Tensor]:
        for i in range(listener.count):
            x = data.read(i)
            size, wave = written(x, form, sample_rate=data.sample_rate, values=listener.values)
            sizes.append(size)
            if form.lossless:
                original = pcm16(x, listener.values).float() / 32768
                assert torch.equal(wave, original), f"{form.name} is not lossless."
            yield wave

    heard: dict[str, Metric] = {}
    if form.lossless:
        for _ in waves():
            pass
    else:
        heard = listener.judge(waves())
    return FileFormat(
        name=form.name,
        setting=form.setting,
        kind="lossless" if form.lossless else "lossy",
        signals=listener.count,
        files=listener.count,
        bytes=sum(sizes),
        rate=amounts.apart(sizes),
        metrics=heard,
    )


def _with_bits_per_sample(file: FileFormat, samples: int) -> FileFormat:
    """A lossless file's cost beside what a likelihood gives."""
    if file.kind == "lossy":
        return file
    found = exactly(8 * file.bytes / samples, "bit/sample")
    return file.model_copy(update={"metrics": {"bits_per_sample": found}})
