"""Files that are written: nothing that exists is lost, and an error says what is wrong."""

import errno
import os
from pathlib import Path

import pytest

from codeword.errors import CodewordError, UsageError
from codeword.store import CONFIG_FILE, atomic_file, not_written, staged, write_atomically, write_json


def test_a_file_that_exists_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old", replace=False)
    with pytest.raises(UsageError, match="file exists already; choose another path, or set `force`"):
        write_atomically(path, b"new", replace=False)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(CodewordError, match="File exists"), atomic_file(path, replace=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("target_exists", [True, False])
def test_a_link_stays_a_link(target_exists: bool, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    if target_exists:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_is_no_place_for_a_file_stays_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name, says in (
        ("pipe", "a device or a pipe"),
        ("device", "a device or a pipe"),
        ("folder", "is a folder"),
        ("pipe/file", "pipe is not a folder"),
    ):
        with pytest.raises(UsageError, match=says):
            write_atomically(tmp_path / name, b"new")
    assert (tmp_path / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()


def test_the_mode_is_that_of_other_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), b"")
    with pytest.raises(CodewordError, match=r"\(File name too long\); choose another path"):
        write_atomically(tmp_path / ("n" * 256), b"")


def test_only_a_full_disk_asks_for_space() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        assert "free some space" in str(not_written(Path("x"), OSError(number, os.strerror(number))))
    for number in (errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR):
        error = str(not_written(Path("x"), OSError(number, os.strerror(number))))
        assert os.strerror(number) in error
        assert "space" not in error


def test_two_folders_are_written_at_once_and_errors_name_the_place_of_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with staged(folder) as first, staged(folder) as second:
        for staging in (first, second):
            write_json(staging / CONFIG_FILE, {})
    assert [path.name for path in tmp_path.rglob("*")] == ["model", CONFIG_FILE]
    with pytest.raises(CodewordError, match=f"Could not write {tmp_path}/new/part/xxx"):
        write_below_a_long_name(tmp_path / "new")


def write_below_a_long_name(folder: Path) -> None:
    with staged(folder) as outer, staged(outer / "part") as inner:
        write_json(inner / ("x" * 300), {})
