"""Encoding and decoding of files: reconstruction, voice conversion, and codes in .npz files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.arguments import check_class, check_signals, check_size
from codeword.codec import PLAIN, Search, search_blocks
from codeword.coding import decode_signal, leading_codes
from codeword.errors import DataError, UsageError
from codeword.files.describing import describe_size
from codeword.files.paths import (
    Outcome,
    StrPath,
    Targets,
    check_format,
    check_outputs,
    class_number,
    is_one_file,
    load_for,
    media_files,
)
from codeword.media import Medium, medium_of
from codeword.model import Model
from codeword.pretrained import load
from codeword.store import distinct
from codeword.store.npz import CodedSignal, read_codes, write_codes
from codeword.tokenizer import Tokenizer


def read(path: StrPath, model: StrPath | None = None, *, channel: int | None = None) -> Tensor:
    """Read a file as a signal (C, *S) of integers, with the sample rate and the values that `model` needs.

    The default is the model in the package for the medium of the file. `channel` is the number, from 1 on, of the only
    channel of a recording to read; by default all are mixed to one.

    Raises:
        UsageError: no medium has the suffix of the file, or its channels cannot be chosen.
        DataError: the file cannot be read.
    """
    config = load_for([Path(path)], model).tokenizer.config
    return torch.cat(list(medium_of(config).with_channel(channel).read(Path(path), config)), 1)


def encode(model: Model | Tokenizer, x: Tensor, *, effort: int = 1, refine: int = 0) -> Tensor:
    """Encode a signal (C, *S) of integers, of any size, to codes (*G, K) int64, in bounded memory.

    `effort` and `refine` search longer for better codes, as in `codec.Search`.

    Raises:
        UsageError: x is not such a tensor or array, or its integers are not in the range of the model.
        UnsupportedError: the model has no such search.
    """
    tokenizer = _tokenizer(model)
    x = check_signals(x, tokenizer.config, batched=False)
    return torch.cat(list(search_blocks(tokenizer, [x], Search(effort, refine=refine))))


def decode(model: Model | Tokenizer, codes: Tensor, *, size: Sequence[int], label: int | None = None) -> Tensor:
    """Decode codes (*G, K) to a signal (C, *S) of size *S, conditioned on the class `label`.

    Raises:
        UsageError: the codes are not those of a signal of this size, or there is no such class.
    """
    tokenizer = _tokenizer(model)
    check_class(label, tokenizer.classes)
    size = check_size(size, ndim=tokenizer.config.ndim)
    codes = tokenizer.check_codes(codes, size=size, batched=False)
    return torch.cat(list(decode_signal(tokenizer, codes, size=size, label=label)), 1)


@dataclass(frozen=True)
class DecodeOptions:
    """Options of decoding to files.

    Attributes:
        codes: the number of leading codes of each cell to decode from; None for all.
        speaker: the name of the class that conditions the decoder; None for the null class.
        format: the suffix of the files, without the dot; None for the default of the medium.
        force: replace files that exist; an input is never replaced.
        channel: the number, from 1 on, of the channel of recordings to encode; None to mix all to one.
        search: how the codes are found, without their bits.
    """

    codes: int | None = None
    speaker: str | None = None
    format: str | None = None
    force: bool = False
    channel: int | None = None
    search: Search = PLAIN


def reconstruct(model: StrPath, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Encode each file and decode it into the folder `out`; the results are the distances from the originals."""
    coder, outcome = _FileCoder(model, options), Outcome()
    files = media_files(inputs, outcome, coder.medium)
    targets = coder.targets(out, files)
    for path, name in files:
        with outcome.record_failure(path):
            target = targets.path(name)
            result = coder.transcode(path, target)
            distances = coder.medium.compare(path, target, coder.tokenizer.config)
            outcome.results[str(path)] = {**result, **distances}
    return outcome


