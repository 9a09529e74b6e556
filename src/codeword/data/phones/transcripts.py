"""The spoken words of recordings: a .txt of the same name, or a line of a *.trans.txt, as in LibriSpeech."""

from functools import lru_cache
from pathlib import Path

from codeword.errors import DataError


def transcript_of(path: Path) -> str:
    """The words of a recording, from the .txt next to it or its line of a *.trans.txt there.

    Raises:
        DataError: there are none, or they cannot be read.
    """
    if not path.exists():
        raise DataError(f"There is no file {path}; check the path.")
    own = path.with_suffix(".txt")
    if own.is_file():
        return _text(own)
    words = _transcripts(path.parent).get(path.stem)
    if not words:
        raise DataError(
            f"{path} has no transcript: there is neither {own.name} nor a *.trans.txt with a line for it; add one."
        )
    return words


@lru_cache(maxsize=64)
def _transcripts(folder: Path) -> dict[str, str]:
    """The words of each utterance that any *.trans.txt in the folder names first in a line."""
    lines = [line for path in sorted(folder.glob("*.trans.txt")) for line in _text(path).splitlines()]
    return {name: words.strip() for name, _, words in (line.partition(" ") for line in lines)}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
