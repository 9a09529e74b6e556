"""Downloads that survive cuts and stalls, and archives that cannot write outside their folder."""

import hashlib
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
    """Where a file is to be had, how large it is at most, and the MD5 that its publisher gives for it."""

    url: str
    md5: str
    max_bytes: int


# https://www.cs.toronto.edu/~kriz/cifar.html gives the address and the checksum.
CIFAR10 = Source(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 200_000_000
)


@dataclass(frozen=True)
class Subset:
    """A part of LibriSpeech: its archive, and how many utterances that holds."""

    source: Source
    utterances: int


def _librispeech(name: str, md5: str, utterances: int, max_bytes: int) -> Subset:
    return Subset(Source(f"https://www.openslr.org/resources/12/{name}.tar.gz", md5, max_bytes), utterances)


# https://www.openslr.org/12 gives the addresses, the checksums (md5sum.txt) and the sizes.
LIBRISPEECH = {
    "dev-clean": _librispeech("dev-clean", "42e2234ba48799c1f50f24a7926300a1", 2703, 400_000_000),
    "dev-other": _librispeech("dev-other", "c8d0bcc9cca99d4f8b62fcc847357931", 2864, 400_000_000),
    "test-clean": _librispeech("test-clean", "32fa31d27d2e1cad72775fee3f4849a9", 2620, 400_000_000),
    "test-other": _librispeech("test-other", "fb5a50374b501bb3bac4815ee91d3135", 2939, 400_000_000),
    "train-clean-100": _librispeech("train-clean-100", "2a93770f6d5c6c964bc36631d331a522", 28_539, 7_500_000_000),
    "train-clean-360": _librispeech("train-clean-360", "c0e676e450a7ff2f54aeade5171606fa", 104_014, 27_000_000_000),
    "train-other-500": _librispeech("train-other-500", "d1a0fd59409feb2c614ce4d30c387708", 148_688, 35_000_000_000),
}


def fetch_cifar10(root: Path, *, source: Source = CIFAR10, stall_s: float = STALL_S, pause_s: float = 1.0) -> Path:
    """Download and unpack CIFAR-10's binary version into `root`; returns its folder, at once if it is there.

    Raises:
        DataError: the address does not answer, keeps breaking off, or serves something else.
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
    """Download and unpack one subset into `root`/LibriSpeech; returns its folder, at once if all of it is there.

    Archive and files lie side by side for a moment, so it takes twice the subset's size on the disk.

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
        # FLAC packs no further: unpacked it is hardly larger than the archive.
        limit = 2 * subset.source.max_bytes
        _fetch(subset.source, folder, max_bytes=limit, stall_s=stall_s, pause_s=pause_s)
    return folder / name


def _fetch(source: Source, folder: Path, *, max_bytes: int, stall_s: float, pause_s: float) -> None:
    """Download an archive beside `folder` and unpack it there."""
    root = folder.parent
    archive = root / source.url.rpartition("/")[2]
    try:
        root.mkdir(parents=True, exist_ok=True)
        download(source, archive, stall_s=stall_s, pause_s=pause_s)
        extract(archive, folder, max_bytes=max_bytes)
    except OSError as error:
        raise DataError(
            f"Could not write into {root}: {error.strerror}; free some space or give another --out, and run the "
            f"command again: it goes on where it stopped."
        ) from error
    archive.unlink(missing_ok=True)


