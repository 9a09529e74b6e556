"""Many files to one compressed file and back."""

from collections.abc import Collection, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword.codec import PLAIN, Codec, CompressOptions, DecodedSignal, Entry, Progress, Search, UnreadableSignal
from codeword.errors import DataError, UsageError
from codeword.files.describing import describe_size, open_container
from codeword.files.paths import (
    Outcome,
    StrPath,
    Targets,
    as_model,
    check_outputs,
    class_number,
    is_one_file,
    load_for,
    media_files,
)
from codeword.media import medium_of
from codeword.media.base import SEVERAL, Signal
from codeword.model import Model
from codeword.pretrained import pretrained_with
from codeword.store import RECIPE_FILE, atomic_file, distinct

if TYPE_CHECKING:
    from codeword.training.run import Run


def compress(
    paths: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    model: StrPath | Model | None = None,
    lossless: bool = False,
    codes: int | None = None,
    speaker: str | None = None,
    channel: int | None = None,
    effort: int = 1,
    rate_weight: float = 0.0,
    refine: int = 0,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Compress all readable images, or all readable recordings, into the file `out`.

    Args:
        paths: one path or several, of files or of folders with files.
        out: the compressed file.
        model: a loaded model, a run, a model folder, a repository of the Hugging Face Hub or the name of a model in the
            package; by default the one in the package for the medium of the files.
        lossless: store the signal itself after its codes.
        codes: the number of leading codes of each cell to store; by default all.
        speaker: the name of the class that conditions the prior and the decoder.
        channel: the number, from 1 on, of the channel of the recordings to read; by default all are mixed to one.
        effort: more than 1 searches longer for residual codes, as in `codec.Search`.
        rate_weight: above 0, prefer codes of few bits, as there.
        refine: passes that try each code against its neighbours by decoding, as there.
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
    outcome, out, search = Outcome(), Path(out), Search(effort, rate_weight, refine)
    inputs = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if (run := _run_of_pairs(model)) is not None:
        from codeword.files.pairs import compress_pair

        if lossless or codes is not None or speaker is not None or channel is not None or search != PLAIN:
            raise UsageError(f"{model} is a run of pairs, whose files hold all codes alone; give no further options.")
        return compress_pair(inputs, out, run, force=force)
    loaded = load_for(inputs, model)
    config = loaded.tokenizer.config
    medium = medium_of(config).with_channel(channel)
    label = None if speaker is None else class_number(loaded.tokenizer, model, speaker)
    options = CompressOptions(lossless, codes, label, search)
    signals: list[tuple[Path, Signal]] = []
    files = media_files(inputs, outcome, medium)
    notes: dict[Path, list[str]] = {path: [] for path, _ in files}
    check_outputs([out], inputs=[path for path, _ in files], force=force)
    for path, name in files:
        with outcome.record_failure(path, DataError):
            found = medium.signals(path, name, config, notes[path], lossless=lossless)
            signals += [(path, signal) for signal in found]
    while signals and not outcome.results:
        try:
            with atomic_file(out, replace=force) as file:
                written = Codec(loaded).write(file, [signal for _, signal in signals], options, progress=progress)
        except UnreadableSignal as error:
            # The damage lies after the header of this input; compression starts again without it.
            unreadable, _ = signals[error.number]
            outcome.failures[str(unreadable)] = str(error)
            signals = [(path, signal) for path, signal in signals if path != unreadable]
            continue
        read: dict[Path, list[Signal]] = {}
        for path, signal in signals:
            read.setdefault(path, []).append(signal)
        sizes = [medium.lossless_sizes(path, config) if lossless else {} for path in read]
        outcome.results[str(out)] = {
            "signals": len(signals),
            "medium": medium.plural,
            "inputs": {str(path): _describe(of_file, config.sample_rate) for path, of_file in read.items()},
            "original_bytes": sum(path.stat().st_size for path in read),
            **written._asdict(),
            "lossless": lossless,
            "notes": {str(path): notes[path] for path in read if notes[path]},
            **_smaller_as(sizes, written.bytes),
        }
    return outcome


def _run_of_pairs(model: StrPath | Model | None) -> "Run | None":
    """The run of pairs that `model` is; None if it is another model."""
    if not isinstance(model, str | Path) or not (Path(model) / RECIPE_FILE).is_file():
        return None
    # Only for a run, because it loads modules of training.
    from codeword.training.run import Run

    run = Run.open(model)
    return None if run.recipe().pairs is None else run


def _describe(signals: list[Signal], sample_rate: int | None) -> dict[str, Any]:
    """The size of the only signal of a file, or the number of them."""
    return describe_size(signals[0].size, sample_rate) if len(signals) == 1 else {"signals": len(signals)}


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
    model: StrPath | Model | None = None,
    salvage: bool = False,
    format: str | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Decompress a file that `compress` wrote.

    Args:
        file: the compressed file.
        out: a file for a single signal, or for the signals of one file, or a folder (a path without suffix). If the
            compressed file has two of the same name, the name of the second gets a number, and its result has the
            `stored_name`.
        model: as for `compress`; by default the model in the package with the fingerprint in the file.
        salvage: replace damaged blocks by silence (or grey) and list them; otherwise they are errors.
        format: the suffix of files in a folder, without the dot, one for each signal; by default that of the medium,
            and the signals of one file become such a file again.
        force: replace files that exist; an input is never replaced.
        progress: receives the numbers of finished and of all blocks.

    Raises:
        UsageError: the suffix of `out` or the `format` is not one of the medium, or an output exists.
        DataError, ModelError: the file is damaged, or was made with another model.
    """
    outcome, out = Outcome(), Path(out)
    if (run := _run_of_pairs(model)) is not None:
        from codeword.files.pairs import decompress_pair

        if salvage or format is not None:
            raise UsageError(f"{model} is a run of pairs, whose files are read as a whole; give no further options.")
        return decompress_pair(Path(file), out, run, force=force)
    with open_container(Path(file)) as container:
        header = container.header
        loaded = pretrained_with(header.fingerprint) if model is None else as_model(model)
        medium = medium_of(loaded.tokenizer.config)
        groups = _groups(header.entries, medium.together if format is None else frozenset())
        names = distinct(name for name, _ in groups)
        together = {name for name, (_, count) in zip(names, groups, strict=True) if count}
        same_form = len(groups) == len(together) == 1 and Path(names[0]).suffix.lower() == out.suffix.lower()
        to_one_file = same_form or is_one_file(out, medium, len(header.entries), format)
        suffix = f".{format or medium.formats[0]}"
        targets = Targets(out, suffix, names, inputs=[Path(file)], force=force, one_file=to_one_file, kept=together)
        signals = Codec(loaded).read(container, salvage=salvage, progress=progress)
        config = loaded.tokenizer.config
        for name, (stored_name, count) in zip(names, groups, strict=True):
            first, others = next(signals), islice(signals, max(count - 1, 0))
            with outcome.record_failure(name, (UsageError, DataError)):
                target, losses = targets.path(name), dict[str, Any]()
                if count:
                    members = (_restored(signal, losses) for signal in chain([first], others))
                    medium.write_signals(target, members, config, replace=force)
                    outcome.results[name] = {"out": str(target), "signals": count}
                    if losses:
                        outcome.results[name] |= {"lost": f"parts of {len(losses)} signals", "damaged_signals": losses}
                else:
                    signal = _restored(first, losses)
                    medium.write(target, signal.read(), config, replace=force, side=signal.side())
                    size = describe_size(signal.size, config.sample_rate)
                    outcome.results[name] = {"out": str(target), **size, **losses.get(signal.name, {})}
                if name != stored_name:
                    outcome.results[name]["stored_name"] = stored_name
            for _ in others:  # An error leaves the other signals of a file unread.
                pass
    return outcome


def _groups(entries: Sequence[Entry], together: Collection[str]) -> list[tuple[str, int]]:
    """The name of each file to write, and the number of its signals if it is a file of several, else 0.

    A file of several is one with a suffix of `together`; its signals follow each other.
    """

    def file_of(numbered: tuple[int, Entry]) -> tuple[str, int]:
        number, entry = numbered
        name, several, _ = entry.name.partition(SEVERAL)
        return (name, -1) if several and Path(name).suffix.lower() in together else (entry.name, number)

    return [
        (name, len(list(group)) if number < 0 else 0) for (name, number), group in groupby(enumerate(entries), file_of)
    ]


def _restored(signal: DecodedSignal, losses: dict[str, Any]) -> Signal:
    """A decoded signal to write; what it lost, if anything, is added to `losses` under its name."""
    entry, blocks = signal.entry, signal.blocks
    if entry.grey:
        blocks = (x.float().mean(0, keepdim=True).round().to(x.dtype) for x in blocks)
    if damaged := signal.damage.blocks:
        lost = {"lost": str(signal.damage), "damaged_blocks": damaged}
        losses[entry.name] = lost | {"block": describe_size(signal.block_size, None)["size"]}
    if entry.has_side and not signal.side:
        losses.setdefault(entry.name, {})["side_data"] = "lost"
    return Signal(entry.name, entry.size, lambda: blocks, lambda: signal.side)