def convert(model: StrPath, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Decode each file in the voice of another speaker, into the file or folder `out`."""
    coder, outcome = _FileCoder(model, options), Outcome()
    files = media_files(inputs, outcome, coder.medium)
    one_file = is_one_file(out, coder.medium, len(files) + len(outcome.failures), options.format)
    targets = coder.targets(out, files, one_file=one_file)
    for path, name in files:
        with outcome.record_failure(path):
            target = targets.path(name)
            outcome.results[str(path)] = {**coder.transcode(path, target), "speaker": options.speaker}
    return outcome


def encode_files(model: StrPath, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Write the codes of every readable file into the .npz file `out`; the results are the shapes of the codes."""
    coder, outcome = _FileCoder(model, options), Outcome()
    coded = []
    files = media_files(inputs, outcome, coder.medium)
    check_outputs([out], inputs=[path for path, _ in files], force=options.force)
    for path, name in files:
        with outcome.record_failure(path):
            size, codes, notes = coder.encode(path)
            coded.append(CodedSignal(name, size, codes))
            cells = dict(zip(coder.medium.cell_axes, codes.shape[:-1], strict=True))
            outcome.results[str(path)] = {"cells": cells, "codes_of_a_cell": codes.shape[-1], "notes": notes}
    if coded:
        codebook_sizes = coder.tokenizer.quantizer.codebook_sizes[: coder.codes]
        write_codes(out, coded, codebook_sizes=codebook_sizes, replace=options.force)
    return outcome


def decode_files(model: StrPath, codes_file: Path, out: Path, options: DecodeOptions) -> Outcome:
    """Write the signal of every entry of a .npz file of codes into the folder `out`."""
    coder, outcome = _FileCoder(model, options), Outcome()
    tokenizer, quantizer = coder.tokenizer, coder.tokenizer.quantizer
    signals = read_codes(
        codes_file, codebook_sizes=quantizer.codebook_sizes, hop=tokenizer.hop, prefix=len(quantizer.served_codes) > 1
    )
    names = distinct(signal.name for signal in signals)
    targets = coder.targets(out, [(codes_file, name) for name in names])
    for name, signal in zip(names, signals, strict=True):
        with outcome.record_failure(name):
            if len(signal.size) != tokenizer.config.ndim:
                raise DataError(
                    f"{codes_file}: {signal.name} has rank {len(signal.size)}, but this model codes "
                    f"{coder.medium.plural}."
                )
            if options.codes is not None and options.codes > signal.codes.shape[-1]:
                raise UsageError(
                    f"{codes_file} holds {signal.codes.shape[-1]} codes per cell, fewer than {options.codes}; decode "
                    f"from fewer codes."
                )
            target = targets.path(name)
            coder.decode(signal.codes, target, signal.size)
            size = describe_size(signal.size, tokenizer.config.sample_rate)
            outcome.results[name] = {"out": str(target), **size}
    return outcome


class _FileCoder:
    """Encoder and decoder of files with one model and options. Raises UsageError, UnsupportedError."""

    def __init__(self, model: StrPath, options: DecodeOptions) -> None:
        self.tokenizer = load(model).tokenizer
        self.medium: Medium = medium_of(self.tokenizer.config).with_channel(options.channel)
        self.codes = leading_codes(self.tokenizer, options.codes)
        self.search = options.search
        self.label = None if options.speaker is None else class_number(self.tokenizer, model, options.speaker)
        self.format = options.format or self.medium.formats[0]
        check_format(self.medium, self.format)
        self.force = options.force

    def targets(self, out: Path, files: Sequence[tuple[Path, str]], *, one_file: bool = False) -> Targets:
        """The output paths of inputs, given by path and name; `one_file` if `out` is no folder. Raises UsageError."""
        names, inputs = [name for _, name in files], [path for path, _ in files]
        return Targets(out, f".{self.format}", names, inputs=inputs, force=self.force, one_file=one_file)

    def encode(self, path: Path) -> tuple[tuple[int, ...], Tensor, list[str]]:
        """The size *S of the signal in a file, the first `self.codes` codes (*G, K) of its cells, and notes on it."""
        config, notes = self.tokenizer.config, list[str]()
        size = self.medium.size(path, config)
        found = search_blocks(
            self.tokenizer, self.medium.read(path, config, notes), self.search, codes=self.codes, label=self.label
        )
        return size, torch.cat(list(found)), notes

    def decode(self, codes: Tensor, target: Path, size: tuple[int, ...]) -> None:
        blocks = decode_signal(self.tokenizer, codes[..., : self.codes], size=size, label=self.label)
        self.medium.write(target, blocks, self.tokenizer.config, replace=self.force)

    def transcode(self, path: Path, target: Path) -> dict[str, Any]:
        """Encode the file `path` and decode it to `target`; returns the output, its size and the notes on `path`."""
        size, codes, notes = self.encode(path)
        self.decode(codes, target, size)
        return {"out": str(target), **describe_size(size, self.tokenizer.config.sample_rate), "notes": notes}


def _tokenizer(model: Model | Tokenizer) -> Tokenizer:
    return model.tokenizer if isinstance(model, Model) else model
