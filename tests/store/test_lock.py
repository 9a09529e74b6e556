"""The lock of a folder: one holder at a time, and none after a crash."""

import subprocess
import sys
from pathlib import Path

import pytest

from codeword.errors import CodewordError, UsageError
from codeword.store import LOCK_FILE, locked

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_ends_even_by_a_kill(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", HOLD, tmp_path / LOCK_FILE]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=r"Another process is writing to .*; wait until"), locked(tmp_path):
            pass
        process.kill()
    with locked(tmp_path):
        pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / "new"):
        raise ValueError("inside")
    with locked(tmp_path / "new"), pytest.raises(UsageError, match="Another process"), locked(tmp_path / "new"):
        pass


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CodewordError, match=r"Could not write .*file \("), locked(tmp_path / "file"):
        pass
