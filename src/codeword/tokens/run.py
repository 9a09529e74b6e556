"""Runs of `tokenize`: encode a data set to a folder of shards, each of which is written atomically.

The division into shards depends only on the listing of the data set. A run can be killed at any time and started again:
it keeps the finished shards, and its result has the same bytes as that of an uninterrupted run.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from codeword.codec import PLAIN, Search
from codeword.codec.search import MAX_REFINE
from codeword.coding import deterministic
from codeword.config import validate
from codeword.config.base import Config
from codeword.data.items import Item
from codeword.engines import check_engine, run_jobs
from codeword.errors import DataError, ModelError, UsageError
from codeword.media import medium_of
from codeword.model import Model
from codeword.pretrained import load
from codeword.store import MAX_CONFIG_BYTES, locked, write_json
from codeword.store.shards import (
    FORMAT,
    MAX_CODES,
    MAX_ROWS,
    Sha256,
    Shard,
    ShardInfo,
    Skipped,
    TokenRow,
    read_shard,
    shard_path,
    write_shard,
)
from codeword.tokenizer import MAX_EFFORT, Tokenizer
from codeword.tokens.encoding import encode_items

MANIFEST_FILE = "tokens.json"
PART_BYTES = 1 << 30
"""Largest size on disk of the signals of one shard with several signals. It limits the work that a killed run loses."""


class Manifest(Config):
    """Identity of a folder of shards: the model, the SHA-256 of the data's listing, and the division into shards."""

    format: Literal[2] = FORMAT
    fingerprint: Sha256
    listing: Sha256
    signals: Annotated[int, Field(ge=0)]
    shard_items: Annotated[int, Field(ge=1, le=MAX_ROWS)]
    shards: Annotated[int, Field(ge=0)]
    # Left out if they are the default, so that older manifests are equal.
    effort: Annotated[int, Field(ge=1, le=MAX_EFFORT, exclude_if=lambda effort: effort == 1)] = 1
    refine: Annotated[int, Field(ge=0, le=MAX_REFINE, exclude_if=lambda refine: not refine)] = 0


@dataclass(frozen=True)
class Summary:
    """Content of a finished folder; `skipped` maps the id of each unreadable signal to the reason."""

    shards: int
    signals: int
    codes: int
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """Arguments of all shards of a run: path of the model, folder of the shards, metadata of the shards, search."""

    model: str
    folder: str
    info: ShardInfo
    search: Search = PLAIN


@dataclass(frozen=True)
class Part:
    """The items of one shard; `digest` is the SHA-256 of their listing."""

    number: int
    items: tuple[Item, ...]
    digest: str


@dataclass(frozen=True)
class ShardSummary:
    """Content of a shard on disk: numbers of its signals and codes, and the signals that could not be read."""

    number: int
    signals: int
    codes: int
    skipped: tuple[Skipped, ...]


