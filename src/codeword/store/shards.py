"""Shards: the codes of many signals in one Parquet file, which all readers of Parquet can read.

A shard has one row group, or none if no signal could be read. `ShardInfo` is JSON under the key `codeword` of the
schema's metadata. Parquet has checksums of pages only, and some damaged footers make Arrow end the process. Therefore
the SHA-256 of each shard is in a file `<shard>.sha256` and is compared before Arrow reads the shard. A forged file may
have a correct digest, so the sizes that it claims are checked as well.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from codeword.config import validate
from codeword.config.base import Alphabet, Config
from codeword.errors import CodewordError, DataError, ModelError, UsageError, reason
from codeword.store.files import write_atomically
from codeword.store.names import MAX_TEXT
from codeword.store.pages import MAX_FOOTER_BYTES, Claims, read_claims

FORMAT: Literal[2] = 2
MAX_BYTES = 1 << 31
MAX_CODES = 1 << 28
"""Largest number of codes in a shard; as int32 they take 1 GiB."""
MAX_ROWS = 1 << 20

_MAX_NDIM = 3
_MAX_CONTAINER = 1 << 16
_KEY = b"codeword"
_DIGITS = 64
_LISTS = {"codes": pa.int32(), "grid": pa.int32(), "size": pa.int64()}
_TEXTS = ("id", "label", "source")
_SCHEMA = pa.schema(
    [("id", pa.string())]
    + [(name, pa.list_(number)) for name, number in _LISTS.items()]
    + [("label", pa.string()), ("duration_s", pa.float64()), ("source", pa.string())]
)

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Skipped(Config):
    """A signal that could not be read, with the reason as a sentence."""

    id: str
    reason: str


class ShardInfo(Config):
    """Metadata of a shard: the fingerprint of the model, the properties of its codes, and the signals.

    `part` is the SHA-256 of the listing of the signals, `skipped` the signals that could not be read, `sample_rate` is
    in Hz, or None for signals without one.
    """

    format: Literal[2] = FORMAT
    fingerprint: Sha256
    ndim: Literal[1, 2, 3]
    hop: Annotated[int, Field(ge=1, le=1 << 24)]
    codebook_sizes: Annotated[tuple[Alphabet, ...], Field(min_length=1, max_length=256)]
    sample_rate: Annotated[int, Field(ge=1)] | None
    part: Sha256
    skipped: tuple[Skipped, ...] = ()

    def duration_s(self, size: Sequence[int]) -> float | None:
        return None if self.sample_rate is None else size[0] / self.sample_rate


@dataclass(frozen=True)
class TokenRow:
    """One signal: codes (*G, K) int64, size *S, name of its class or speaker, and its origin `source`."""

    id: str
    codes: Tensor
    size: tuple[int, ...]
    label: str | None
    source: str


@dataclass(frozen=True)
class Shard:
    """Content of a file of `write_shard`."""

    info: ShardInfo
    rows: tuple[TokenRow, ...]


def shard_path(folder: Path, number: int) -> Path:
    """Path of shard `number`, counted from 0."""
    return folder / f"shard-{number:06}.parquet"


def digest_path(path: Path) -> Path:
    """Path of the file with the SHA-256 of a shard."""
    return path.with_name(f"{path.name}.sha256")


def shard_paths(path: Path) -> list[Path]:
    """The sorted shards of a folder, or `[path]` for a file. Raises DataError if there is none."""
    paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not paths or not paths[0].exists():
        raise DataError(f"{path} holds no shards of tokens; `codeword tokenize` writes them.")
    return paths


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard and its digest, each atomically; equal shards give equal bytes.

    Raises:
        UsageError: too many signals were skipped.
        CodewordError: the disk is full, or the path cannot be written to.
    """
    info = shard.info
    columns: dict[str, list[Any]] = {
        "id": [row.id for row in shard.rows],
        "codes": [row.codes.flatten().numpy().astype(np.int32) for row in shard.rows],
        "grid": [list(row.codes.shape[:-1]) for row in shard.rows],
        "size": [list(row.size) for row in shard.rows],
        "label": [row.label for row in shard.rows],
        "duration_s": [info.duration_s(row.size) for row in shard.rows],
        "source": [row.source for row in shard.rows],
    }
    text = json.dumps(info.model_dump(mode="json"))
    if len(text) > MAX_FOOTER_BYTES // 2:
        raise UsageError(f"{path} has too many unreadable signals to list; choose smaller shards, or repair the files.")
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, _SCHEMA, compression="zstd", write_page_checksum=True, store_schema=False) as writer:
        # An empty row group is legal, but `datasets` fails on it.
        if shard.rows:
            writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=len(shard.rows))
        writer.add_key_value_metadata({_KEY: text})
    write_with_digest(path, buffer.getvalue())


