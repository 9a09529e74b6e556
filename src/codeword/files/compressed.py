"""Many files to one compressed file and back."""

import io
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codeword.codec import Codec, CompressOptions, Container, Signal, UnreadableSignal
from codeword.errors import DataError, UsageError
from codeword.files.places import (
    Outcome,
    Place,
    Targets,
    check_not_overwritten,
    class_number,
    default_model,
    files_below,
    is_one_file,
    media_files,
)
from codeword.media import medium_of
from codeword.pretrained import load, pretrained_with
from codeword.store import write_atomically

Progress = Callable[[int, int], None]


def compress(
    paths: Place | Sequence[Place],
    out: Place,
    *,
    model: Place | None = None,
    lossless: bool = False,
    portable: bool = False,
    codes: int | None = None,
    speaker: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Compress every readable file, of files and folders, into the one file `out`.

    Args:
        paths: images or recordings, or folders of these.
        out: the compressed file.
        model: a run, a model folder, a repository of the Hugging Face Hub or the name of a model in the package; by
            default the one in the package for the medium of the files.
        lossless: keep the signal itself, given its codes.
        portable: leave out the prior's network: larger, but readable on every machine.
        codes: keep only the first so many codes of each cell.
        speaker: the class that conditions prior and decoder, by name.
        progress: called with blocks done and blocks in all.

    Returns:
        The bytes before and after, and the files that could not be read.

    Raises:
        UsageError, UnsupportedError, ModelError: an argument is wrong, or the model cannot do what it asks.
    """
    done, out = Outcome(), Path(out)
    inputs = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    chosen = load(model) if model is not None else default_model(files_below(inputs))
    config = chosen.tokenizer.config
    medium = medium_of(config)
    label = None if speaker is None else class_number(chosen.tokenizer, model, speaker)
    options = CompressOptions(portable, lossless, codes, label)
    found: list[tuple[Path, Signal]] = []
    for path, name in media_files(inputs, done, medium):
        check_not_overwritten(out, path)
        with done.noting(path, DataError):
            size = medium.size(path, config)
            found.append((path, Signal(name, size, lambda path=path: medium.read(path, config))))  # type: ignore[misc]
    while found:
        content = io.BytesIO()
        try:
            written = Codec(chosen).write(content, [signal for _, signal in found], options, progress=progress)
        except UnreadableSignal as error:
            # Its header was readable, but not the rest: the file is written again without it.
            done.failures[str(found.pop(error.number)[0])] = str(error)
            continue
        write_atomically(out, content.getvalue())
        done.results[str(out)] = {
            "signals": len(found),
            "original_bytes": sum(path.stat().st_size for path, _ in found),
            **written._asdict(),
            "lossless": lossless,
        }
        break
    return done


def decompress(
    file: Place,
    out: Place,
    *,
    model: Place | None = None,
    salvage: bool = False,
    format: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Write the signals of a compressed file into the file `out`, or, if that has no suffix, into this folder.

    Args:
        file: a file that `compress` wrote.
        out: a file, if there is one signal, or a folder.
        model: as for `compress`; by default the model in the package that the file names.
        salvage: replace damaged blocks by silence (or grey) and list them; otherwise they are errors.
        format: the format of files in a folder, by suffix without dot; by default that of the medium.
        progress: called with blocks done and blocks in all.

    Raises:
        UsageError: `out` or `format` does not suit the medium.
        DataError, ModelError: the file is damaged, or was made with another model.
    """
    done, out = Outcome(), Path(out)
    with opened(Path(file)) as container:
        header = container.header
        chosen = pretrained_with(header.fingerprint) if model is None else load(model)
        medium = medium_of(chosen.tokenizer.config)
        one = is_one_file(out, medium, len(header.entries), format)
        targets = Targets(out, f".{format or medium.formats[0]}")
        for found in Codec(chosen).read(container, salvage=salvage, progress=progress):
            name = found.entry.name
            with done.noting(name, UsageError):
                target = out if one else targets.path(name)
                medium.write(target, found.blocks, chosen.tokenizer.config, grey=found.entry.grey)
                done.results[name] = {"out": str(target), "size": list(found.entry.size)}
                if found.damaged:
                    lost = {"damaged_blocks": found.damaged, "block_size": list(found.block_size)}
                    done.results[name] |= lost
    return done


def describe_compressed(path: Path) -> dict[str, Any]:
    """Contents of a compressed file's header, in plain values. Raises DataError."""
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
