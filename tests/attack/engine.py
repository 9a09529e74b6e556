"""Hostile inputs for every reader, each made from the name of the reader and a number alone, and the bounds they keep.

The cases run in a child process, so that one that ends the process, or never ends, is known by its number.
"""

import io
import json
import os
import random
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codeword.errors import CodewordError

HANGS_AFTER_S = 120
# A case that asks for more is named, and does not take the memory of the machine.
MOST_BYTES_MORE = 4 << 30
_PEAK_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Reader:
    """One kind of input, and the most that reading it may cost.

    `attack` writes one hostile input into an empty folder, reads it, and returns its size in bytes. It may raise
    CodewordError, and raises AssertionError for a wrong result. `share` is its part of all cases. A case takes at most
    `seconds` of CPU and `mib` of memory, and in addition `us_per_byte` and `bytes_per_byte` for each byte of the input.
    """

    name: str
    attack: Callable[[random.Random, Path], int]
    share: float
    seconds: float = 2
    us_per_byte: float = 10
    mib: int = 64
    bytes_per_byte: int = 100


class Failure(AssertionError):
    """A case that broke a promise."""


@contextmanager
def refusable() -> Iterator[None]:
    """Inside, the input may be refused: in one sentence, and not because memory ran out."""
    try:
        yield
    except CodewordError as error:
        check_refusal(error)


def check_refusal(error: CodewordError) -> None:
    text = str(error)
    assert 10 < len(text) < 6000, f"a message of {len(text)} characters"
    assert "unexpected happened" not in text
    cause: BaseException | None = error
    while cause is not None:
        assert not isinstance(cause, MemoryError | AssertionError), f"refused by {cause!r}: {text}"
        cause = cause.__cause__ or cause.__context__


def run(reader: Reader, numbers: Sequence[int]) -> list[str]:
    """Run the cases with these numbers. Returns one text for each that failed."""
    failures: list[str] = []
    _warm_up(reader)
    left = list(numbers)
    while left:
        with tempfile.TemporaryDirectory(prefix="codeword-attack-") as base:
            started, ended = _run_in_child(reader, left, Path(base), failures)
        if ended is None:
            break
        failures.append(f"--case {reader.name}:{left[started]} {ended}")
        left = left[started + 1 :]
    return failures


@cache
def _warm_up(reader: Reader) -> None:
    """Load what is loaded only once, before the child begins."""
    for number in range(-5, 0):
        with tempfile.TemporaryDirectory() as folder, suppress(Exception):
            reader.attack(random.Random(number), Path(folder))


def _run_in_child(reader: Reader, numbers: list[int], base: Path, failures: list[str]) -> tuple[int, str | None]:
    """The index of the last case that began, and the way in which the child ended, or None if it ran all cases."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        code = 1
        try:
            _run_all(reader, numbers, base, sink)
            code = 0
        finally:
            os._exit(code)
    os.close(sink)
    last, hangs = 0, False
    with os.fdopen(source, "rb") as lines:
        while True:
            if not select.select([lines], [], [], HANGS_AFTER_S)[0]:
                os.kill(child, signal.SIGKILL)
                hangs = True
            if not (line := lines.readline()):
                break
            message = json.loads(line)
            if isinstance(message, int):
                last = message
            else:
                failures.append(message)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if hangs:
        return last, f"does not end within {HANGS_AFTER_S} s"
    return last, f"ends the process with {status}" if status else None


def _run_all(reader: Reader, numbers: list[int], base: Path, sink: int) -> None:
    work, temporary, here = (base / "deep" / "down" / name for name in ("work", "tmp", "cwd"))
    for folder in (work, temporary, here):
        folder.mkdir(parents=True)
    os.chdir(here)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Libraries in C print what they find.
    tempfile.tempdir = str(temporary)
    if size_mib := _memory("VmSize"):
        most = int(size_mib * 2**20) + MOST_BYTES_MORE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    os.environ["XDG_CACHE_HOME"] = str(work / "cache")
    untouched = _files(base)
    for index, number in enumerate(numbers):
        os.write(sink, b"%d\n" % index)
        try:
            run_one(reader, number, work)
            found = _files(base, below=work)
            assert found == untouched, f"written outside its folder: {sorted(found - untouched)}"
        except BaseException:
            text = f"--case {reader.name}:{number}\n{traceback.format_exc()[-3000:]}"
            os.write(sink, json.dumps(text).encode() + b"\n")
        for entry in os.scandir(work):
            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)


def _files(base: Path, *, below: Path | None = None) -> set[str]:
    found = set()
    for folder, folders, files in os.walk(base):
        if folder == str(below):
            folders.clear()
            continue
        found |= {os.path.join(folder, name) for name in (*folders, *files)}
    return found


def run_one(reader: Reader, number: int, work: Path) -> None:
    """Run one case in the empty folder `work`, and compare what it took with the bounds."""
    rng = random.Random(f"{reader.name}:{number}")
    before = _memory("VmRSS")
    if before:
        _PEAK_RESET.write_text("5")
    started = time.process_time()
    size_bytes = 0
    try:
        with refusable():
            size_bytes = reader.attack(rng, work)
    finally:
        seconds, growth = time.process_time() - started, _memory("VmHWM") - before
    if not size_bytes:  # Refused.
        size_bytes = sum(path.lstat().st_size for path in work.rglob("*") if path.is_file())
    most_s = reader.seconds + reader.us_per_byte * size_bytes / 1e6
    most_mib = reader.mib + reader.bytes_per_byte * size_bytes / 2**20
    assert seconds < most_s, f"{size_bytes} bytes took {seconds:.1f} s, more than {most_s:.1f} s"
    assert growth < most_mib, f"{size_bytes} bytes took {growth:.0f} MiB, more than {most_mib:.0f} MiB"


def _memory(name: str) -> float:
    """A line of the process's status in MiB; 0 where the system has no such file."""
    try:
        lines = io.StringIO(_STATUS.read_text())
    except OSError:
        return 0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
