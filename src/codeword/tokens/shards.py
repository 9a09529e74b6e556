"""Codes of many signals as one Parquet file, which any reader of Parquet takes and ours never trusts.

A shard has one row group, or none where none of its signals could be read. What made it stands as JSON under the key
`codeword` of the schema's metadata. Parquet has checksums of pages only, and Arrow ends the process over some damaged
footers; so the JSON ends with the SHA-256 of the file, taken with zeros in its own place, which is compared first.
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

from codeword.config import validate_json
from codeword.config.base import Alphabet, Config
from codeword.errors import CodewordError, DataError, ModelError, UsageError
from codeword.store import write_atomically
from codeword.tokens.bounds import MAX_FOOTER_BYTES, Measured, measure

MAX_BYTES = 1 << 31
MAX_CODES = 1 << 28
"""In one shard; as int32 they take a gigabyte."""
MAX_ROWS = 1 << 20
MAX_TEXT = 4096
"""Characters of an id, a label or a source."""

_MAX_NDIM = 3
_KEY = b"codeword"
_MARK = b'"sha256": "'
_ZEROS = b"0" * 64
_LISTS = {"codes": pa.int32(), "grid": pa.int32(), "size": pa.int64()}
_TEXTS = ("id", "label", "source")
_SCHEMA = pa.schema(
    [("id", pa.string())]
    + [(name, pa.list_(number)) for name, number in _LISTS.items()]
    + [("label", pa.string()), ("duration_s", pa.float64()), ("source", pa.string())]
)

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Skipped(Config):
    """A signal that could not be read, and why, in a sentence."""

    id: str
    reason: str


class ShardInfo(Config):
    """What a shard says of itself: whose codes it holds (`fingerprint` is the model's), and of which signals.

    `part` is the SHA-256 of the listing of its signals, `sample_rate` is in Hz, None for images.
    """

    format: Literal[1] = 1
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
    """One signal: its codes (*G, K) integers, its size *S, the name of its class or speaker, where it came from."""

    id: str
    codes: Tensor
    size: tuple[int, ...]
    label: str | None
    source: str


@dataclass(frozen=True)
class Shard:
    """What a file of `write_shard` holds."""

    info: ShardInfo
    rows: tuple[TokenRow, ...]


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number`, from 0 on, lies."""
    return folder / f"shard-{number:06}.parquet"


def shard_paths(place: Path) -> list[Path]:
    """The shards of a folder in order, or the one that `place` is. Raises DataError where there is none."""
    paths = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    if not paths or not paths[0].exists():
        raise DataError(f"{place} holds no shards of tokens; `codeword tokenize` writes them.")
    return paths


def write_shard(path: Path, shard: Shard) -> None:
    """Write a shard, whole or not at all: equal shards are equal bytes.

    Raises:
        UsageError: too many signals were skipped.
        CodewordError: the disk is full, or the place cannot be written to.
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
    about = {**info.model_dump(mode="json"), "sha256": _ZEROS.decode()}
    said = json.dumps(about)
    if len(said) > MAX_FOOTER_BYTES // 2:
        raise UsageError(f"{path} has too many broken signals to tell of; choose fewer to a shard, or mend them.")
    buffer = io.BytesIO()
    # Without Arrow's own copy of the schema: it would repeat the digest in base64.
    with pq.ParquetWriter(buffer, _SCHEMA, compression="zstd", write_page_checksum=True, store_schema=False) as writer:
        # An empty row group is legal, but `datasets` stumbles over it.
        if shard.rows:
            writer.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=len(shard.rows))
        writer.add_key_value_metadata({_KEY: said})
    write_atomically(path, seal(buffer.getvalue()))


def read_shard(path: Path) -> Shard:
    """Read a file of `write_shard`: exactly the rows that were written, or none.

    Raises:
        DataError: the file is missing, damaged, larger than any honest one, or no shard of ours.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than any shard of tokens ({MAX_BYTES:,} bytes).")
        content = path.read_bytes()
        start = _digest_place(content)
        if content[start : start + len(_ZEROS)] != _digest(content, start):
            raise DataError(
                f"{path} is damaged, or no shard of tokens: it has not the SHA-256 that it says; "
                f"write it again with `codeword tokenize`."
            )
        _must_be_bounded(path, measure(content))
        # Texts as dictionaries: a long one that every row repeats takes its memory once.
        with pq.ParquetFile(
            pa.BufferReader(content), page_checksum_verification=True, read_dictionary=list(_TEXTS)
        ) as file:
            info = _info(path, file)
            table = file.read()
        table.validate(full=True)
        columns = {name: _column(table, name) for name in _SCHEMA.names}
    except CodewordError:
        raise
    except Exception as error:
        # Arrow raises whatever the broken bytes led to: ArrowInvalid, OSError, KeyError, UnicodeDecodeError, ...
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is not a readable shard of tokens ({reason:.200}); write it again with `codeword tokenize`."
        ) from error
    return Shard(info, tuple(_rows(path, info, columns)))


