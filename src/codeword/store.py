"""Models as folders: `config.json` beside `model.safetensors`, written atomically, read without trust.

Nothing here unpickles. A folder from a stranger is read in this order: the config is validated, the
module is built without memory (on the `meta` device), every tensor's name, shape and type in the file's
header is compared with it, and only then is anything loaded.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from codeword.config import Config, validate_json
from codeword.errors import CodewordError, ModelError, RecipeError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Write all of `content` to `path` or leave what was there; a reader never sees half a file.

    Raises:
        CodewordError: the disk is full, or the place cannot be written to.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # NamedTemporaryFile makes files that only their owner can read.
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CodewordError(
            f"Could not write {path}: {error.strerror}; what stood there before is unchanged. "
            f"Free some space or choose another place, then run the command again."
        ) from error


def write_json(path: Path, tree: Any) -> None:
    """Write plain data as indented JSON, atomically."""
    write_atomically(path, (json.dumps(tree, indent=2, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: dict[str, Tensor], *, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors as safetensors, atomically."""
    # Clones, because safetensors refuses tensors that share memory, and channels_last ones.
    plain = {
        name: t.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        for name, t in tensors.items()
    }
    write_atomically(path, save(plain, metadata))


def read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read a safetensors file that must hold exactly the names, shapes and types of `expected`.

    Raises:
        ModelError: the file is missing, cut short, corrupt, or does not fit.
    """
    with _opened(path) as file:
        names = set(file.keys())
        if missing := expected.keys() - names:
            raise ModelError(
                f"{path} lacks {_some(missing)}; it was made by another version or another config."
            )
        if surplus := names - expected.keys():
            raise ModelError(f"{path} holds {_some(surplus)}, which its config does not describe.")
        for name, like in expected.items():
            shape = tuple(file.get_slice(name).get_shape())
            if shape != tuple(like.shape):
                raise ModelError(
                    f"{path}: {name} has shape {shape}, but the config describes {tuple(like.shape)}."
                )
        # A clone, because the file is mapped: whoever replaces it later must not change our weights.
        tensors = {name: file.get_tensor(name).clone() for name in expected}
    for name, like in expected.items():
        if tensors[name].dtype != like.dtype:
            raise ModelError(f"{path}: {name} is {tensors[name].dtype}, but {like.dtype} is needed.")
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata in a safetensors file's header. Raises ModelError."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open; what goes wrong with it becomes a ModelError."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a readable safetensors file ({error}); fetch or save it again."
        ) from error


class Pretrained(nn.Module):
    """A module that one config describes whole, and that lives in a folder or on the Hugging Face Hub.

    A subclass sets `config_class` and takes one such config as its only constructor argument. All of its
    state is in parameters and persistent buffers.
    """

    config_class: ClassVar[type[Config]]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `model.safetensors` and then `config.json` into `folder`, each whole: with a config it is complete.

        Raises:
            CodewordError: the folder cannot be written; an older model there is unchanged.
        """
        folder = Path(folder)
        staging = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(staging, ignore_errors=True)
        try:
            write_json(staging / CONFIG_FILE, self._config.model_dump(mode="json"))
            write_tensors(staging / WEIGHTS_FILE, self.state_dict())
            folder.mkdir(parents=True, exist_ok=True)
            for name in (WEIGHTS_FILE, CONFIG_FILE):
                (staging / name).replace(folder / name)
        except OSError as error:
            raise CodewordError(
                f"Could not write {folder}: {error.strerror}; choose another place."
            ) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | Path) -> Self:
        """Load from a folder, or from a repository of the Hugging Face Hub; ready to evaluate, on the CPU.

        Raises:
            ModelError: nothing is there, or it is not a model of this class.
        """
        folder = Path(folder_or_repo)
        if not folder.is_dir():
            folder = _download(str(folder_or_repo))
        config = read_config(folder, cls.config_class)
        with torch.device("meta"):
            model = cls(config)
        model.load_state_dict(read_tensors(folder / WEIGHTS_FILE, model.state_dict()), assign=True)
        return model.eval()

    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of the config and of every tensor's name, type, shape and numbers.

        Two models of the same fingerprint are the same model, wherever they lie and however they were stored.
        """
        digest = hashlib.sha256(self._config.model_dump_json().encode())
        for name, tensor in sorted(self.state_dict().items()):
            plain = tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
            digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def push_to_hub(self, repo: str, *, private: bool = False) -> str:
        """Upload to the Hugging Face Hub as `owner/name`, creating it where needed; returns its address."""
        from huggingface_hub import HfApi

        api = HfApi()
        address = api.create_repo(repo, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "model")
            api.upload_folder(repo_id=repo, folder_path=Path(folder) / "model")
        return str(address)


def read_config(folder: Path, config_class: type[Config]) -> Any:
    """The validated `config.json` of a model folder. Raises ModelError."""
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(
                f"{path} is larger than any config ({MAX_CONFIG_BYTES} bytes); it is not one of ours."
            )
        return validate_json(config_class, path.read_bytes(), place=str(path))
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model folder: {CONFIG_FILE} cannot be read ({error.strerror})."
        ) from error
    except RecipeError as error:
        raise ModelError(str(error)) from error


def _download(repo: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    missing = f"There is no model folder {repo!r}"
    if repo.count("/") != 1 or repo.startswith((".", "/")):
        raise ModelError(f"{missing}; give a folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.")
    try:
        return Path(snapshot_download(repo, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{missing}, and the Hugging Face Hub does not give one of that name ({error})."
        ) from error


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
