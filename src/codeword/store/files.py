"""Files and folders that are written whole or not at all, and small JSON objects."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

from codeword.errors import CodewordError, ModelError, UsageError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
RECIPE_FILE = "recipe.json"
MAX_CONFIG_BYTES = 1 << 20


def check_place(path: Path, *, replace: bool) -> None:
    """Raises UsageError if a file at `path` would replace a folder, a device, a pipe, or, without `replace`, a file.

    The same if the path leads through a file.
    """
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder, but a file is written; give the path of a file.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path} is a device or a pipe, which a file would replace; give the path of a file.")
    if os.path.exists(path) and not replace:
        raise UsageError(f"{path} exists already; choose another path, or set `force` to replace it.")
    if os.path.exists(path.parent) and not os.path.isdir(path.parent):
        raise UsageError(f"Could not write {path} ({path.parent} is not a folder); choose another path.")


@contextmanager
def atomic_file(path: Path, *, replace: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` on exit; after an error nothing there has changed.

    If `path` is a link, the file that it leads to is written. Without `replace`, a file that exists at `path` is kept,
    even if it appears while the temporary file is written.

    Raises:
        UsageError: as `check_place`.
        CodewordError: the disk is full, or the path cannot be written to.
    """
    check_place(path, replace=replace)
    target = Path(os.path.realpath(path))
    # A short name, because that of the target may be as long as the file system allows.
    temporary = target.with_name(f".{target.name[:40]}.{token_hex(8)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _move(temporary, target, replace=replace)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _move(temporary: Path, target: Path, *, replace: bool) -> None:
    if not replace:
        try:
            # Unlike renaming, linking fails if the target exists.
            os.link(temporary, target)
            return
        except FileExistsError:
            raise
        except OSError:  # The file system has no hard links.
            check_place(target, replace=False)
    temporary.replace(target)


def not_written(path: Path, error: OSError) -> CodewordError:
    """The error for a file or folder that cannot be written, with the reason that the system gives."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    way_out = "free some space, or choose another place" if full else "choose another path"
    return CodewordError(f"Could not write {path} ({error.strerror or error}); {way_out}.")


def write_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write `content` to `path`; a reader never sees a partial file. Raises UsageError, CodewordError."""
    with atomic_file(path, replace=replace) as file:
        file.write(content)


def write_json(path: Path, tree: Any) -> None:
    """Write plain data as indented JSON, atomically."""
    write_atomically(path, (json.dumps(tree, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a small JSON object. Raises ModelError."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"{path} is larger than any config ({MAX_CONFIG_BYTES} bytes), so it is no Codeword config."
            )
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"{path.parent} is not a model folder: {path.name} cannot be read ({error.strerror})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(tree, dict):
        raise ModelError(f"{path} holds no JSON object; fetch or save it again.")
    return tree


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield the path of a new folder to write a model into; on exit its files replace those of `folder`.

    `config.json` is replaced last, so that a folder that has one is complete.

    Raises:
        CodewordError: `folder` cannot be written.
    """
    # A short name, as that of a temporary file, and another one for each process.
    staging = folder.with_name(f".{folder.name[:40]}.{token_hex(8)}")
    try:
        yield staging
        files = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        # Configs last, and the outermost of them at the very end.
        for name in sorted(files, key=lambda name: (name.name == CONFIG_FILE, -len(name.parts))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except OSError as error:
        raise not_written(folder, error) from error
    except CodewordError as error:
        # A person knows the folder, not the staging one.
        raise type(error)(str(error).replace(str(staging), str(folder))) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