def seal(content: bytes) -> bytes:
    """A file whose metadata ends with `"sha256": "..."`, with the right digits there."""
    start = _digest_place(content)
    return content[:start] + _digest(content, start) + content[start + len(_ZEROS) :]


def must_be_codes_of(path: Path, info: ShardInfo, like: ShardInfo) -> None:
    """Make sure that a shard holds codes of a model, whose own shards would say what `like` says.

    Raises:
        ModelError: another model made them.
    """
    for name in ("fingerprint", "ndim", "hop", "codebook_sizes", "sample_rate"):
        theirs, ours = getattr(info, name), getattr(like, name)
        if theirs != ours:
            raise ModelError(
                f"{path} holds codes of a model with {name} {theirs}, but this one's is {ours}; use its own."
            )


def _digest_place(content: bytes) -> int:
    """Where in a file its own digest stands: its last mention. Somewhere else where there is none."""
    return content.rfind(_MARK) + len(_MARK)


def _digest(content: bytes, start: int) -> bytes:
    """SHA-256, as hex digits, of a file with zeros for its own digest, which starts at `start`."""
    whole = memoryview(content)
    digest = hashlib.sha256(whole[:start])
    digest.update(_ZEROS)
    digest.update(whole[start + len(_ZEROS) :])
    return digest.hexdigest().encode()


def _info(path: Path, file: pq.ParquetFile) -> ShardInfo:
    """What the file says of itself. Raises CodewordError, ValueError, KeyError."""
    schema = file.schema_arrow
    about = json.loads(schema.metadata[_KEY])
    del about["sha256"]
    info: ShardInfo = validate_json(ShardInfo, json.dumps(about), place=str(path))
    for field in _SCHEMA:
        found = schema.field(field.name).type if field.name in schema.names else None
        wanted = pa.dictionary(pa.int32(), field.type) if field.name in _TEXTS else field.type
        if found != wanted:
            raise DataError(f"{path}: the column {field.name} is {found or 'missing'}, not {wanted}.")
    if len(schema) != len(_SCHEMA):
        raise DataError(f"{path} has columns besides {', '.join(_SCHEMA.names)}; it is no shard of ours.")
    return info


def _must_be_bounded(path: Path, claimed: Measured) -> None:
    """Before anything is unpacked. Raises DataError."""
    if claimed.groups > 1 or claimed.rows > MAX_ROWS:
        raise DataError(
            f"{path} has {claimed.rows:,} rows in {claimed.groups:,} row groups; "
            f"a shard has at most {MAX_ROWS:,}, in one."
        )
    if (size_bytes := sum(chunk.size_bytes for chunk in claimed.chunks)) > MAX_BYTES:
        raise DataError(f"{path} would unpack to {size_bytes:,} bytes; shards are held to {MAX_BYTES:,}.")
    for chunk in claimed.chunks:
        most = MAX_CODES if chunk.column == "codes" else claimed.rows * _MAX_NDIM
        if chunk.values > most:
            raise DataError(
                f"{path} claims {chunk.values:,} values of {chunk.column}, more than {most:,}; it is no shard of ours."
            )


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column's values: lists of numbers as arrays, texts as str. Raises ValueError."""
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
    """Raises DataError where a row contradicts itself: the digest is right, so somebody meant it."""
    if len(set(columns["id"])) < len(columns["id"]):
        raise DataError(f"{path} has the same id twice; write it again with `codeword tokenize`.")
    for values in zip(*(columns[name] for name in _SCHEMA.names), strict=True):
        row = dict(zip(_SCHEMA.names, values, strict=True))
        place = f"{path}: {row['id']!r}"
        size, grid = tuple(int(n) for n in row["size"]), tuple(int(n) for n in row["grid"])
        if len(size) != info.ndim or min(size) < 1 or grid != tuple(-(-n // info.hop) for n in size):
            raise DataError(f"{place} has a grid {grid}, which is not that of size {size} at hop {info.hop}.")
        if row["duration_s"] != info.duration_s(size):
            raise DataError(f"{place} has a duration of {row['duration_s']} s, which is not that of {size}.")
        codes: NDArray[np.int32] = row["codes"]
        if len(codes) != prod(grid) * len(info.codebook_sizes):
            raise DataError(f"{place} has {len(codes)} codes, not {len(info.codebook_sizes)} for each of {grid}.")
        cells = torch.from_numpy(codes.astype(np.int64)).view(*grid, len(info.codebook_sizes))
        if int(cells.min()) < 0 or (cells >= torch.tensor(info.codebook_sizes)).any():
            raise DataError(f"{place} has codes beyond the codebook of {list(info.codebook_sizes)}.")
        yield TokenRow(row["id"], cells, size, row["label"], row["source"])
