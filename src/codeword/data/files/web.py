"""Files on the web, by address: each is downloaded once, and then read as a file on this machine.

Whole files, because signals are read in any order and by several processes, and because a training that goes on later
must find the same ones. Listing an archive through the web would take one request for each of its members.
"""

import hashlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from codeword.data.files.download import STALL_S, Source, download
from codeword.data.files.root import data_root
from codeword.errors import DataError
from codeword.store import locked

FOLDER = "web"
MAX_BYTES = 200 * 10**9
"""Largest size of one file."""


def is_address(name: str) -> bool:
    """True for an address on the web, false for a path on this machine."""
    return name.lower().startswith(("http://", "https://"))


def suffix_of(name: str) -> str:
    """The suffix of a path, or of the path in an address."""
    return PurePosixPath(urlsplit(name).path).suffix if is_address(name) else Path(name).suffix


def public_name(name: str) -> str:
    """A path as it is; an address without user, password and query, which may be secret or expire."""
    if not is_address(name):
        return name
    parts = urlsplit(name)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def local_path(name: str) -> Path:
    """A path as it is; for an address the path of its copy, which may not exist yet."""
    if not is_address(name):
        return Path(name)
    key = hashlib.sha256(name.encode()).hexdigest()[:16]
    return data_root(None) / FOLDER / key / PurePosixPath(urlsplit(name).path).name


def local_copy(name: str, *, stall_s: float = STALL_S, pause_s: float = 1.0) -> Path:
    """A path as it is; for an address the path of its copy, downloaded if there is none.

    One process downloads, others wait for it. `stall_s` and `pause_s` are those of `download`.

    Raises:
        DataError: the server does not answer, fails repeatedly, or sends more than `MAX_BYTES`; or the disk is full.
        CodewordError: the folder of copies cannot be written.
    """
    path = local_path(name)
    if is_address(name) and not path.is_file():
        with locked(path.parent, wait=True):
            try:
                download(Source(name, None, MAX_BYTES), path, stall_s=stall_s, pause_s=pause_s)
            except OSError as error:
                raise DataError(
                    f"Could not write {path}: {error.strerror}; free some space or set CODEWORD_DATA to another folder."
                ) from error
    return path


def fetch_again(name: str) -> str:
    """The way out of damage in a file, as the end of a message."""
    return f"delete its copy {local_path(name)} to fetch it again" if is_address(name) else "fetch it again"
