"""Many files to one compressed file and back."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codeword.codec import Codec, CompressOptions, Progress, Signal, UnreadableSignal
from codeword.errors import DataError, UsageError
from codeword.files.describing import describe_size, open_container
from codeword.files.paths import (
    Outcome,
    StrPath,
    Targets,
    check_outputs,
    class_number,
    is_one_file,
    load_for,
    media_files,
)
from codeword.media import medium_of
from codeword.pretrained import load, pretrained_with
from codeword.store import distinct, write_atomically


def compress(
    paths: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    model: StrPath | None = None,
    lossless: bool = False,
    codes: int | None = None,
    speaker: str | None = None,
    channel: int | None = None,
    effort: int = 1,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Compress all readable images, or all readable recordings, into the file `out`.

    Args:
        paths: one path or several, of files or of folders with files.
        out: the compressed file.
        model: a run, a model folder, a repository of the Hugging Face Hub or the name of a model in the package; by
            default the one in the package for the medium of the files.
        lossless: store the signal itself after its codes.
        codes: the number of leading codes of each cell to store; by default all.
        speaker: the name of the class that conditions the prior and the decoder.
        channel: the number, from 1 on, of the channel of the recordings to read; by default all are mixed to one.
        effort: more than 1 searches longer for residual codes, as `Tokenizer.with_effort`.
        force: replace a file that exists at `out`; an input is never replaced.
        progress: receives the numbers of finished and of all blocks.

    Returns:
        The sizes of the inputs and of the compressed file in bytes, notes on what reading changed in each input, the
        lossless format of other programs in which the same signals are smaller than in a lossless file
        ("smaller_as"), and the files that could not be read.

    Raises:
        UsageError, UnsupportedError, ModelError: an argument is wrong, or the model does not support it; `out` exists;
            there are images and recordings, but no `model` of one of them.
    """
    outcome, out = Outcome(), Path(out)
    inputs = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    loaded = load_for(inputs, model)
    config = loaded.tokenizer.config
    medium = medium_of(config).with_channel(channel)
    label = None if speaker is None else class_number(loaded.tokenizer, model, speaker)
    options = CompressOptions(lossless, codes, label, effort)
    read = medium.read_lossless if lossless else medium.read
    signals: list[tuple[Path, Signal]] = []
    files = media_files(inputs, outcome, medium)
    notes: dict[Path, list[str]] = {path: [] for path, _ in files}
    check_outputs([out], inputs=[path for path, _ in files], force=force)
    for path, name in files:
        with outcome.record_failure(path, DataError):
            size = medium.size(path, config)
            side = medium.side(path, config) if lossless else {}
            signals.append((path, Signal(name, size, partial(read, path, config, notes[path]), partial(dict, side))))
    while signals and not outcome.results:
        content = io.BytesIO()
        try:
            written = Codec(loaded).write(content, [signal for _, signal in signals], options, progress=progress)
        except UnreadableSignal as error:
            # The damage lies after the header of this input; compression starts again without it.
            outcome.failures[str(signals.pop(error.number)[0])] = str(error)
            continue
        write_atomically(out, content.getvalue(), replace=force)
        sizes = [medium.lossless_sizes(path, config) if lossless else {} for path, _ in signals]
        outcome.results[str(out)] = {
            "signals": len(signals),
            "medium": medium.plural,
            "inputs": {str(path): describe_size(signal.size, config.sample_rate) for path, signal in signals},
            "original_bytes": sum(path.stat().st_size for path, _ in signals),
            **written._asdict(),
            "lossless": lossless,
            "notes": {str(path): notes[path] for path, _ in signals if notes[path]},
            **_smaller_as(sizes, written.bytes),
        }
    return outcome


def _smaller_as(sizes: list[dict[str, int]], ours: int) -> dict[str, dict[str, int]]:
    """The smallest of the formats that hold every signal, with its bytes together, if it is smaller than our file."""
    formats = set(sizes[0]).intersection(*sizes)
    totals = {name: sum(size[name] for size in sizes) for name in formats}
    smallest = min(totals, key=totals.__getitem__, default="")
    return {"smaller_as": {smallest: totals[smallest]}} if totals.get(smallest, ours) < ours else {}


def decompress(
    file: StrPath,
    out: StrPath,
    *,
    model: StrPath | None = None,
    salvage: bool = False,
    format: str | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Decompress a file that `compress` wrote.

    Args:
        file: the compressed file.
        out: a file for a single signal, or a folder (a path without suffix). If the compressed file has two signals of
            the same name, the name of the second gets a number, and its result has the `stored_name`.
        model: as for `compress`; by default the model in the package with the fingerprint in the file.
        salvage: replace damaged blocks by silence (or grey) and list them; otherwise they are errors.
        format: the suffix of files in a folder, without the dot; by default that of the medium.
        force: replace files that exist; an input is never replaced.
        progress: receives the numbers of finished and of all blocks.

    Raises:
        UsageError: the suffix of `out` or the `format` is not one of the medium, or an output exists.
        DataError, ModelError: the file is damaged, or was made with another model.
    """
    outcome, out = Outcome(), Path(out)
    with open_container(Path(file)) as container:
        header = container.header
        loaded = pretrained_with(header.fingerprint) if model is None else load(model)
        medium = medium_of(loaded.tokenizer.config)
        to_one_file = is_one_file(out, medium, len(header.entries), format)
        names = distinct(entry.name for entry in header.entries)
        suffix = f".{format or medium.formats[0]}"
        targets = Targets(out, suffix, names, inputs=[Path(file)], force=force, one_file=to_one_file)
        signals = Codec(loaded).read(container, salvage=salvage, progress=progress)
        for name, signal in zip(names, signals, strict=True):
            with outcome.record_failure(name, (UsageError, DataError)):
                target, blocks = targets.path(name), signal.blocks
                if signal.entry.grey:
                    blocks = (x.float().mean(0, keepdim=True).round().to(x.dtype) for x in blocks)
                medium.write(target, blocks, loaded.tokenizer.config, replace=force, side=signal.side)
                size = describe_size(signal.entry.size, loaded.tokenizer.config.sample_rate)
                outcome.results[name] = {"out": str(target), **size}
                if name != signal.entry.name:
                    outcome.results[name]["stored_name"] = signal.entry.name
                if damaged := signal.damage.blocks:
                    lost = {"lost": str(signal.damage), "damaged_blocks": damaged}
                    outcome.results[name] |= lost | {"block": describe_size(signal.block_size, None)["size"]}
                if signal.entry.has_side and not signal.side:
                    outcome.results[name]["side_data"] = "lost"
    return outcome
