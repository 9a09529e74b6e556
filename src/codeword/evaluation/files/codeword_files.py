"""Our own files of a split: written, read back, compared with what they must hold, and laid beside theory."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log, log2

import torch
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Signal
from codeword.coding import deterministic
from codeword.coding.stream import decode_stream, encode_stream
from codeword.coding.tiles import decode_tiles, encode_tiles
from codeword.errors import UnsupportedError
from codeword.evaluation.measure.intervals import resampled_interval
from codeword.evaluation.results import FileFormat, Metric, Theory, exactly, metric
from codeword.model import Model
from codeword.quantizers.usage import entropy_bits, histogram
from codeword.tokenizer import Tokenizer

NAME = "Codeword"

_BATCH = 64
_CODER_IN_WORDS = {
    "prior": "under the prior",
    "histogram": "by how often each codeword occurs",
    "uniform": "every codeword equally likely",
}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Amounts:
    """How much there is of each signal, and the unit of a rate that divides by it: numbers, or seconds."""

    of: Sequence[float]
    unit: str

    def together(self, size: int) -> Metric:
        """The rate of all signals in so many bytes."""
        return exactly(8 * size / sum(self.of), self.unit)

    def apart(self, sizes: Sequence[int]) -> Metric:
        """The rate of the first signals in a file each, of these bytes."""
        bits = 8 * torch.tensor(sizes, dtype=torch.float64)
        of = torch.tensor(self.of[: len(sizes)], dtype=torch.float64)
        return metric(resampled_interval(lambda rows: float(bits[rows].sum() / of[rows].sum()), len(bits)), self.unit)


@dataclass(frozen=True)
class Files:
    """Files of ours, and what is to be said of them."""

    contents: list[bytes]
    entry: FileFormat


class Ours:
    """A model's files of `signals`, whose codes are computed once."""

    def __init__(self, model: Model, signals: Sequence[Signal], amounts: Amounts, progress: Progress) -> None:
        self.model, self.signals, self.amounts, self.progress = model, signals, amounts, progress
        self.codec = Codec(model)
        self.codes = []
        for done, signal in enumerate(signals, 1):
            self.codes.append(_encoded(model.tokenizer, signal))
            progress(done, len(signals))

    def write(self, setting: str, options: CompressOptions, *, together: bool = True, most: int | None = None) -> Files:
        """All signals in one file, or the first `most` of them in a file each. Raises UsageError."""
        coded = list(zip(self.signals, self.codes, strict=True))[:most]
        contents, overhead, bits, coders = [], 0, 0.0, set[str]()
        for group in [coded] if together else [[one] for one in coded]:
            content = io.BytesIO()
            written = self.codec.write(content, [signal for signal, _ in group], options, progress=self.progress)
            contents.append(content.getvalue())
            overhead += written.overhead_bytes
            bits += _code_bits(self.model, [codes[..., : options.codes] for _, codes in group], written.coder)
            coders.add(_CODER_IN_WORDS[written.coder])
        sizes = [len(content) for content in contents]
        size = sum(sizes)
        if options.lossless:
            bits += self._signal_bits()
        entry = FileFormat(
            name=NAME,
            setting=setting,
            kind="lossless" if options.lossless else "lossy",
            signals=len(coded),
            files=len(contents),
            bytes=size,
            overhead_bytes=overhead,
            rate=self.amounts.together(size) if together else self.amounts.apart(sizes),
            theory=Theory(
                bits=bits, model=_model(coders, lossless=options.lossless), gap=100 * (8 * (size - overhead) / bits - 1)
            ),
        )
        return Files(contents, entry)

    def read(self, files: Files, options: CompressOptions) -> Iterator[Tensor]:
        """The signals (C, *S) int64 of files just written, each of them proved to be what it must."""
        found = (
            torch.cat(list(found.blocks), -1).long()
            for content in files.contents
            for found in self.codec.read(Container(content, "the file"), progress=self.progress)
        )
        count = files.entry.signals
        for x, signal, codes in zip(found, self.signals[:count], self.codes[:count], strict=True):
            expected = (
                torch.cat(list(signal.read()), -1).long()
                if options.lossless
                else _decoded(self.model.tokenizer, codes[..., : options.codes], signal.size)
            )
            assert torch.equal(x, expected), f"Signal {signal.name} came back from its file as another one."
            yield x

    def lossless(self, setting: str) -> FileFormat:
        """One file that keeps every number, read back whole. Raises UsageError where the likelihood cannot."""
        options = CompressOptions(lossless=True)
        files = self.write(setting, options)
        for _ in self.read(files, options):
            pass
        return files.entry

    @torch.no_grad()
    def _signal_bits(self) -> float:
        """What the likelihood says of all signals given their codes."""
        tokenizer, nats = self.model.tokenizer, 0.0
        for signal, codes in zip(self.signals, self.codes, strict=True):
            x = torch.cat(list(signal.read()), -1)[None]
            nats -= float(tokenizer.likelihood.log_prob(tokenizer.features(codes[None], size=signal.size), x))
        return nats / log(2)


def _model(coders: set[str], *, lossless: bool) -> str:
    """What theory counts with, in words."""
    return " and ".join(sorted(coders) + (["under the likelihood"] if lossless else []))


@torch.no_grad()
def _code_bits(model: Model, codes: Sequence[Tensor], coder: str) -> float:
    """What codes (*G, k) cost in all under the model that a coder codes with."""
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: codes[0].shape[-1]]
    cells = torch.cat([c.flatten(0, -2) for c in codes])
    if coder == "uniform":
        return len(cells) * sum(log2(n) for n in codebook_sizes)
    if coder == "histogram":
        counts = [histogram(book, n) for book, n in zip(cells.unbind(1), codebook_sizes, strict=True)]
        return len(cells) * sum(entropy_bits(count) for count in counts)
    nats = 0.0
    for _, alike in groupby(codes, key=lambda c: c.shape):
        for batch in torch.stack(list(alike)).split(_BATCH):
            nats -= float(model.prior.log_prob(batch).double().sum())
    return nats / log(2)


def _encoded(tokenizer: Tokenizer, signal: Signal) -> Tensor:
    """The codes (*G, K) of a signal, as the codec encodes it: with the same rounding."""
    if len(signal.size) == 2:
        return encode_tiles(tokenizer, torch.cat(list(signal.read()), -1))
    try:
        return torch.cat(list(encode_stream(tokenizer, signal.read())))
    except UnsupportedError:
        return tokenizer.encode(torch.cat(list(signal.read()), -1)[None])[0]


def _decoded(tokenizer: Tokenizer, codes: Tensor, size: tuple[int, ...]) -> Tensor:
    """The signal (C, *S) of codes (*G, k)."""
    with deterministic():
        if len(size) == 2:
            return decode_tiles(tokenizer, codes, size=size).long()
        try:
            return torch.cat(list(decode_stream(tokenizer, [codes], size=size[0])), -1)
        except UnsupportedError:
            return tokenizer.decode(codes[None], size=size)[0]