def write_with_digest(path: Path, content: bytes) -> None:
    """Write a file, and its SHA-256 into `digest_path(path)` in the format of `sha256sum`."""
    write_atomically(path, content)
    write_atomically(digest_path(path), f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())


def read_shard(path: Path) -> Shard:
    """Read a shard that `write_shard` wrote.

    Raises:
        DataError: the file or its digest is missing, damaged, larger than allowed, or no shard of this format.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than any shard of tokens ({MAX_BYTES:,} bytes).")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != _digest(path):
            raise DataError(
                f"{path} is damaged, or no shard of tokens: its SHA-256 is not that in {digest_path(path).name}; "
                f"write it again with `codeword tokenize`."
            )
        _check_claims(path, read_claims(content))
        # Texts are read as dictionaries, so that a long text that is in every row needs memory only once.
        with pq.ParquetFile(
            pa.BufferReader(content),
            page_checksum_verification=True,
            read_dictionary=list(_TEXTS),
            thrift_string_size_limit=MAX_FOOTER_BYTES,
            thrift_container_size_limit=_MAX_CONTAINER,
        ) as file:
            info = _info(path, file)
            table = file.read()
        table.validate(full=True)
        columns = {name: _column(table, name) for name in _SCHEMA.names}
    except CodewordError:
        raise
    except Exception as error:
        # Arrow raises many kinds of errors on invalid bytes: ArrowInvalid, OSError, KeyError, UnicodeDecodeError, ...
        raise DataError(
            f"{path} is not a readable shard of tokens ({reason(error)}); write it again with `codeword tokenize`."
        ) from error
    return Shard(info, tuple(_rows(path, info, columns)))


def check_model(path: Path, info: ShardInfo, expected: ShardInfo) -> None:
    """Raises ModelError if the shard at `path` with metadata `info` is not from the model with metadata `expected`."""
    for name in ("fingerprint", "ndim", "hop", "codebook_sizes", "sample_rate"):
        stored, needed = getattr(info, name), getattr(expected, name)
        if stored != needed:
            raise ModelError(
                f"{path} holds codes of a model with {name} {stored}, but this model has {needed}; use that model."
            )


def _digest(path: Path) -> str:
    """The SHA-256 in the file next to a shard. Raises DataError."""
    digest_file = digest_path(path)
    try:
        with digest_file.open("rb") as file:
            return file.read(_DIGITS).decode("ascii", "replace")
    except FileNotFoundError as error:
        raise DataError(
            f"{path} has no {digest_file.name} next to it, so it is no shard of tokens of format {FORMAT}; copy that "
            f"file too, or write the shards again with `codeword tokenize`."
        ) from error


def _info(path: Path, file: pq.ParquetFile) -> ShardInfo:
    """Metadata of an open file, after a check of its columns. Raises CodewordError, ValueError, KeyError."""
    schema = file.schema_arrow
    tree = json.loads(schema.metadata[_KEY])
    if (stored := tree.get("format")) != FORMAT:
        raise DataError(
            f"{path} is a shard of format {stored}, but {FORMAT} is needed; write it again with `codeword tokenize`."
        )
    info: ShardInfo = validate(ShardInfo, tree, place=str(path))
    for field in _SCHEMA:
        stored_type = schema.field(field.name).type if field.name in schema.names else None
        expected = pa.dictionary(pa.int32(), field.type) if field.name in _TEXTS else field.type
        if stored_type != expected:
            raise DataError(f"{path}: the column {field.name} is {stored_type or 'missing'}, not {expected}.")
    if len(schema) != len(_SCHEMA):
        raise DataError(f"{path} has other columns than {', '.join(_SCHEMA.names)}; it is no shard of tokens.")
    return info


def _check_claims(path: Path, claims: Claims) -> None:
    """Raises DataError if the sizes that a file claims exceed the limits of a shard."""
    if claims.groups > 1 or claims.rows > MAX_ROWS:
        raise DataError(
            f"{path} has {claims.rows:,} rows in {claims.groups:,} row groups; "
            f"a shard has at most {MAX_ROWS:,}, in one."
        )
    if (size_bytes := sum(chunk.size_bytes for chunk in claims.chunks)) > MAX_BYTES:
        raise DataError(f"{path} would unpack to {size_bytes:,} bytes; a shard has at most {MAX_BYTES:,}.")
    for chunk in claims.chunks:
        limit = MAX_CODES if chunk.column == "codes" else claims.rows * _MAX_NDIM
        if chunk.values > limit:
            raise DataError(
                f"{path} claims {chunk.values:,} values of {chunk.column}, more than {limit:,}; it is no shard of "
                f"tokens."
            )


def _column(table: pa.Table, name: str) -> list[Any]:
    """Values of a column: arrays for lists of numbers, str for texts. Raises ValueError if a value is missing."""
    values = table.column(name).combine_chunks()
    if name in _LISTS:
        numbers = values.flatten()
        if values.null_count or numbers.null_count:
            raise ValueError(f"{name} has nulls")
        ends = np.cumsum(values.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))
        return np.split(numbers.to_numpy(), ends[:-1]) if len(ends) else []
    if name not in _TEXTS:
        return list(values.to_pylist())
    texts: list[str] = values.dictionary.to_pylist()
    if any(text is not None and len(text) > MAX_TEXT for text in texts):
        raise ValueError(f"{name} has more than {MAX_TEXT} characters")
    indices = values.indices.to_pylist()
    if name != "label" and None in indices:
        raise ValueError(f"{name} has nulls")
    return [None if index is None else texts[index] for index in indices]


def _rows(path: Path, info: ShardInfo, columns: dict[str, list[Any]]) -> Iterator[TokenRow]:
    """Rows of checked columns. Raises DataError if the fields of a row contradict each other."""
    if len(set(columns["id"])) < len(columns["id"]):
        raise DataError(f"{path} has the same id twice; write it again with `codeword tokenize`.")
    for values in zip(*(columns[name] for name in _SCHEMA.names), strict=True):
        row = dict(zip(_SCHEMA.names, values, strict=True))
        signal = f"{path}: {row['id']!r}"
        size, grid = tuple(int(n) for n in row["size"]), tuple(int(n) for n in row["grid"])
        if len(size) != info.ndim or min(size) < 1 or grid != tuple(-(-n // info.hop) for n in size):
            raise DataError(f"{signal} has a grid {grid}, which is not that of size {size} at hop {info.hop}.")
        if row["duration_s"] != info.duration_s(size):
            raise DataError(f"{signal} has a duration of {row['duration_s']} s, which is not that of {size}.")
        codes: NDArray[np.int32] = row["codes"]
        if len(codes) != prod(grid) * len(info.codebook_sizes):
            raise DataError(f"{signal} has {len(codes)} codes, not {len(info.codebook_sizes)} for each of {grid}.")
        cells = torch.from_numpy(codes.astype(np.int64)).view(*grid, len(info.codebook_sizes))
        if int(cells.min()) < 0 or (cells >= torch.tensor(info.codebook_sizes)).any():
            raise DataError(f"{signal} has codes beyond the codebook of {list(info.codebook_sizes)}.")
        yield TokenRow(row["id"], cells, size, row["label"], row["source"])
