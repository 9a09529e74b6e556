"""Lengths of the recordings below a folder, read in parallel and cached."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codeword.data.files.root import cache_folder
from codeword.errors import CodewordError, DataError
from codeword.media.audio_files import read_header
from codeword.media.waves import resampled_length
from codeword.store import write_atomically

_log = logging.getLogger("codeword")

# Opening a file spends most of its time waiting for the disk.
_THREADS = 16


def recording_lengths(folder: Path, names: Sequence[str], *, sample_rate: int) -> dict[str, int]:
    """Lengths of recordings in samples at `sample_rate`, by name; broken recordings are not in the result.

    `names` are paths relative to `folder`. The lengths are cached as JSON in the user's cache folder, because `folder`
    may be read-only; a file is opened again only if it is new, its size has changed, or it was broken.
    """
    manifest = cache_folder() / "manifests" / f"{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}.json"
    cached = _read(manifest)
    with ThreadPoolExecutor(_THREADS) as pool:
        rows = dict(zip(names, pool.map(lambda name: _row(folder / name, cached.get(name)), names), strict=True))
    good = {name: row for name, row in (cached | rows).items() if row is not None}
    if good != cached:
        _write(manifest, folder, good)
    samples = {name: resampled_length(row[1], row[2], sample_rate) for name, row in rows.items() if row is not None}
    return {name: n for name, n in samples.items() if n}


# Size in bytes, frames and sample rate of a file, all above 0.
_Row = tuple[int, int, int]


def _row(path: Path, cached: _Row | None) -> _Row | None:
    """The row of a file, or None if the file is broken."""
    try:
        size = path.stat().st_size
        if cached is not None and cached[0] == size:
            return cached
        header = read_header(path)
    except (OSError, DataError):
        return None
    return (size, header.frames, header.sample_rate)


def _read(manifest: Path) -> dict[str, _Row]:
    """The rows of an earlier run; no rows if the manifest is missing or damaged."""
    try:
        files = json.loads(manifest.read_bytes())["files"]
        rows = {str(name): (int(size), int(frames), int(rate)) for name, (size, frames, rate) in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: row for name, row in rows.items() if min(row) > 0}


def _write(manifest: Path, folder: Path, rows: dict[str, _Row]) -> None:
    content = {"folder": os.fsdecode(folder), "files": rows}
    try:
        write_atomically(manifest, json.dumps(content).encode())
    except CodewordError as error:
        _log.info("%s The lengths will be read again next time.", error)
