"""Files to one compressed file and back."""

import io
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeword.cli.files import Targets, must_not_overwrite, noting
from codeword.cli.media import MEDIA, Medium, medium_of
from codeword.cli.show import Outcome
from codeword.cli.work import class_number, media_files
from codeword.codec import Codec, CompressOptions, Container, DecodedSignal, Header
from codeword.data.files.tree import names_below
from codeword.errors import DataError, UsageError
from codeword.model import Model
from codeword.pretrained import load_pretrained, pretrained_with
from codeword.store import write_atomically

Progress = Callable[[int, int], None]

SHIPPED = {1: "speech", 2: "images"}
"""By the rank of a signal, as `MEDIA`."""


def compress(
    inputs: list[Path],
    out: Path,
    model: Path | None,
    *,
    options: CompressOptions,
    speaker: str | None,
    progress: Progress,
) -> Outcome:
    """Compress every readable file into the one file `out`; its result says how many bytes became how many."""
    done = Outcome()
    chosen = Model.load(model) if model is not None else load_pretrained(SHIPPED[_rank_of(inputs)])
    medium, tokenizer = medium_of(chosen.tokenizer), chosen.tokenizer
    if speaker is not None:
        options = replace(options, label=class_number(tokenizer, model, speaker))
    signals, original_bytes = [], 0
    for path, name in media_files(inputs, done, medium):
        must_not_overwrite(out, path)
        with noting(done, path, DataError):
            signals.append(medium.signal(tokenizer, path, name))
            original_bytes += path.stat().st_size
    if signals:
        content = io.BytesIO()
        written = Codec(chosen).write(content, signals, options, progress=progress)
        write_atomically(out, content.getvalue())
        done.results[str(out)] = {
            "signals": len(signals),
            "original_bytes": original_bytes,
            **written._asdict(),
            "lossless": options.lossless,
        }
    return done


def decompress(
    path: Path, out: Path, model: Path | None, *, salvage: bool, format_: str | None, progress: Progress
) -> Outcome:
    """Write what `path` holds: into the file `out`, or where that has no suffix, into this folder."""
    done = Outcome()
    with opened(path) as container:
        header = container.header
        chosen = pretrained_with(header.fingerprint) if model is None else Model.load(model)
        medium = medium_of(chosen.tokenizer)
        place = _place(out, medium, header, format_)
        for found in Codec(chosen).read(container, salvage=salvage, progress=progress):
            name = found.entry.name
            with noting(done, Path(name), UsageError):
                target = place(name)
                medium.write(target, found.blocks, chosen.tokenizer.config, grey=found.entry.grey)
                done.results[name] = {"out": str(target), "size": list(found.entry.size), **_losses(found)}
    return done


def describe(path: Path) -> dict[str, Any]:
    """What a compressed file says of itself, in plain values. Raises DataError."""
    with opened(path) as container:
        header = container.header
        return {
            "holds": "compressed signals",
            "bytes": len(container.content),
            "model": header.fingerprint.hex(),
            "coder": header.coder,
            "lossless": header.lossless,
            "codes_of_a_cell": header.codes,
            "sample_rate": header.sample_rate,
            "signals": {entry.name: list(entry.size) for entry in header.entries},
        }


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """A compressed file, mapped into memory. Raises DataError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield Container(content, str(path))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except ValueError as error:  # A file of no bytes cannot be mapped.
        raise DataError(f"{path} is empty; copy it again.") from error


def _rank_of(inputs: list[Path]) -> int:
    """The rank of the signals that files and folders hold, by their suffixes. Raises UsageError."""
    for path in inputs:
        for rank, medium in MEDIA.items():
            names = names_below(path, medium.suffixes) if path.is_dir() else [path.name]
            if any(Path(name).suffix.lower() in medium.suffixes for name in names):
                return rank
    raise UsageError(
        f"Neither {inputs[0]} nor another input is an image or a recording by its suffix; rename it, or name a --model."
    )


def _place(out: Path, medium: Medium, header: Header, format_: str | None) -> Callable[[str], Path]:
    """Where the signal of each name goes. Raises UsageError."""
    one = out.suffix.removeprefix(".").lower() if not out.is_dir() else ""
    chosen = format_ or one or medium.formats[0]
    if chosen not in medium.formats or (one and chosen != one):
        raise UsageError(
            f"{medium.many.capitalize()} are not written as {chosen!r} to {out}; "
            f"--out may be a folder, or end in .{' or .'.join(medium.formats)}."
        )
    if one and len(header.entries) > 1:
        raise UsageError(
            f"{out} is one file, but there are {len(header.entries)} {medium.many}; give a folder as --out."
        )
    targets = Targets(out, f".{chosen}")
    return lambda name: out if one else targets.path(name)


def _losses(found: DecodedSignal) -> dict[str, object]:
    """What a damaged file lost of one signal."""
    if not found.damaged:
        return {}
    return {"damaged_blocks": found.damaged, "block_size": list(found.block_size)}
