"""Lengths of the recordings below a folder: read once, in parallel, and cached."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codeword.data.files.root import cache_folder
from codeword.errors import CodewordError, DataError
from codeword.media.audio import read_header, resampled_length
from codeword.store import write_atomically

_log = logging.getLogger("codeword")

# Opening a file spends most of its time waiting for the disk.
_THREADS = 16


def recording_lengths(folder: Path, names: Sequence[str], *, sample_rate: int) -> dict[str, int]:
    """Lengths in samples at `sample_rate` of the recordings `names`, paths below `folder`; broken ones are left out.

    The result is cached as JSON in the user's cache folder, because `folder` may be read-only; a file is opened again
    only if it is new or its size has changed.
    """
    place = cache_folder() / "manifests" / f"{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}.json"
    known = _read(place)
    with ThreadPoolExecutor(_THREADS) as pool:
        rows = dict(zip(names, pool.map(lambda name: _row(folder / name, known.get(name)), names), strict=True))
    if any(known.get(name) != row for name, row in rows.items()):
        _write(place, folder, known | rows)
    samples = {name: resampled_length(frames, rate, sample_rate) for name, (_, frames, rate) in rows.items() if frames}
    return {name: n for name, n in samples.items() if n}


# Size in bytes, frames and sample rate of a file; all are 0 for a broken one.
_Row = tuple[int, int, int]


def _row(path: Path, known: _Row | None) -> _Row:
    try:
        size = path.stat().st_size
        if known is not None and known[0] == size and known[1]:
            return known
        header = read_header(path)
    except (OSError, DataError):
        return (0, 0, 0)
    return (size, header.frames, header.sample_rate)


def _read(place: Path) -> dict[str, _Row]:
    """The rows that an earlier run wrote; a missing or damaged manifest counts as empty."""
    try:
        found = json.loads(place.read_bytes())["files"]
        rows = {str(name): (int(size), int(frames), int(rate)) for name, (size, frames, rate) in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: row for name, row in rows.items() if min(row) > 0}


def _write(place: Path, folder: Path, rows: dict[str, _Row]) -> None:
    content = {"folder": os.fsdecode(folder), "files": {name: row for name, row in rows.items() if row[1]}}
    try:
        write_atomically(place, json.dumps(content).encode())
    except CodewordError as error:
        _log.info("%s The lengths will be read again next time.", error)
