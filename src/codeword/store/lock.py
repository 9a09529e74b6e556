"""A lock on a folder that one process writes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from codeword.errors import UsageError
from codeword.store.files import not_written

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of `folder`, which is created if it is missing; `wait` for it while another process holds it.

    The operating system releases the lock when the process ends, even by a crash. Its empty file stays in the folder,
    because a process that deletes it could delete the lock of the next one.

    Raises:
        UsageError: another process, or another thread, holds the lock, without `wait`.
        CodewordError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise UsageError(
            f"Another process is writing to {folder}; wait until it ends, or choose another folder."
        ) from error
    except OSError as error:
        raise not_written(folder, error) from error
    try:
        yield
    finally:
        lock.release()
