"""Files of a split in our own format: written, decoded and checked, with the size that the models predict."""

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
    """Content of files in our format, the options they were written with, and their entry in the results."""

    contents: list[bytes]
    options: CompressOptions
    entry: FileFormat


class CodewordFiles:
    """Writes and reads files of `signals` in our format. Each signal is encoded once; the codes check the files."""

    def __init__(self, model: Model, signals: Sequence[Signal], amounts: Amounts, progress: Progress) -> None:
        self.model, self.signals, self.amounts, self.progress = model, signals, amounts, progress
        self.codec = Codec(model)
        self.codes = []
        for done, signal in enumerate(signals, 1):
            self.codes.append(encode_signal(model.tokenizer, signal.read()))
            progress(done, len(signals))

    def write(self, setting: str, options: CompressOptions, *, one_each: int | None = None) -> WrittenFiles:
        """Write all signals to one file, or the first `one_each` signals to one file each. Raises UsageError."""
        coded = list(zip(self.signals, self.codes, strict=True))[:one_each]
        contents, overhead, bits, coders = [], 0, 0.0, set[str]()
        for group in [coded] if one_each is None else [[pair] for pair in coded]:
            content = io.BytesIO()
            written = self.codec.write(content, [signal for signal, _ in group], options, progress=self.progress)
            contents.append(content.getvalue())
            overhead += written.overhead_bytes
            bits += _code_bits(self.model, [codes[..., : options.codes] for _, codes in group], written.coder)
            coders.add(_CODER_TITLES[written.coder])
        sizes = [len(content) for content in contents]
        payload_bits = 8 * (sum(sizes) - overhead)
        models = sorted(coders)
        if options.lossless:
            bits += self._signal_bits()
            models.append("under the likelihood")
        entry = FileFormat(
            name=NAME,
            setting=setting,
            kind="lossless" if options.lossless else "lossy",
            signals=len(coded),
            files=len(contents),
            bytes=sum(sizes),
            overhead_bytes=overhead,
            rate=self.amounts.rate(sizes, together=one_each is None),
            metrics=self.amounts.lossless_metrics(sum(sizes)) if options.lossless else {},
            theory=Theory(bits=bits, model=" and ".join(models), gap=100 * (payload_bits - bits) / max(bits, 1.0)),
        )
        return WrittenFiles(contents, options, entry)

    def read(self, files: WrittenFiles) -> Iterator[Tensor]:
        """Decode files just written; yields signals (C, *S) int64, each compared with what its codes decode to."""
        options, count = files.options, files.entry.signals
        decoded = (
            torch.cat(list(signal.blocks), 1).long()
            for content in files.contents
            for signal in self.codec.read(Container(content, "the file"), progress=self.progress)
        )
        for x, signal, codes in zip(decoded, self.signals[:count], self.codes[:count], strict=True):
            with deterministic():
                blocks = (
                    signal.read()
                    if options.lossless
                    else decode_signal(self.model.tokenizer, codes[..., : options.codes], size=signal.size)
                )
                expected = torch.cat(list(blocks), 1).long()
            assert torch.equal(x, expected), f"The file of signal {signal.name} decodes to a different signal."
            yield x

    def check(self, files: WrittenFiles) -> FileFormat:
        """Decode and compare files without using the signals; returns their entry."""
        for _ in self.read(files):
            pass
        return files.entry

    @torch.no_grad()
    def _signal_bits(self) -> float:
        """Bits of all signals given their codes, under the likelihood."""
        tokenizer, nats = self.model.tokenizer, 0.0
        for signal, codes in zip(self.signals, self.codes, strict=True):
            x = torch.cat(list(signal.read()), 1)[None]
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
        counts = [histogram(column, n) for column, n in zip(cells.unbind(1), codebook_sizes, strict=True)]
        return len(cells) * sum(entropy_bits(count) for count in counts)
    nats = 0.0
    for _, same_shape in groupby(codes, key=lambda c: c.shape):
        for batch in torch.stack(list(same_shape)).split(_BATCH):
            nats -= float(model.prior.log_prob(batch).double().sum())
    return nats / log(2)