def download(source: Source, path: Path, *, stall_s: float = STALL_S, pause_s: float = 1.0) -> None:
    """Fetch `source` into `path`, through `path.part`, going on where an earlier attempt broke off.

    A cut or a stall of `stall_s` seconds is tried again, `pause_s` seconds later and then twice as long each
    time. The file appears under its name only when its checksum is right.

    Raises:
        DataError: no answer after all tries, more bytes than `max_bytes`, or the wrong checksum.
    """
    if path.is_file() and _md5(path) == source.md5:
        return
    part = path.with_name(path.name + ".part")
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(path.name, total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        resumed = part.exists()
        _with_retries(lambda: _receive(source, part, stall_s, show), source, part, pause_s)
        if (found := _md5(part)) != source.md5 and resumed:
            # What an earlier run left may be of another file than the server has now: once more, from the start.
            part.unlink()
            _with_retries(lambda: _receive(source, part, stall_s, show), source, part, pause_s)
            found = _md5(part)
    if found != source.md5:
        part.unlink()
        raise DataError(
            f"{source.url} served a file with MD5 {found} where {source.md5} is right; it was deleted. Try again later."
        )
    part.replace(path)


def extract(archive: Path, folder: Path, *, max_bytes: int) -> None:
    """Unpack the one folder that a .tar.gz holds into `folder`, when all of it has proved good.

    Only plain files whose paths lead down are written, so that no entry can leave the folder; what is there
    already stays, but for files of the same path.

    Raises:
        DataError: not an archive, cut short, an entry that is a link or escapes, or more than `max_bytes` in all.
    """
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r|gz") as tar:
            total = 0
            for entry in tar:
                if entry.isdir():
                    continue
                name = Path(entry.name)
                if not entry.isreg() or name.is_absolute() or ".." in name.parts:
                    raise DataError(f"{archive} holds {entry.name!r}, which no data set would; delete the archive.")
                total += entry.size
                if total > max_bytes:
                    raise DataError(f"{archive} unpacks to more than {max_bytes:,} bytes; delete the archive.")
                content = tar.extractfile(entry)
                assert content is not None
                place = staging.joinpath(*(name.parts[1:] or name.parts))
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as file:
                    shutil.copyfileobj(content, file)
        _move(staging, folder)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{archive} is not a whole .tar.gz archive ({error}); delete it and fetch again.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _move(source: Path, target: Path) -> None:
    """Move a file or folder; into a folder that is there already, what it holds."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        source.replace(target)


def _receive(source: Source, part: Path, stall_s: float, show: Callable[[int, int | None], None]) -> None:
    """One attempt: append what is missing to `part`. Raises httpx.HTTPError where it breaks off."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", source.url, headers=headers, timeout=stall_s, follow_redirects=True) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # All of it is here already; the checksum decides.
        answer.raise_for_status()
        resumed = answer.status_code == httpx.codes.PARTIAL_CONTENT and answer.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        have = have if resumed else 0
        announced = answer.headers.get("Content-Length", "")
        total = have + int(announced) if announced.isdigit() else None
        if total is not None and total > source.max_bytes:
            raise _too_large(source, part)
        with part.open("ab" if resumed else "wb") as file:
            # As it arrives: a buffer of our own would be lost in a cut.
            for chunk in answer.iter_raw():
                have += len(chunk)
                if have > source.max_bytes:
                    raise _too_large(source, part)
                file.write(chunk)
                show(have, total)


def _with_retries(attempt: Callable[[], None], source: Source, part: Path, pause_s: float) -> None:
    tries = 0
    while tries < RETRIES:
        had = part.stat().st_size if part.exists() else 0
        try:
            attempt()
            return
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500:
                raise DataError(
                    f"{source.url} answered {error.response.status_code} {error.response.reason_phrase}; "
                    f"is the address still right?"
                ) from error
            problem: Exception = error
        except httpx.HTTPError as error:
            problem = error
        # A line that keeps cutting but brings something each time will get there.
        came = part.exists() and part.stat().st_size > had
        tries = 1 if came else tries + 1
        if tries < RETRIES:
            time.sleep(pause_s * 2**tries)
    kept = f"{part.stat().st_size:,} bytes are kept" if part.exists() else "nothing was received"
    raise DataError(
        f"{source.url} broke off {RETRIES} times in a row ({type(problem).__name__}: {problem}); {kept}. "
        f"Check the connection and run the command again: it goes on from there."
    ) from problem


def _too_large(source: Source, part: Path) -> DataError:
    part.unlink(missing_ok=True)
    return DataError(f"{source.url} serves more than the {source.max_bytes:,} bytes that are right; nothing was kept.")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
