"""Files and folders that are written whole or not at all, and small JSON objects."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from codeword.errors import CodewordError, ModelError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` on exit; after an error the old file is unchanged.

    Raises:
        CodewordError: the disk is full, or the path cannot be written to.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # NamedTemporaryFile makes files that only their owner can read.
        temporary.replace(path)
    except OSError as error:
        raise CodewordError(
            f"Could not write {path}: {error.strerror or error}; an older file there is unchanged. "
            f"Free some space or choose another place, then try again."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`; a reader never sees a partial file. Raises CodewordError as `atomic_file`."""
    with atomic_file(path) as file:
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
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        yield staging
        files = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        # Configs last, and the outermost of them at the very end.
        for name in sorted(files, key=lambda name: (name.name == CONFIG_FILE, -len(name.parts))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except OSError as error:
        raise CodewordError(f"Could not write {folder}: {error.strerror}; choose another folder.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
