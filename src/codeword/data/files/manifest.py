"""How long every recording below a folder is: measured once, in parallel, and remembered."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from codeword.data.files.root import cache_folder
from codeword.data.files.tree import some
from codeword.errors import CodewordError, DataError
from codeword.media.audio import Header, read_header, resampled_length
from codeword.store import write_atomically

_log = logging.getLogger("codeword")

# Opening a file waits for the disk most of the time.
_THREADS = 16


@dataclass(frozen=True)
class Measured:
    """The good recordings' lengths by name, at the rate that was asked for, and the names of the broken."""

    samples: dict[str, int]
    skipped: tuple[str, ...]


def measure(folder: Path, names: Sequence[str], *, sample_rate: int) -> Measured:
    """The length of each of `names`, paths below `folder`.

    What is found is kept as JSON in the user's cache, because the folder may be read-only; a file is opened again only
    when it is new or its size has changed. Broken files are named in one warning.
    """
    place = cache_folder() / "manifests" / f"{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}.json"
    known = _read(place)
    with ThreadPoolExecutor(_THREADS) as pool:
        rows = dict(zip(names, pool.map(lambda name: _row(folder / name, known.get(name)), names), strict=True))
    if any(known.get(name) != row for name, row in rows.items()):
        _write(place, folder, known | rows)
    samples = {name: resampled_length(frames, rate, sample_rate) for name, (_, frames, rate) in rows.items() if frames}
    skipped = tuple(name for name in names if not samples.get(name))
    if skipped:
        _log.warning(
            "%d of %d recordings in %s cannot be read and are skipped: %s.",
            len(skipped), len(names), folder, some(skipped),
        )  # fmt: skip
    return Measured({name: n for name, n in samples.items() if n}, skipped)


# Size in bytes, frames, and rate of a file; a broken one has no frames.
_Row = tuple[int, int, int]


def _row(path: Path, known: _Row | None) -> _Row:
    try:
        size = path.stat().st_size
        if known is not None and known[0] == size and known[1]:
            return known
        header: Header = read_header(path)
    except (OSError, DataError):
        return (0, 0, 0)
    return (size, header.frames, header.sample_rate)


def _read(place: Path) -> dict[str, _Row]:
    """What an earlier run found; a manifest that is missing or damaged is simply made again."""
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
        _log.info("%s The recordings will be measured again next time.", error)
