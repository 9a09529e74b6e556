"""Models as folders: `config.json` beside `model.safetensors`, written atomically, read without trust.

Nothing here unpickles. A folder from a stranger is read in this order: the config is validated, the
module is built without memory (on the `meta` device), every tensor's name, shape and type in the file's
header is compared with it, and only then is anything loaded.

A file may be **compact**: a large tensor `name` is then int8, and `name.scale` float32 says what one step is worth,
for each output of the layer: it has one number for each entry of one axis, and ones along the others.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from codeword.config import Config, validate
from codeword.errors import CodewordError, ModelError, RecipeError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20
FORMAT = 2
"""Of `config.json` and of the names of tensors; `codeword upgrade` converts what has an earlier one."""
COMPACT_FROM = 1024
"""Numbers: smaller tensors stay float32 in a compact file, where they weigh little."""

_SCALE = ".scale"
_SMALLEST = 2.0**-100
_HEADER_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""How safetensors writes types; models and checkpoints use no others."""


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
    plain = {name: t.detach().cpu().contiguous(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    write_atomically(path, save(plain, metadata))


def read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read a safetensors file that must hold exactly the names, shapes and types of `expected`.

    Raises:
        ModelError: the file is missing, cut short, corrupt, or does not fit.
    """
    with _opened(path) as file:
        names = set(file.keys())
        if missing := expected.keys() - names:
            raise ModelError(f"{path} lacks {_some(missing)}; it was made by another version or another config.")
        compact = {name for name, like in expected.items() if _fits_compact(like) and name + _SCALE in names}
        if surplus := names - expected.keys() - {name + _SCALE for name in compact}:
            raise ModelError(f"{path} holds {_some(surplus)}, which its config does not describe.")
        for name, like in expected.items():
            if name in compact:
                _must_be(file, path, name, (tuple(like.shape),), torch.int8)
                scales = [_scale_shape(like, axis) for axis in (0, 1)]
                _must_be(file, path, name + _SCALE, scales, torch.float32)
            else:
                _must_be(file, path, name, (tuple(like.shape),), like.dtype)
        # A clone, because the file is mapped: whoever replaces it later must not change our weights.
        return {
            name: restore(file.get_tensor(name), file.get_tensor(name + _SCALE), f"{path}: {name + _SCALE}")
            if name in compact
            else file.get_tensor(name).clone()
            for name in expected
        }


def _must_be(file: Any, path: Path, name: str, shapes: Collection[tuple[int, ...]], dtype: torch.dtype) -> None:
    """By the header alone. Raises ModelError."""
    header = file.get_slice(name)
    found = tuple(header.get_shape())
    if found not in shapes:
        right = " or ".join(map(str, shapes))
        raise ModelError(f"{path}: {name} has shape {found}, but the config describes {right}.")
    if header.get_dtype() != _HEADER_TYPES[dtype]:
        raise ModelError(f"{path}: {name} is {header.get_dtype()}, but {_HEADER_TYPES[dtype]} is needed.")


def _fits_compact(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.ndim >= 2 and tensor.numel() >= COMPACT_FROM


def _scale_shape(tensor: Tensor, axis: int) -> tuple[int, ...]:
    return tuple(n if i == axis else 1 for i, n in enumerate(tensor.shape))


def compacted(tensors: dict[str, Tensor], output_axes: Mapping[str, int]) -> dict[str, Tensor]:
    """Large tensors as int8 and scales, the others as they are; outputs lie on axis 0 unless `output_axes` says else.

    What is read again of them, and made compact again, is the same to the last bit: a scale has 16 significant bits,
    so that its product with an int8 is exact, and the largest number it serves is always 127 times the scale.

    Raises:
        ModelError: a number is not finite.
    """
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if not _fits_compact(tensor):
            continue
        weights = tensor.detach().cpu()
        if not weights.isfinite().all():
            raise ModelError(f"{name} holds numbers that are not finite, which cannot be stored compactly.")
        kept = output_axes.get(name, 0)
        largest = weights.abs().amax([axis for axis in range(weights.ndim) if axis != kept], keepdim=True)
        # Rounded down, by cutting the last 8 bits off, so that the largest float32 does not overflow. What is too
        # small to have 16 significant bits is zero.
        scale = (largest / 127).view(torch.int32).bitwise_and(~0xFF).view(torch.float32)
        scale = torch.where(largest < _SMALLEST, 0.0, scale)
        steps = (weights / torch.where(scale > 0, scale, 1.0)).round() * (scale > 0)
        stored[name], stored[name + _SCALE] = steps.to(torch.int8), scale
    return stored


def restore(steps: Tensor, scale: Tensor, place: str) -> Tensor:
    """An int8 tensor and its scale, which broadcasts to it, as float32. Raises ModelError."""
    if not (scale.isfinite() & (scale >= 0)).all():
        raise ModelError(f"{place} holds a step that is negative or not finite; fetch or save the model again.")
    return steps.float() * scale


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, compact ones as float32. Raises ModelError."""
    return {
        name: restore(tensor, stored[name + _SCALE], name + _SCALE) if name + _SCALE in stored else tensor
        for name, tensor in stored.items()
        if not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in stored)
    }


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
        raise ModelError(f"{path} is not a readable safetensors file ({error}); fetch or save it again.") from error


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """An empty folder to write a model into; in the end its files replace those of `folder`, `config.json` last.

    Raises:
        CodewordError: `folder` cannot be written.
    """
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        yield staging
        files = [path.relative_to(staging) for path in staging.rglob("*") if path.is_file()]
        # Configs last, and of these the outermost: a folder that has one is complete.
        for name in sorted(files, key=lambda name: (name.name == CONFIG_FILE, -len(name.parts))):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
    except OSError as error:
        raise CodewordError(f"Could not write {folder}: {error.strerror}; choose another place.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class Pretrained(nn.Module):
    """A module that one config describes whole, and that lives in a folder or on the Hugging Face Hub.

    A subclass sets `config_class` and takes one such config as its only constructor argument. All of its
    state is in parameters and persistent buffers.
    """

    config_class: ClassVar[type[Config]]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def save_pretrained(self, folder: str | Path, *, compact: bool = False) -> None:
        """Write `model.safetensors` and then `config.json` into `folder`, each whole: with a config it is complete.

        `compact` takes a quarter of the space: large tensors are rounded to 8 bits a number, output by output.

        Raises:
            CodewordError: the folder cannot be written; an older model there is unchanged.
        """
        tensors = self.state_dict()
        if compact:
            # The one kind of layer whose first axis is its inputs.
            transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d)
            axes = {f"{name}.weight": 1 for name, part in self.named_modules() if isinstance(part, transposed)}
            tensors = compacted(tensors, axes)
        with staged(Path(folder)) as staging:
            write_json(staging / CONFIG_FILE, {"format": FORMAT, **self._config.model_dump(mode="json")})
            write_tensors(staging / WEIGHTS_FILE, tensors)

    @classmethod
    def from_pretrained(cls, folder_or_repo: str | Path) -> Self:
        """Load from a folder, or from a repository of the Hugging Face Hub; ready to evaluate, on the CPU.

        Raises:
            ModelError: nothing is there, or it is not a model of this class.
        """
        folder = locate(folder_or_repo, (CONFIG_FILE, WEIGHTS_FILE))
        config = read_config(folder, cls.config_class)
        with torch.device("meta"):
            model = cls(config)
        model.load_state_dict(read_tensors(folder / WEIGHTS_FILE, model.state_dict()), assign=True)
        return model.eval()

    @property
    def fingerprint(self) -> str:
        """SHA-256, as hex digits, of the config and of every tensor's name, type, shape and numbers.

        Two models of the same fingerprint are the same model, wherever they lie and however they were stored.
        """
        return digest_tensors(self._config.model_dump_json(), self.state_dict())

    def push_to_hub(self, repo: str, *, private: bool = False) -> str:
        """Upload to the Hugging Face Hub as `owner/name`, creating it where needed; returns its address.

        Raises:
            CodewordError: the Hub does not take it.
        """
        return upload(self.save_pretrained, repo, private=private)


def digest_tensors(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, as hex digits, of a text and of every tensor's name, type, shape and numbers."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """A small JSON object. Raises ModelError."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{path} is larger than any config ({MAX_CONFIG_BYTES} bytes); it is not one of ours.")
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


def read_config(folder: Path, config_class: type[Config]) -> Any:
    """The validated `config.json` of a model folder. Raises ModelError."""
    path = folder / CONFIG_FILE
    tree = read_json(path)
    if (found := tree.pop("format", 1)) != FORMAT:
        way_out = "convert it with `codeword upgrade`" if found == 1 else "update Codeword"
        raise ModelError(f"{path} has format {found}, and this version of Codeword reads {FORMAT}; {way_out}.")
    try:
        return validate(config_class, tree, place=str(path))
    except RecipeError as error:
        raise ModelError(str(error)) from error


def locate(folder_or_repo: str | Path, files: Collection[str]) -> Path:
    """The folder itself, or the copy of these `files` of a repository of the Hugging Face Hub. Raises ModelError."""
    if Path(folder_or_repo).is_dir():
        return Path(folder_or_repo)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo = str(folder_or_repo)
    missing = f"There is no model folder {repo!r}"
    if repo.count("/") != 1 or repo.startswith((".", "/")):
        raise ModelError(f"{missing}; give a folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}.")
    try:
        return Path(snapshot_download(repo, allow_patterns=list(files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"{missing}, and the Hugging Face Hub does not give one of that name ({error}).") from error


def upload(save: Callable[[Path], None], repo: str, *, private: bool) -> str:
    """What `save` writes into a folder, to the Hugging Face Hub as `owner/name`; returns its address.

    Raises:
        CodewordError: the Hub does not take it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model")
        try:
            address = api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=Path(folder) / "model")
        except (HfHubHTTPError, HFValidationError) as error:
            raise CodewordError(
                f"The Hugging Face Hub did not take {repo!r} ({error}); log in with `hf auth login` and give "
                f"owner/name."
            ) from error
    return str(address)


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
