"""A data set to a folder of shards: divided by its listing alone, each shard made whole or not at all.

So it can be killed at any time and started again: what is finished is passed over, and clean runs and interrupted ones
end with the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from codeword.config import validate_json
from codeword.config.base import Config
from codeword.errors import UsageError
from codeword.model import Model
from codeword.store import MAX_CONFIG_BYTES, write_json
from codeword.tokens.inputs import Item
from codeword.tokens.making import Job, Made, Part
from codeword.tokens.running import ENGINES
from codeword.tokens.shards import MAX_ROWS, Sha256, ShardInfo, shard_path

MANIFEST_FILE = "tokens.json"
PART_BYTES = 1 << 30
"""What the signals of one shard take on disk at most, where they are several: it bounds what a kill costs."""
SHARD_ITEMS = {1: 200, 2: 1000}
"""By the rank of signals: recordings are longer than images are large."""


class Manifest(Config):
    """What a folder of shards is of: a model, a listing (its SHA-256), and how the listing is divided."""

    format: Literal[2] = 2
    fingerprint: Sha256
    listing: Sha256
    signals: Annotated[int, Field(ge=0)]
    shard_items: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    shards: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Summary:
    """What lies in the folder now; `skipped` says of each signal that could not be read why, by id."""

    shards: int
    signals: int
    codes: int
    skipped: dict[str, str] = field(default_factory=dict)


def tokenize(
    place: str | Path,
    items: Sequence[Item],
    out: Path,
    *,
    shard_items: int | None = None,
    workers: int = 1,
    engine: str = "local",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Write the codes of all items, by the model at `place`, as shards into the folder `out`, or finish doing so.

    `workers` processes work on it, one shard each at a time; `engine` is "local" or "ray". `progress` is told how many
    items are done, and of how many.

    Raises:
        UsageError: the folder holds something else, or an argument is out of range.
        CodewordError: the model cannot be read, or the folder not be written.
    """
    model = Model.load(place)
    info = info_of(model)
    shard_items = SHARD_ITEMS[info.ndim] if shard_items is None else shard_items
    if not 1 <= shard_items <= MAX_ROWS:
        raise UsageError(f"--shard-items must be 1 to {MAX_ROWS:,}, not {shard_items:,}.")
    if workers < 1:
        raise UsageError(f"--workers must be 1 or more, not {workers}.")
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine!r}; there are {', '.join(ENGINES)}.")
    parts = divide(items, shard_items=shard_items)
    _claim(
        out,
        Manifest(
            fingerprint=model.fingerprint,
            listing=_sha256([part.digest for part in parts]),
            signals=len(items),
            shard_items=shard_items,
            shards=len(parts),
        ),
    )
    job = Job(str(place), str(out), info)
    made: list[Made] = []
    skipped: dict[str, str] = {}
    done = 0
    for shard in ENGINES[engine](job, parts, workers):
        made.append(shard)
        done += len(parts[shard.number].items)
        progress(done, len(items))
    for shard in sorted(made, key=lambda shard: shard.number):
        skipped |= {signal.id: signal.reason for signal in shard.skipped}
    return Summary(len(made), sum(s.signals for s in made), sum(s.codes for s in made), skipped)


def info_of(model: Model) -> ShardInfo:
    """What every shard of this model's codes says, but for `part` and `skipped`."""
    config = model.tokenizer.config
    return ShardInfo(
        fingerprint=model.fingerprint,
        ndim=config.ndim,
        hop=model.tokenizer.hop,
        codebook_sizes=model.tokenizer.quantizer.codebook_sizes,
        sample_rate=config.sample_rate,
        part=_sha256([]),
    )


def divide(items: Sequence[Item], *, shard_items: int) -> list[Part]:
    """Neighbours into parts of so many items, or fewer where these are large: what each shard is to hold."""
    held: list[list[Item]] = []
    size_bytes = 0
    for item in items:
        if not held or len(held[-1]) == shard_items or size_bytes + item.size_bytes > PART_BYTES:
            held.append([])
            size_bytes = 0
        held[-1].append(item)
        size_bytes += item.size_bytes
    return [
        Part(number, tuple(mine), _sha256([[i.id, i.source, i.size_bytes] for i in mine]))
        for number, mine in enumerate(held)
    ]


def read_manifest(out: Path) -> Manifest | None:
    """What a folder of shards is of, or None where it does not say. Raises CodewordError."""
    path = out / MANIFEST_FILE
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UsageError(f"{path} is larger than any manifest; it is not one of ours.")
        manifest: Manifest = validate_json(Manifest, path.read_bytes(), place=str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    return manifest


def _claim(out: Path, wanted: Manifest) -> None:
    """Make `out` a folder for this manifest, or make sure that it is. Raises UsageError."""
    found = read_manifest(out)
    if found is None:
        if any(out.glob("*.parquet")):
            raise UsageError(f"{out} holds Parquet files, but no {MANIFEST_FILE}; choose another --out.")
        write_json(out / MANIFEST_FILE, wanted.model_dump(mode="json"))
    elif found != wanted:
        raise UsageError(f"{out} {_difference(found, wanted)}; choose another --out.")
    # What a kill left behind, which nobody will finish.
    for left in (f".{MANIFEST_FILE}.*", f".{shard_path(out, 0).stem[:6]}*.parquet.*"):
        for path in out.glob(left):
            path.unlink(missing_ok=True)


def _difference(found: Manifest, wanted: Manifest) -> str:
    if found.fingerprint != wanted.fingerprint:
        return f"holds tokens of the model with fingerprint {found.fingerprint}, but this one's is {wanted.fingerprint}"
    if found.shard_items != wanted.shard_items:
        return f"was begun with --shard-items {found.shard_items}, not {wanted.shard_items}"
    return (
        f"was begun with another listing ({found.signals:,} signals, SHA-256 {found.listing[:12]}...) than the data "
        f"gives now ({wanted.signals:,}, {wanted.listing[:12]}...)"
    )


def _sha256(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()