def tokenize(
    name_or_path: str | Path,
    items: Sequence[Item],
    out: Path,
    *,
    shard_items: int | None = None,
    workers: int = 1,
    engine: str = "local",
    effort: int = 1,
    refine: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Encode all items with the model `name_or_path` to shards in the folder `out`, or continue an earlier run.

    Each of `workers` processes writes one shard at a time; `engine` is "local" or "ray". `progress` receives the
    numbers of finished and of all items. `effort` and `refine` search longer for better codes, as in `codec.Search`.

    Raises:
        UsageError: the folder belongs to another run, another process writes to it, or an argument is out of range.
        CodewordError: the model cannot be read, or the folder cannot be written.
    """
    search = Search(effort, refine=refine)
    model = load(name_or_path)
    config = model.tokenizer.config
    shard_items = medium_of(config).shard_items if shard_items is None else shard_items
    if not 1 <= shard_items <= MAX_ROWS:
        raise UsageError(f"A shard holds 1 to {MAX_ROWS:,} items, not {shard_items:,}; change `shard_items`.")
    check_engine(engine, workers)
    parts = divide(items, shard_items=shard_items)
    finished: list[ShardSummary] = []
    done = 0
    with locked(out):
        _open_folder(
            out,
            Manifest(
                fingerprint=model.fingerprint,
                listing=_sha256([part.digest for part in parts]),
                signals=len(items),
                shard_items=shard_items,
                shards=len(parts),
                effort=effort,
                refine=refine,
            ),
        )
        job = Job(str(name_or_path), str(out), info_of(model), search)
        for shard in run_jobs(partial(make_shard, job), parts, workers=workers, engine=engine):
            finished.append(shard)
            done += len(parts[shard.number].items)
            progress(done, len(items))
    finished.sort(key=lambda shard: shard.number)
    skipped = {signal.id: signal.reason for shard in finished for signal in shard.skipped}
    return Summary(len(finished), sum(s.signals for s in finished), sum(s.codes for s in finished), skipped)


def info_of(model: Model) -> ShardInfo:
    """Metadata of every shard of this model's codes, except for `part` and `skipped`."""
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
    """Divide items into consecutive parts of at most `shard_items` items and at most `PART_BYTES`.

    An item that is larger than `PART_BYTES` is a part of its own.
    """
    groups: list[list[Item]] = []
    size_bytes = 0
    for item in items:
        if not groups or len(groups[-1]) == shard_items or size_bytes + item.size_bytes > PART_BYTES:
            groups.append([])
            size_bytes = 0
        groups[-1].append(item)
        size_bytes += item.size_bytes
    return [
        Part(number, tuple(group), _sha256([[i.id, i.source, i.size_bytes] for i in group]))
        for number, group in enumerate(groups)
    ]


def read_manifest(out: Path) -> Manifest | None:
    """The manifest of a folder of shards, or None if there is none. Raises CodewordError."""
    path = out / MANIFEST_FILE
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UsageError(f"{path} is larger than any manifest; choose another folder.")
        tree = json.loads(path.read_bytes())
        stored = tree.get("format") if isinstance(tree, dict) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON ({error}); choose another folder.") from error
    if stored != FORMAT:
        raise UsageError(
            f"{path} has format {stored}, but {FORMAT} is needed; run `codeword tokenize` again with another folder."
        )
    manifest: Manifest = validate(Manifest, tree, place=str(path))
    return manifest


def _open_folder(out: Path, manifest: Manifest) -> None:
    """Write the manifest of a new folder, or compare it with that of an existing one. Raises UsageError."""
    existing = read_manifest(out)
    if existing is None:
        if any(out.glob("*.parquet")):
            raise UsageError(f"{out} holds Parquet files, but no {MANIFEST_FILE}; choose another folder.")
        write_json(out / MANIFEST_FILE, manifest.model_dump(mode="json"))
    elif existing != manifest:
        raise UsageError(f"{out} {_difference(existing, manifest)}; choose another folder.")
    # Temporary files of a killed run.
    for pattern in (f".{MANIFEST_FILE}.*", ".shard-*.parquet.*"):
        for path in out.glob(pattern):
            path.unlink(missing_ok=True)


def _difference(old: Manifest, new: Manifest) -> str:
    if old.fingerprint != new.fingerprint:
        return f"holds tokens of the model with fingerprint {old.fingerprint}, but this one's is {new.fingerprint}"
    if old.shard_items != new.shard_items:
        return f"was started with {old.shard_items} items in a shard, not {new.shard_items}"
    for setting in ("effort", "refine"):
        before, now = getattr(old, setting), getattr(new, setting)
        if before != now:
            return f"was started with {setting} {before}, not {now}"
    return (
        f"was started with another listing of the data ({old.signals:,} signals, SHA-256 {old.listing[:12]}...) than "
        f"the present one ({new.signals:,}, {new.listing[:12]}...)"
    )


def _sha256(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()


def make_shard(job: Job, part: Part) -> ShardSummary:
    """Write one shard, unless a complete shard of the same model and items is on disk.

    Raises:
        UsageError: the shard would hold more than `MAX_CODES` codes.
        ModelError: the model has changed since the run started.
    """
    path = shard_path(Path(job.folder), part.number)
    info = job.info.model_copy(update={"part": part.digest})
    shard = _existing(path, info)
    if shard is None:
        tokenizer = _tokenizer(job.model, job.info.fingerprint)
        skipped: list[Skipped] = []
        rows: list[TokenRow] = []
        count = 0
        # The number of threads changes the rounding of sums, and with it some codes.
        with deterministic():
            for row in encode_items(tokenizer, part.items, skipped, job.search):
                count += row.codes.numel()
                if count > MAX_CODES:
                    raise UsageError(
                        f"{path} would hold more than {MAX_CODES:,} codes with {len(part.items):,} signals; "
                        f"choose fewer items for a shard, and another folder."
                    )
                rows.append(row)
        shard = Shard(info.model_copy(update={"skipped": tuple(skipped)}), tuple(rows))
        write_shard(path, shard)
    codes = sum(row.codes.numel() for row in shard.rows)
    return ShardSummary(part.number, len(shard.rows), codes, shard.info.skipped)


def _existing(path: Path, info: ShardInfo) -> Shard | None:
    """The shard at `path`, or None if it is missing, damaged, or differs from `info` (apart from `skipped`)."""
    try:
        shard = read_shard(path)
    except DataError:
        return None
    return shard if shard.info.model_copy(update={"skipped": ()}) == info else None


@lru_cache(maxsize=1)
def _tokenizer(name_or_path: str, fingerprint: str) -> Tokenizer:
    """Load the tokenizer of a model, once in each process. Raises ModelError if the model has changed."""
    model = load(name_or_path)
    if model.fingerprint != fingerprint:
        raise ModelError(f"{name_or_path} changed to another model during the run; start again.")
    return model.tokenizer
