"""Replacement of files that prove broken during training."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from codeword.errors import DataError

T = TypeVar("T")

_log = logging.getLogger("codeword")


class Replacement:
    """Reads files by number, and the next file in place of a broken one.

    One warning names each broken file, and its name is appended to `skipped`. Safe to use from several threads.
    """

    def __init__(self, names: Sequence[str], skipped: list[str]) -> None:
        self._names, self.skipped = names, skipped
        self._broken: dict[int, str] = {}

    def read(self, first: int, read: Callable[[int], T]) -> T:
        """The result of `read(i)` for the first i from `first` on, in a circle, that raises no DataError.

        Raises:
            DataError: there is none.
        """
        for step in range(len(self._names)):
            i = (first + step) % len(self._names)
            try:
                return read(i)
            except DataError as error:
                message = str(error)
                if self._broken.setdefault(i, message) is message:  # Atomic, so that only one thread warns.
                    self.skipped.append(self._names[i])
                    _log.warning("%s The next file takes its place.", message)
        raise DataError("None of the files can be read any more; check that the disk is still mounted.")
