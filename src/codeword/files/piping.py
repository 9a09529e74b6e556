"""Standard input and output in place of files: `-` names them, so that commands can stand in pipes."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from codeword.errors import CodewordError, UsageError
from codeword.files.describing import open_container

if TYPE_CHECKING:
    from codeword.files.paths import Outcome

STREAM = Path("-")
"""Standard input or output, as the path of an input or of the output."""

_COPIED_BYTES = 1 << 20


@dataclass(frozen=True)
class Pipes:
    """The inputs and the output of a command; those given as `-` are temporary files in `folder`."""

    inputs: list[Path]
    out: Path
    folder: Path | None = None

    def finish(self, outcome: "Outcome") -> "Outcome":
        """Copy the output to standard output; returns the outcome with `-` as the name of the temporary files."""
        if self.folder is None:
            return outcome
        text = json.dumps([outcome.results, outcome.failures])
        for path in (path for path in self.folder.rglob("*") if path.is_file()):
            text = text.replace(json.dumps(str(path))[1:-1], "-")
            if path.is_relative_to(self.out):
                with path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer, _COPIED_BYTES)
        sys.stdout.buffer.flush()
        results, failures = json.loads(text)
        return replace(outcome, results=results, failures=failures)


@contextmanager
def piped(
    inputs: Sequence[Path], out: Path = Path(), *, suffix: Callable[[Path], str] = lambda path: ""
) -> Iterator[Pipes]:
    """Replace `-` among the inputs by a file with all of standard input, and `-` as output by the path of a new file.

    `suffix` returns the suffix for the file of standard input, from its content.

    Raises:
        UsageError: standard output is a terminal.
    """
    if STREAM not in (*inputs, out):
        yield Pipes(list(inputs), out)
        return
    if out == STREAM and sys.stdout.isatty():
        raise UsageError(
            "Standard output is a terminal, and the output is no text; redirect it to a file or a program."
        )
    with TemporaryDirectory(prefix="codeword-") as name:
        folder = Path(name)
        spooled = folder / "stdin"
        if STREAM in inputs:
            # A file, because libsndfile and memory maps go back and forth.
            with spooled.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, _COPIED_BYTES)
            spooled = spooled.rename(spooled.with_suffix(suffix(spooled)))
        paths = [spooled if path == STREAM else path for path in inputs]
        yield Pipes(paths, folder / "stdout" if out == STREAM else out, folder)


def check_one_signal(compressed: Path) -> None:
    """Raises UsageError if a compressed file holds several signals, and DataError if it is none."""
    with open_container(compressed) as container:
        if (count := len(container.header.entries)) > 1:
            raise UsageError(f"Standard output takes one signal, but {compressed.name} holds {count}; give a folder.")


def media_suffix(path: Path, medium: str | None) -> str:
    """The suffix for a file of this medium, by default of the first medium that can read the file.

    Raises:
        UsageError: there is no such medium, or none that can read the file.
    """
    from codeword.media import MEDIA
    from codeword.pretrained import load_pretrained

    if medium is not None and medium not in MEDIA:
        raise UsageError(f"There is no medium {medium!r}; there are {' and '.join(MEDIA)}.")
    for row in [MEDIA[medium]] if medium else MEDIA.values():
        with suppress(CodewordError):
            if not medium:
                row.size(path, load_pretrained(row.pretrained).tokenizer.config)
            return f".{row.formats[0]}"
    if not path.stat().st_size:
        raise UsageError("Standard input is empty; check the program before the pipe.")
    raise UsageError(f"Standard input is of no known medium; give the medium: {', '.join(MEDIA)}.")
