"""Downloads that resume after a broken connection, and safe unpacking of archives.

The download is our own because pooch does not resume, and huggingface_hub neither limits the size nor retries after a
stalled connection.
"""

import hashlib
import itertools
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from codeword.data.cifar10 import BATCHES, BINARY_BYTES, BINARY_FOLDER
from codeword.data.librispeech import FOLDER as LIBRISPEECH_FOLDER
from codeword.errors import DataError, UsageError

RETRIES = 5
STALL_S = 30.0


@dataclass(frozen=True)
class Source:
    """Address of a file, its largest allowed size, and the MD5 that its publisher states, or None."""

    url: str
    md5: str | None
    max_bytes: int


# Address and checksum: https://www.cs.toronto.edu/~kriz/cifar.html
CIFAR10 = Source(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 200_000_000
)


@dataclass(frozen=True)
class Subset:
    """A part of LibriSpeech: its archive, and the number of utterances in it."""

    source: Source
    utterances: int


# Addresses, checksums (md5sum.txt) and sizes: https://www.openslr.org/12
LIBRISPEECH = {
    name: Subset(Source(f"https://www.openslr.org/resources/12/{name}.tar.gz", md5, max_bytes), utterances)
    for name, md5, utterances, max_bytes in (
        ("dev-clean", "42e2234ba48799c1f50f24a7926300a1", 2703, 400_000_000),
        ("dev-other", "c8d0bcc9cca99d4f8b62fcc847357931", 2864, 400_000_000),
        ("test-clean", "32fa31d27d2e1cad72775fee3f4849a9", 2620, 400_000_000),
        ("test-other", "fb5a50374b501bb3bac4815ee91d3135", 2939, 400_000_000),
        ("train-clean-100", "2a93770f6d5c6c964bc36631d331a522", 28_539, 7_500_000_000),
        ("train-clean-360", "c0e676e450a7ff2f54aeade5171606fa", 104_014, 27_000_000_000),
        ("train-other-500", "d1a0fd59409feb2c614ce4d30c387708", 148_688, 35_000_000_000),
    )
}


def fetch_cifar10(root: Path, *, source: Source = CIFAR10, stall_s: float = STALL_S, pause_s: float = 1.0) -> Path:
    """Download and unpack CIFAR-10's binary version into `root`, unless it exists there; returns its folder.

    `stall_s` and `pause_s` are those of `download`.

    Raises:
        DataError: the server does not answer, fails repeatedly, or sends another file.
        CodewordError: the disk is full.
    """
    folder = root / BINARY_FOLDER
    if not all(
        (folder / f"{b}.bin").is_file() and (folder / f"{b}.bin").stat().st_size == BINARY_BYTES for b in BATCHES
    ):
        _fetch(source, folder, max_bytes=7 * BINARY_BYTES, stall_s=stall_s, pause_s=pause_s)
    return folder


def fetch_librispeech(
    root: Path, name: str, *, subset: Subset | None = None, stall_s: float = STALL_S, pause_s: float = 1.0
) -> Path:
    """Download and unpack one subset into `root`/LibriSpeech, unless it is complete there; returns its folder.

    The archive is deleted after unpacking, so the disk needs room for twice the size of the subset.

    Raises:
        UsageError: there is no subset of that name.
        DataError, CodewordError: as `fetch_cifar10`.
    """
    if subset is None:
        if name not in LIBRISPEECH:
            raise UsageError(f"LibriSpeech has no subset {name!r}; there is {', '.join(LIBRISPEECH)}.")
        subset = LIBRISPEECH[name]
    folder = root / LIBRISPEECH_FOLDER
    if sum(1 for _ in (folder / name).glob("*/*/*.flac")) < subset.utterances:
        # gzip hardly compresses FLAC, so the files are little larger than the archive.
        limit = 2 * subset.source.max_bytes
        _fetch(subset.source, folder, max_bytes=limit, stall_s=stall_s, pause_s=pause_s)
    return folder / name


def _fetch(source: Source, folder: Path, *, max_bytes: int, stall_s: float, pause_s: float) -> None:
    """Download an archive next to `folder` and unpack it there."""
    root = folder.parent
    archive = root / source.url.rpartition("/")[2]
    try:
        root.mkdir(parents=True, exist_ok=True)
        download(source, archive, stall_s=stall_s, pause_s=pause_s)
        extract(archive, folder, max_bytes=max_bytes)
    except OSError as error:
        raise DataError(
            f"Could not write into {root}: {error.strerror}; free some space or choose another folder, and run the "
            f"command again: the download continues where it stopped."
        ) from error
    archive.unlink(missing_ok=True)


