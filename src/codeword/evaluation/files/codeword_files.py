"""Our own files of a split: written, read back and checked, with the size that the models predict."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log, log2

import torch
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Signal
from codeword.coding import decode_signal, deterministic, encode_signal
from codeword.evaluation.files.amounts import Amounts, Progress
from codeword.evaluation.results import FileFormat, Theory
from codeword.model import Model
from codeword.quantizers.usage import entropy_bits, histogram

NAME = "Codeword"

_BATCH = 64
_CODER_TITLES = {
    "prior": "under the prior",
    "histogram": "by how often each codeword occurs",
    "uniform": "every codeword equally likely",
}


@dataclass(frozen=True)
class WrittenFiles:
    """Content of files in our format, and their entry in the results."""

    contents: list[bytes]
    entry: FileFormat


class CodewordFiles:
    """Writes and reads a model's files of `signals`. Each signal is encoded once, to check the files against."""

    def __init__(self, model: Model, signals: Sequence[Signal], amounts: Amounts, progress: Progress) -> None:
        self.model, self.signals, self.amounts, self.progress = model, signals, amounts, progress
        self.codec = Codec(model)
        self.codes = []
        for done, signal in enumerate(signals, 1):
            self.codes.append(encode_signal(model.tokenizer, signal.read()))
            progress(done, len(signals))

    def write(
        self, setting: str, options: CompressOptions, *, together: bool = True, most: int | None = None
    ) -> WrittenFiles:
        """All signals in one file, or the first `most` of them with one file each. Raises UsageError."""
        coded = list(zip(self.signals, self.codes, strict=True))[:most]
        contents, overhead, bits, coders = [], 0, 0.0, set[str]()
        for group in [coded] if together else [[one] for one in coded]:
            content = io.BytesIO()
            written = self.codec.write(content, [signal for signal, _ in group], options, progress=self.progress)
            contents.append(content.getvalue())
            overhead += written.overhead_bytes
            bits += _code_bits(self.model, [codes[..., : options.codes] for _, codes in group], written.coder)
            coders.add(_CODER_TITLES[written.coder])
        sizes = [len(content) for content in contents]
        payload_bits = 8 * (sum(sizes) - overhead)
        if options.lossless:
            bits += self._signal_bits()
        models = sorted(coders) + (["under the likelihood"] if options.lossless else [])
        entry = FileFormat(
            name=NAME,
            setting=setting,
            kind="lossless" if options.lossless else "lossy",
            signals=len(coded),
            files=len(contents),
            bytes=sum(sizes),
            overhead_bytes=overhead,
            rate=self.amounts.rate(sizes, together=together),
            metrics=self.amounts.lossless_metrics(sum(sizes)) if options.lossless else {},
            theory=Theory(bits=bits, model=" and ".join(models), gap=100 * (payload_bits / bits - 1)),
        )
        return WrittenFiles(contents, entry)

    def read(self, files: WrittenFiles, options: CompressOptions) -> Iterator[Tensor]:
        """The signals (C, *S) int64 of files just written; each is checked against its codes."""
        found = (
            torch.cat(list(found.blocks), -1).long()
            for content in files.contents
            for found in self.codec.read(Container(content, "the file"), progress=self.progress)
        )
        count = files.entry.signals
        for x, signal, codes in zip(found, self.signals[:count], self.codes[:count], strict=True):
            with deterministic():
                blocks = (
                    signal.read()
                    if options.lossless
                    else decode_signal(self.model.tokenizer, codes[..., : options.codes], size=signal.size)
                )
                expected = torch.cat(list(blocks), -1).long()
            assert torch.equal(x, expected), f"Signal {signal.name} came back from its file as another one."
            yield x

    def lossless(self, setting: str) -> FileFormat:
        """One lossless file, read back and checked. Raises UsageError if the likelihood cannot write one."""
        options = CompressOptions(lossless=True)
        files = self.write(setting, options)
        self.check(files, options)
        return files.entry

    def check(self, files: WrittenFiles, options: CompressOptions) -> None:
        """Read files back and check them, without using the signals."""
        for _ in self.read(files, options):
            pass

    @torch.no_grad()
    def _signal_bits(self) -> float:
        """Bits of all signals given their codes, under the likelihood."""
        tokenizer, nats = self.model.tokenizer, 0.0
        for signal, codes in zip(self.signals, self.codes, strict=True):
            x = torch.cat(list(signal.read()), -1)[None]
            nats -= float(tokenizer.likelihood.log_prob(tokenizer.features(codes[None], size=signal.size), x))
        return nats / log(2)


@torch.no_grad()
def _code_bits(model: Model, codes: Sequence[Tensor], coder: str) -> float:
    """Total bits of codes (*G, k) under the model that a coder uses."""
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
