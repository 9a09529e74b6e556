"""Decoding of shards of tokens to files."""

from collections.abc import Callable
from pathlib import Path

from codeword.coding import decode_signal
from codeword.files import Outcome, Targets, check_format, describe_size
from codeword.media import medium_of
from codeword.pretrained import load
from codeword.store.shards import check_model, read_shard, shard_path, shard_paths
from codeword.tokens import info_of, read_manifest


def detokenize(
    model_path: Path,
    tokens: Path,
    out: Path,
    *,
    format_: str | None,
    force: bool = False,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Write the signal of every row into the folder `out`; a shard that cannot be read becomes a failure.

    With `force` existing files are replaced.
    """
    model, outcome = load(model_path), Outcome()
    medium, expected_info = medium_of(model.tokenizer.config), info_of(model)
    format_ = format_ or medium.formats[0]
    check_format(medium, format_)
    for missing in _missing(tokens):
        outcome.failures[str(missing)] = f"{missing} is missing; write it with `codeword tokenize`."
    # The shards are read twice, because the names of the outputs depend on all ids.
    shard_of = dict[str, Path]()
    for path in shard_paths(tokens):
        with outcome.record_failure(path):
            shard = read_shard(path)
            check_model(path, shard.info, expected_info)
            for row in shard.rows:
                if shard_of.setdefault(row.id, path) != path:
                    outcome.failures[row.id] = f"{path} holds {row.id}, which another shard holds too."
    targets = Targets(out, f".{format_}", shard_of, force=force)
    paths = sorted(set(shard_of.values()))
    for count, path in enumerate(paths, start=1):
        with outcome.record_failure(path):
            for row in read_shard(path).rows:
                if shard_of.get(row.id) == path:
                    with outcome.record_failure(row.id):
                        target = targets.path(row.id)
                        blocks = decode_signal(model.tokenizer, row.codes, size=row.size)
                        medium.write(target, blocks, model.tokenizer.config, replace=force)
                        size = describe_size(row.size, model.tokenizer.config.sample_rate)
                        outcome.results[row.id] = {"out": str(target), **size}
        progress(count, len(paths))
    return outcome


def _missing(tokens: Path) -> list[Path]:
    """The paths of the shards that the manifest of a folder counts but that do not exist."""
    manifest = read_manifest(tokens) if tokens.is_dir() else None
    expected = [shard_path(tokens, number) for number in range(manifest.shards if manifest else 0)]
    return [path for path in expected if not path.exists()]
