"""Compressed files before their model is loaded."""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codeword.codec import Container
from codeword.codec.format import PAIR_MAGIC
from codeword.codec.pair_format import MAX_PAIR_BYTES, unpack_pair
from codeword.errors import DataError
from codeword.media.facts import AXES
from codeword.store import distinct


def describe_size(size: Sequence[int], sample_rate: int | None) -> dict[str, Any]:
    """The size *S of a signal by the names of its axes, and its length in seconds if it has a sample rate."""
    named: dict[str, Any] = {"size": dict(zip(AXES[len(size)], size, strict=True))}
    return named if sample_rate is None else named | {"seconds": size[0] / sample_rate}


def describe_compressed(path: Path) -> dict[str, Any]:
    """The header of a compressed file as a JSON object. Raises DataError."""
    with open_bytes(path) as content:
        if content[: len(PAIR_MAGIC)] == PAIR_MAGIC:
            return _describe_pair(content[: MAX_PAIR_BYTES + 1], str(path))
        container = Container(content, str(path))
        header = container.header
        return {
            "holds": "compressed signals",
            "bytes": len(container.content),
            "format_version": container.version,
            "header_damaged": container.header_is_damaged,
            "model": header.fingerprint.hex(),
            "coder": header.coder,
            "lossless": header.lossless,
            "codes_of_a_cell": header.codes,
            "sample_rate": header.sample_rate,
            "signals": {
                name: describe_size(entry.size, header.sample_rate)
                for name, entry in zip(distinct(e.name for e in header.entries), header.entries, strict=True)
            },
        }


def _describe_pair(content: bytes, name: str) -> dict[str, Any]:
    """The header of the file of a pair as a JSON object. Raises DataError."""
    header, payload = unpack_pair(content, name)
    return {
        "holds": "a compressed pair",
        "bytes": len(content),
        "payload_bytes": len(payload),
        "model": header.fingerprint.hex(),
        "signals": {
            name: describe_size(size, None) for name, size in zip(distinct(header.names), header.sizes, strict=True)
        },
    }


@contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open a compressed file as a memory map. Raises DataError."""
    with open_bytes(path) as content:
        yield Container(content, str(path))


@contextmanager
def open_bytes(path: Path) -> Iterator[mmap.mmap]:
    """Open a file as a memory map. Raises DataError."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except ValueError as error:  # An empty file cannot be mapped.
        raise DataError(f"{path} is empty; copy it again.") from error
    with content:
        yield content
