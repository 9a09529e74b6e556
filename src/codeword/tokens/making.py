"""Making one shard: the unit of work, the same in this process, in another, and on another machine."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codeword.coding.determinism import deterministic
from codeword.errors import DataError, ModelError, UsageError
from codeword.model import Model
from codeword.tokenizer import Tokenizer
from codeword.tokens.encoding import encode_items
from codeword.tokens.inputs import Item
from codeword.tokens.shards import MAX_CODES, Shard, ShardInfo, Skipped, TokenRow, read_shard, shard_path, write_shard


@dataclass(frozen=True)
class Job:
    """What all shards share: where the model is and where they go, and what they say of themselves."""

    model: str
    out: str
    info: ShardInfo


@dataclass(frozen=True)
class Part:
    """The items of one shard; `digest` is the SHA-256 of their listing."""

    number: int
    items: tuple[Item, ...]
    digest: str


@dataclass(frozen=True)
class Made:
    """A shard that is there: how many signals and codes it holds, and what it lacks."""

    number: int
    signals: int
    codes: int
    skipped: tuple[Skipped, ...]


def make_shard(job: Job, part: Part) -> Made:
    """Write one shard, unless it is there already, whole and of the same model and items.

    Raises:
        UsageError: it would hold more codes than a shard may.
        ModelError: the model has changed since the job began.
    """
    path = shard_path(Path(job.out), part.number)
    shard = _finished(path, job.info.model_copy(update={"part": part.digest}))
    if shard is None:
        tokenizer = _tokenizer(job.model, job.info.fingerprint)
        skipped: list[Skipped] = []
        rows: list[TokenRow] = []
        count = 0
        # How sums are split among threads decides how they round, and with it some codes.
        with deterministic():
            for row in encode_items(tokenizer, part.items, skipped):
                count += row.codes.numel()
                if count > MAX_CODES:
                    raise UsageError(
                        f"{path} would hold more than {MAX_CODES:,} codes with {len(part.items):,} signals; "
                        f"choose fewer --shard-items and another --out."
                    )
                rows.append(row)
        info = job.info.model_copy(update={"part": part.digest, "skipped": tuple(skipped)})
        shard = Shard(info, tuple(rows))
        write_shard(path, shard)
    codes = sum(row.codes.numel() for row in shard.rows)
    return Made(part.number, len(shard.rows), codes, shard.info.skipped)


def _finished(path: Path, info: ShardInfo) -> Shard | None:
    """The shard at `path` where it is what `info` says, whatever it had to skip."""
    if not path.exists():
        return None
    try:
        shard = read_shard(path)
    except DataError:
        return None
    return shard if shard.info.model_copy(update={"skipped": ()}) == info else None


@lru_cache(maxsize=1)
def _tokenizer(place: str, fingerprint: str) -> Tokenizer:
    """Loaded once in each process. Raises ModelError."""
    model = Model.load(place)
    if model.fingerprint != fingerprint:
        raise ModelError(f"{place} has become another model while its tokens were written; start again.")
    return model.tokenizer
