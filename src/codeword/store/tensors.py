"""Named tensors in safetensors files, as they are or compact; nothing is unpickled.

A file may be **compact**: a large tensor `name` is then int8, and `name.scale` float32 holds the value of one step for
each output of the layer: it has one entry for each entry of one axis, and ones along the others.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from codeword.errors import ModelError
from codeword.store.files import write_atomically

COMPACT_FROM = 1024
"""Smallest number of elements of a compact tensor; smaller tensors stay float32, because they need little space."""

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
"""Names of types in safetensors headers; models and checkpoints use only these types."""


def write_tensors(path: Path, tensors: dict[str, Tensor], *, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors as safetensors, atomically."""
    # Clones, because safetensors refuses tensors that share memory, and channels_last ones.
    plain = {name: t.detach().cpu().contiguous(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    write_atomically(path, save(plain, metadata))


def read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read a safetensors file that must hold exactly the names, shapes and types of `expected`.

    Raises:
        ModelError: the file is missing, cut short, corrupt, does not fit, or a number in it is not finite.
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
        # Clones, because the file is mapped: replacing it later must not change the loaded weights.
        tensors = {
            name: restore(file.get_tensor(name), file.get_tensor(name + _SCALE), f"{path}: {name + _SCALE}")
            if name in compact
            else file.get_tensor(name).clone()
            for name in expected
        }
    if wrong := {name for name, tensor in tensors.items() if not _is_finite(tensor)}:
        raise ModelError(f"{path}: {_some(wrong)} holds numbers that are not finite; fetch or save it again.")
    return tensors


def _must_be(file: Any, path: Path, name: str, shapes: Collection[tuple[int, ...]], dtype: torch.dtype) -> None:
    """Compare the shape and type in the header. Raises ModelError."""
    header = file.get_slice(name)
    found = tuple(header.get_shape())
    if found not in shapes:
        right = " or ".join(map(str, shapes))
        raise ModelError(f"{path}: {name} has shape {found}, but the config describes {right}.")
    if header.get_dtype() != _HEADER_TYPES[dtype]:
        raise ModelError(f"{path}: {name} is {header.get_dtype()}, but {_HEADER_TYPES[dtype]} is needed.")


def _is_finite(tensor: Tensor) -> bool:
    # The smallest and the largest number are NaN if one of them is; `isfinite` takes ten times as long.
    return not (tensor.is_floating_point() and tensor.numel()) or all(isfinite(n) for n in tensor.aminmax())


def _fits_compact(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.ndim >= 2 and tensor.numel() >= COMPACT_FROM


def _scale_shape(tensor: Tensor, axis: int) -> tuple[int, ...]:
    return tuple(n if i == axis else 1 for i, n in enumerate(tensor.shape))


def compacted(tensors: dict[str, Tensor], output_axes: Mapping[str, int]) -> dict[str, Tensor]:
    """Large tensors as int8 and scales, the others as they are; outputs lie on axis 0 unless `output_axes` differs.

    Reading a compact tensor and compacting it again gives the same bits: a scale has 16 significant bits, so that its
    product with an int8 is exact, and the largest number of each output is always 127 times its scale.

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
        # Rounded down, by cutting off the last 8 bits, so that the largest float32 does not overflow. Scales too small
        # to have 16 significant bits become zero.
        scale = (largest / 127).view(torch.int32).bitwise_and(~0xFF).view(torch.float32)
        scale = torch.where(largest < _SMALLEST, 0.0, scale)
        steps = (weights / torch.where(scale > 0, scale, 1.0)).round() * (scale > 0)
        stored[name], stored[name + _SCALE] = steps.to(torch.int8), scale
    return stored


def restore(steps: Tensor, scale: Tensor, place: str) -> Tensor:
    """An int8 tensor and its scale, which broadcasts to it, as float32. Raises ModelError."""
    if not (scale.isfinite() & (scale >= 0)).all():
        raise ModelError(f"{place} holds a scale that is negative or not finite; fetch or save the model again.")
    return steps.float() * scale


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, compact ones as float32. Raises ModelError."""
    return {
        name: restore(tensor, stored[name + _SCALE], name + _SCALE) if name + _SCALE in stored else tensor
        for name, tensor in stored.items()
        if not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in stored)
    }


def read_stored(path: Path) -> dict[str, Tensor]:
    """All tensors of a file as they are stored, compact ones included. Raises ModelError."""
    with _opened(path) as file:
        return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata in a safetensors file's header. Raises ModelError."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open safetensors file; errors of reading become a ModelError."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}); fetch or save it again.") from error


def digest_tensors(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, as hex digits, of a text and of every tensor's name, type, shape and numbers."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        digest.update(f"\n{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _some(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
