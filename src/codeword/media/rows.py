"""All media, one row each, and the medium of a tokenizer or a file."""

from collections.abc import Iterable
from pathlib import Path

from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError, UsageError
from codeword.media.audio import Audio
from codeword.media.base import Medium
from codeword.media.facts import AXES
from codeword.media.images import Images
from codeword.media.tokens import Tokens

MEDIA: dict[str, Medium] = {medium.name: medium for medium in (Images(), Audio(), *map(Tokens, AXES))}
"""All media by name; a new medium is added here."""


def medium_of(config: TokenizerConfig) -> Medium:
    """The medium of a tokenizer's signals. Raises UnsupportedError if no file format holds such signals."""
    for medium in MEDIA.values():
        if medium.ndim == config.ndim and medium.fits(config):
            return medium
    raise UnsupportedError(
        f"This tokenizer's signals (rank {config.ndim}, {config.channels} channels of {config.values} values, sample "
        f"rate {config.sample_rate}) have no file format here; use it from Python."
    )


def medium_of_suffix(path: Path) -> Medium | None:
    """The medium of a file by its suffix, even if files of this format cannot be read; None if there is none."""
    return next((medium for medium in MEDIA.values() if path.suffix.lower() in medium.known_suffixes), None)


def medium_of_files(paths: Iterable[Path]) -> Medium:
    """The medium of the files with a known suffix. Raises UsageError if there is no such file, or several media."""
    first, found, unreadable = None, dict[str, Path](), dict[str, Path]()
    for path in paths:
        first = first or path
        if medium := medium_of_suffix(path):
            (found if path.suffix.lower() in medium.suffixes else unreadable).setdefault(medium.name, path)
    found = found or unreadable
    if first is None:
        # Grids of tokens are several media of one name.
        kinds = dict.fromkeys(row.plural for row in MEDIA.values())
        raise UsageError(f"The inputs hold no {' and no '.join(kinds)}; give others.")
    if not found:
        raise UsageError(f"Neither {first} nor another input has a known suffix; rename it, or give a model.")
    if len(found) > 1:
        examples = " and ".join(f"{MEDIA[name].plural} ({path})" for name, path in found.items())
        raise UsageError(f"The inputs are {examples}; give those of one kind, or a model.")
    return MEDIA[next(iter(found))]
