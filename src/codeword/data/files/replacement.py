"""Replacement of files that cannot be read during training."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from codeword.errors import DataError

T = TypeVar("T")

_log = logging.getLogger("codeword")


class Replacement:
    """Reads files by number, and the next file instead of a broken one.

    For each broken file, one warning is logged and its name is appended to `skipped`. Threads may share an instance.
    """

    def __init__(self, names: Sequence[str], skipped: list[str]) -> None:
        self._names, self.skipped = names, skipped
        self._broken: dict[int, str] = {}

    def read(self, first: int, read: Callable[[int], T]) -> T:
        """The first `read(i)` without a DataError, for i = `first`, `first` + 1, ... modulo the number of files.

        Raises:
            DataError: `read` failed for all files.
        """
        for step in range(len(self._names)):
            i = (first + step) % len(self._names)
            try:
                return read(i)
            except DataError as error:
                message = str(error)
                if self._broken.setdefault(i, message) is message:  # Atomic, so that only one thread warns.
                    self.skipped.append(self._names[i])
                    _log.warning("%s The next file is read instead.", message)
        raise DataError("None of the files can be read any more; check that the disk is mounted.")
