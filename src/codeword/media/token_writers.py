"""Files of several signals of tokens, written again as they were before compression: .npy, .npz and shards.

The side data of the first signal hold what a file has besides its tokens and the names of its signals.
"""

import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from codeword.config import TokenizerConfig, validate_json
from codeword.errors import DataError, RecipeError
from codeword.media.base import SEVERAL, Side, Signal
from codeword.media.token_forms import ArrayFile, CodesFile, Integers, ShardFile, TokenFile
from codeword.store import atomic_file, unescape_name
from codeword.store.npz import FORMAT

SIDE = "tokens"
"""The name of the side data."""

_MAX_RECORD_BYTES = 1 << 26


class Arrays(msgspec.Struct, frozen=True, tag="arrays", array_like=True):
    """The arrays of a .npy or .npz file: names, and numbers of signals; 0 for one without an axis for this number."""

    arrays: list[tuple[str, int]]


class Codes(msgspec.Struct, frozen=True, tag="codes", array_like=True):
    """The file of `codeword encode` without its codes and names."""

    sizes: list[list[int]]
    codebook_sizes: list[int]


class Rows(msgspec.Struct, frozen=True, tag="rows", array_like=True):
    """A shard without its codes and ids: its metadata as JSON; size, label and source of each row."""

    info: str
    rows: list[tuple[list[int], str | None, str]]


Record = Arrays | Codes | Rows


def pack_record(file: TokenFile) -> Side:
    """The side data of the first signal of a file."""
    record: Record
    if isinstance(file, ShardFile):
        rows = [(list(row.size), row.label, row.source) for row in file.shard.rows]
        record = Rows(file.shard.info.model_dump_json(), rows)
    elif isinstance(file, CodesFile):
        record = Codes([list(size) for size in file.signal_sizes], list(file.codebook_sizes))
    else:
        assert isinstance(file, ArrayFile)
        record = Arrays([(array.stored.name, array.shape[0] * array.together) for array in file.arrays])
    return {SIDE: zlib.compress(msgspec.msgpack.encode(record), 9)}


def write_tokens(path: Path, signals: Iterator[Signal], config: TokenizerConfig, *, replace: bool) -> None:
    """Write the signals of one file, of which the first has the side data of `pack_record`.

    Raises:
        DataError: the side data are lost, or are not those of these signals.
        CodewordError: the path cannot be written, or a file exists there and `replace` is False.
    """
    first = next(signals)
    signals = chain([first], signals)
    match _read_record(first.side(), path):
        case Rows() as rows:
            _write_shard(path, rows, signals, config)
        case Codes() as codes:
            _write_codes(path, codes, signals, config, replace=replace)
        case Arrays(arrays=[("", count)]):
            with atomic_file(path, replace=replace) as file:
                _write_array(file, path, count, signals, config)
                _check_end(signals, path)
        case Arrays(arrays=arrays):
            with atomic_file(path, replace=replace) as file, zipfile.ZipFile(file, "w") as archive:
                for name, count in arrays:
                    with _member(archive, name) as stream:
                        _write_array(stream, path, count, signals, config)
                _check_end(signals, path)


def rows_of(block: Tensor, config: TokenizerConfig) -> Integers:
    """A block (C, n, ...), or (1, n, ...) for equal channels, to 16-bit integers (n, ..., K); a K of 1 is left out."""
    tokens: Integers = block.expand(config.channels, *block.shape[1:]).movedim(0, -1).numpy().astype(np.uint16)
    return tokens[..., 0] if config.channels == 1 else tokens


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str = "<u2") -> None:
    """Write the header of a .npy file, which has the same length for every length of the first axis."""
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})


def _write_array(file: IO[bytes], path: Path, count: int, signals: Iterator[Signal], config: TokenizerConfig) -> None:
    """Write the next `count` signals, of one size, as one array; for a `count` of 0 one signal without an axis more."""
    taken, size = 0, None
    for signal in islice(signals, max(count, 1)):
        if size is None:
            size = signal.size
            cell = (config.channels,) if config.channels > 1 else ()
            write_header(file, (*([count] if count else []), *size, *cell))
        if signal.size != size:
            raise _forged(path)
        for block in signal.read():
            file.write(rows_of(block, config).tobytes())
        taken += 1
    if taken != max(count, 1):
        raise _forged(path)


def _write_codes(
    path: Path, record: Codes, signals: Iterator[Signal], config: TokenizerConfig, *, replace: bool
) -> None:
    names = []
    with atomic_file(path, replace=replace) as file, zipfile.ZipFile(file, "w") as archive:
        for i, signal in enumerate(signals):
            names.append(_name(signal))
            with _member(archive, f"codes_{i}") as stream:
                write_header(stream, (*signal.size, config.channels), "<i4")
                for block in signal.read():
                    stream.write(block.expand(config.channels, *block.shape[1:]).movedim(0, -1).int().numpy().tobytes())
        if len(names) != len(record.sizes) or any(len(size) != config.ndim for size in record.sizes):
            raise _forged(path)
        others: dict[str, Any] = {
            "format": np.array(FORMAT),
            "names": np.array(names),
            "sizes": np.array(record.sizes, dtype=np.int64),
            "codebook_sizes": np.array(record.codebook_sizes, dtype=np.int64),
        }
        for name, array in others.items():
            with _member(archive, name) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _write_shard(path: Path, record: Rows, signals: Iterator[Signal], config: TokenizerConfig) -> None:
    # Not above, because only shards need pyarrow.
    from codeword.store.shards import MAX_CODES, Shard, ShardInfo, TokenRow, write_shard

    try:
        info: ShardInfo = validate_json(ShardInfo, record.info, place=str(path))
    except RecipeError as error:
        raise _forged(path) from error
    rows, total = [], 0
    for signal, (size, label, source) in zip(islice(signals, len(record.rows)), record.rows, strict=False):
        blocks = [x.expand(config.channels, *x.shape[1:]).movedim(0, -1) for x in signal.read()]
        rows.append(TokenRow(_name(signal), torch.cat(blocks).long(), tuple(size), label, source))
        total += rows[-1].codes.numel()
        if total > MAX_CODES:
            raise _forged(path)
    if len(rows) != len(record.rows):
        raise _forged(path)
    _check_end(signals, path)
    write_shard(path, Shard(info, tuple(rows)))


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open an array of an .npz file for writing; without the time of day, so that equal arrays give equal bytes."""
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(member, "w", force_zip64=True)


def _name(signal: Signal) -> str:
    """The name of a signal in its file."""
    return unescape_name(signal.name.partition(SEVERAL)[2])


def _read_record(side: Side, path: Path) -> Record:
    """The record in side data. Raises DataError."""
    if SIDE not in side:
        raise DataError(f"What {path} needs besides its tokens is lost; choose the format npy, for a file a signal.")
    try:
        unpack = zlib.decompressobj()
        content = unpack.decompress(side[SIDE], _MAX_RECORD_BYTES)
        if not unpack.eof:
            raise ValueError("it is too large")
        record: Record = msgspec.msgpack.decode(content, type=Record)
    except (ValueError, zlib.error) as error:  # msgspec's own errors are ValueErrors.
        raise _forged(path) from error
    return record


def _check_end(signals: Iterator[Signal], path: Path) -> None:
    """Raises DataError if there are more signals, before the file appears."""
    if next(signals, None) is not None:
        raise _forged(path)


def _forged(path: Path) -> DataError:
    return DataError(f"The signals of {path} and their side data do not fit together; Codeword did not write them.")