def download(source: Source, path: Path, *, stall_s: float = STALL_S, pause_s: float = 1.0) -> None:
    """Download `source` to `path`. The incomplete file is `path`.part, and a later call continues it.

    A broken connection, or one without data for `stall_s` seconds, is retried after 2 * `pause_s` seconds;
    each further pause is twice as long. The file is renamed to `path` after its checksum is verified. Without a
    checksum, a file at `path` is taken as it is, and an incomplete one is continued if the server says that the file is
    still the same.

    Raises:
        DataError: no answer after all tries, more bytes than `max_bytes`, or the wrong checksum.
    """
    if path.is_file() and (source.md5 is None or _md5(path) == source.md5):
        return
    part = path.with_name(path.name + ".part")
    resumed = part.exists()
    _receive_all(source, part, stall_s=stall_s, pause_s=pause_s)
    while source.md5 is not None and (md5 := _md5(part)) != source.md5:
        part.unlink()
        if not resumed:
            raise DataError(
                f"{source.url} served a file with MD5 {md5} instead of {source.md5}; it was deleted. Try again later."
            )
        # The part of an earlier run may be from another version of the file, so start once more from the beginning.
        resumed = False
        _receive_all(source, part, stall_s=stall_s, pause_s=pause_s)
    part.replace(path)
    _version_file(part).unlink(missing_ok=True)


def extract(archive: Path, folder: Path, *, max_bytes: int) -> None:
    """Unpack the content of the top folder of a .tar.gz into `folder`, after a check of the whole archive.

    Only regular files with relative paths are accepted, so no file is written outside `folder`. Existing files are
    kept, except those with the same path as a new one.

    Raises:
        DataError: the file is no archive or cut short, an entry is a link or has a path outside the folder, or the
            content has more than `max_bytes`.
    """
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    total = 0

    def check_entry(entry: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        nonlocal total
        name = Path(entry.name)
        if entry.isdir():
            return None
        if not entry.isreg() or name.is_absolute() or ".." in name.parts:
            raise DataError(f"{archive} holds {entry.name!r}, which no data set contains; delete the archive.")
        total += entry.size
        if total > max_bytes:
            raise DataError(f"{archive} unpacks to more than {max_bytes:,} bytes; delete the archive.")
        return tarfile.data_filter(entry.replace(name="/".join(name.parts[1:] or name.parts)), place)

    try:
        with tarfile.open(archive, "r|gz") as tar:
            tar.extractall(staging, filter=check_entry)
        _move(staging, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{archive} is not a complete .tar.gz archive ({error}); delete it and fetch again.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    """Move a file or folder; if the target folder exists, move the content of the source into it."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        source.replace(target)


def _receive_all(source: Source, part: Path, *, stall_s: float, pause_s: float) -> None:
    """Append to `part` until the file is complete, with a progress bar on a terminal. Raises DataError."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    tries = 0
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(part.stem, total=None)
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                _receive(source, part, stall_s, lambda done, total: progress.update(task, completed=done, total=total))
                return
            except httpx.HTTPStatusError as error:
                if error.response.status_code < 500:
                    raise DataError(
                        f"{source.url} answered {error.response.status_code} {error.response.reason_phrase}; "
                        f"check the address."
                    ) from error
                problem: Exception = error
            except httpx.HTTPError as error:
                problem = error
            after = part.stat().st_size if part.exists() else 0
            # Only attempts without new data count, so a connection that breaks often can still finish.
            tries = 1 if after > before else tries + 1
            if tries == RETRIES:
                break
            time.sleep(pause_s * 2**tries)
    kept = f"{after:,} bytes are kept" if after else "nothing was received"
    raise DataError(
        f"{source.url} failed {RETRIES} times in a row ({type(problem).__name__}: {problem}); {kept}. "
        f"Check the connection and run the command again: the download continues from there."
    ) from problem


def _receive(source: Source, part: Path, stall_s: float, show: Callable[[int, int | None], None]) -> None:
    """One attempt: append the missing bytes to `part`. Raises httpx.HTTPError if the connection breaks."""
    received, version = part.stat().st_size if part.exists() else 0, _version_file(part)
    headers = {"Accept-Encoding": "identity"}
    if received and source.md5 is not None:
        headers["Range"] = f"bytes={received}-"
    elif received and version.exists():
        # Without a checksum, only the version that the server named can tell whether the parts fit together.
        headers |= {"Range": f"bytes={received}-", "If-Range": version.read_text()}
    with httpx.stream("GET", source.url, headers=headers, timeout=stall_s, follow_redirects=True) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # `part` is complete; the checksum is compared later.
        response.raise_for_status()
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {received}-"
        )
        received = received if resumed else 0
        announced = response.headers.get("Content-Length", "")
        total = received + int(announced) if announced.isdigit() else None
        if not resumed and source.md5 is None:
            name = response.headers.get("ETag") or response.headers.get("Last-Modified")
            version.write_text(name) if name else version.unlink(missing_ok=True)
        with part.open("ab" if resumed else "wb") as file:
            # Chunks are written as they arrive, because a buffer would be lost if the connection breaks.
            for chunk in itertools.chain([b""], response.iter_raw()):
                received += len(chunk)
                if max(received, total or 0) > source.max_bytes:
                    part.unlink()
                    version.unlink(missing_ok=True)
                    raise DataError(
                        f"{source.url} serves more than the expected {source.max_bytes:,} bytes; nothing was kept."
                    )
                file.write(chunk)
                show(received, total)


def _version_file(part: Path) -> Path:
    """The file that holds the ETag or the date of what an incomplete file is a part of."""
    return part.with_name(part.name + ".version")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
