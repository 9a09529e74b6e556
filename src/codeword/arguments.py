"""Checks of signals, codes, labels and sizes where they enter the library: their type, shape and range.

A wrong one would be coded into something else, or fail deep inside another library. Each error says what came, what is
expected, and the conversion in one line where one is known. Integers of any type are accepted, as tensors and arrays.
"""

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import index

import numpy as np
import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import UsageError

_KEPT = (torch.uint8, torch.int32, torch.int64)
"""Integers that the library computes with; other integers become int64."""

Shape = tuple[int | str, ...]
"""The numbers of a shape; an axis of any length is a name."""

# Layouts that are met often, as text and as the function that gives the shape.
_LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "[None]": lambda x: x[None],
    "[0]": lambda x: x[0],
    ".movedim(-1, 0)": lambda x: x.movedim(-1, 0),
    ".movedim(-1, 0)[None]": lambda x: x.movedim(-1, 0)[None],
    ".movedim(-1, 1)": lambda x: x.movedim(-1, 1),
    "[:, None]": lambda x: x[:, None],
    "[..., None]": lambda x: x[..., None],
    "[None, None]": lambda x: x[None, None],
    "[None, ..., None]": lambda x: x[None, ..., None],
}


def check_signals(x: object, config: TokenizerConfig, *, batched: bool = True) -> Tensor:
    """Return x (B, C, *S), or (C, *S) if not `batched`, as integers in [0, values) for a tokenizer. Raises UsageError.

    The message reads: x is a tensor of float32 of shape (3, 32, 32) with values in [0, 1]; expected integers of shape
    (B, 3, S1, S2) in [0, 256): use (255 * x).round().to(torch.uint8)[None].
    """

    def integers(text: str, given: Tensor) -> str | None:
        return _integers(text, given, config.values, is_wave=config.sample_rate is not None)

    shape: Shape = (*["B"] * batched, config.channels, *_axes("S", config.ndim))
    return _Expected("x", shape, (config.values,), integers).check(x)


def check_codes(
    codes: object, codebook_sizes: Sequence[int], *, ndim: int, leading: Container[int] = (), batched: bool = True
) -> Tensor:
    """Return codes (B, *G, K), or (*G, K) if not `batched`, as int64 below the `codebook_sizes`. Raises UsageError.

    K may also be one of the smaller numbers in `leading`.
    """
    sizes = tuple(codebook_sizes)
    shape = getattr(codes, "shape", None)
    if shape and shape[-1] in leading:
        sizes = sizes[: shape[-1]]
    return _Expected("codes", (*["B"] * batched, *_axes("G", ndim), len(sizes)), sizes, _whole).check(codes).long()


def check_labels(label: object, *, batch: int, classes: int) -> Tensor | None:
    """Return labels (batch,) in [0, classes], where `classes` is the null class; None where there are no classes.

    Raises UsageError.
    """
    if label is None or not classes:
        return None
    return _Expected("label", (batch,), (classes + 1,), _whole).check(label).long()


def check_class(label: int | None, classes: int) -> None:
    """Raise UsageError if there is no class of this number."""
    if label is not None and not (_is_whole(label) and 0 <= label < classes):
        numbers = f"give a number from 0 to {classes - 1}, or leave the label out" if classes else "leave the label out"
        raise UsageError(f"This model has {classes} classes, so there is no class {label!r}; {numbers}.")


def check_size(size: Sequence[int] | None, *, ndim: int, name: str = "size") -> tuple[int, ...]:
    """Return `ndim` whole numbers above 0. Raises UsageError."""
    numbers = size if isinstance(size, tuple | list) else ()
    if len(numbers) != ndim or not all(_is_whole(n) and n > 0 for n in numbers):
        example = (64, 48, 32)[:ndim]
        raise UsageError(f"{name} is {size!r}; expected whole numbers above 0, one for each axis, as in {example}.")
    return tuple(map(index, numbers))


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


@dataclass(frozen=True)
class _Expected:
    """Integers of a shape, whose free axes are names; number k of the last axis is below `limits[k]`, or all are below
    the only limit.

    `convert` takes the text of an expression and its tensor, and gives the text that makes integers of it, if it can.
    """

    name: str
    shape: Shape
    limits: tuple[int, ...]
    convert: Callable[[str, Tensor], str | None]

    def check(self, given: object) -> Tensor:
        """The integers, as a tensor. Raises UsageError."""
        if torch.compiler.is_compiling() and isinstance(given, Tensor):
            return given  # A graph that is traced for export has no numbers yet.
        tensor = _as_tensor(given)
        if tensor is None or not (self._has_shape(tensor) and _is_integer(tensor)):
            raise self._error(given)
        tensor = tensor if tensor.dtype in _KEPT else tensor.long()
        if not self._is_in_range(tensor):
            raise self._error(given)
        return tensor

    def _has_shape(self, tensor: Tensor) -> bool:
        return len(tensor.shape) == len(self.shape) and all(
            n > 0 if isinstance(wanted, str) else n == wanted
            for n, wanted in zip(tensor.shape, self.shape, strict=True)
        )

    def _is_in_range(self, tensor: Tensor) -> bool:
        parts = [tensor] if len(self.limits) == 1 else tensor.unbind(-1)
        return all(_is_below(part, limit) for part, limit in zip(parts, self.limits, strict=True))

    def _error(self, given: object) -> UsageError:
        limits = set(self.limits)
        below = f"in [0, {limits.pop()})" if len(limits) == 1 else f"below {list(self.limits)}, and not below 0"
        expected = f"expected integers of shape ({_listed(self.shape)}) {below}"
        conversion = self._conversion(given)
        way_out = f"use {conversion}" if conversion else f"give such a {'tensor' if self.shape else 'number'}"
        return UsageError(f"{self.name} is {_described(given)}; {expected}: {way_out}.")

    def _conversion(self, given: object) -> str | None:
        """The expression that makes of `given` what is expected, or None if none is known."""
        text, tensor = _reading(self.name, given, self.shape) or ("", torch.empty(0))
        for layout, change in _LAYOUTS.items():
            try:
                laid_out = change(tensor)
            except (IndexError, RuntimeError):
                continue
            if self._has_shape(laid_out):
                right = _is_integer(tensor) and self._is_in_range(laid_out.long())
                converted = text if right else self.convert(text, tensor)
                return converted and converted + layout
        return None


def _axes(name: str, count: int) -> list[str]:
    return [f"{name}{axis}" for axis in range(1, count + 1)] if count > 1 else [name]


def _listed(shape: Shape) -> str:
    return ", ".join(map(str, shape)) + "," * (len(shape) == 1)


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _is_below(tensor: Tensor, limit: int) -> bool:
    if tensor.dtype == torch.uint8 and limit > torch.iinfo(torch.uint8).max:
        return True
    smallest, largest = tensor.aminmax()
    return bool(smallest >= 0) and bool(largest < limit)


def _as_tensor(given: object) -> Tensor | None:
    """A tensor, or an array of numbers as a tensor; None for anything else."""
    if isinstance(given, Tensor):
        return given
    if isinstance(given, np.ndarray) and given.dtype.kind in "biuf" and given.dtype.itemsize <= 8:
        # A copy, because torch takes no array that is read-only, reversed, or of another byte order.
        return torch.from_numpy(np.array(given, given.dtype.newbyteorder("="), order="C"))
    return None


def _reading(name: str, given: object, shape: Shape) -> tuple[str, Tensor] | None:
    """An expression that makes a tensor of `given`, and this tensor."""
    tensor = _as_tensor(given)
    if tensor is not None:
        text = name if isinstance(given, Tensor) else f"torch.from_numpy({name})"
        return (text, tensor) if tensor.numel() else None
    with suppress(TypeError, ValueError, RuntimeError):
        if isinstance(given, int) and len(shape) == 1 and isinstance(shape[0], int):
            return f"torch.full(({shape[0]},), {name})", torch.full((shape[0],), given)
        if isinstance(given, list | tuple):
            return f"torch.tensor({name})", torch.tensor(given)
        if hasattr(given, "__array_interface__"):  # A picture of Pillow.
            return f"torch.from_numpy(np.array({name}))", torch.from_numpy(np.array(given))
    return None


def _described(given: object) -> str:
    """The type, and of tensors and arrays the shape and the range."""
    tensor = _as_tensor(given)
    if tensor is None:
        return f"{given!r:.40}" if isinstance(given, str | int | float) else f"of type {type(given).__name__}"
    kind = "a tensor" if isinstance(given, Tensor) else "an array"
    text = f"{kind} of {str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
    if not tensor.numel():
        return f"{text} without values"
    if tensor.is_complex():
        return text
    if not tensor.isfinite().all():
        return f"{text} with values that are not finite"
    low, high = _range(tensor)
    return f"{text} with values in [{low:.7g}, {high:.7g}]"


def _whole(text: str, tensor: Tensor) -> str | None:
    """Floats that hold whole numbers as integers."""
    return f"{text}.long()" if tensor.is_floating_point() and bool((tensor == tensor.round()).all()) else None


def _integers(text: str, tensor: Tensor, values: int, *, is_wave: bool) -> str | None:
    """Floats of a usual scale, and integers of another, as integers in [0, values)."""
    if tensor.dtype == torch.bool:
        return f"({values - 1} * {text}.long())"
    if tensor.is_complex() or not tensor.isfinite().all():
        return None
    low, high = _range(tensor)
    if is_wave and -32768 <= low < 0 and high <= 32767:
        unit = text if tensor.is_floating_point() and low >= -1 and high <= 1 else f"{text} / 32768"
        return f"codeword.media.waves.quantise({unit}, {values})"
    kind = "torch.uint8" if values <= 256 else "torch.int64"
    if tensor.dtype == torch.uint16 and values == 256:
        return f"({text}.long() // 256).to({kind})"
    scales = [
        (0, 1, f"({values - 1} * {text})"),
        (-1, 1, f"({(values - 1) / 2} * ({text} + 1))"),
        (0, values - 1, text),
    ]
    if tensor.is_floating_point():
        for least, most, scaled in scales:
            if least <= low and high <= most:
                return f"{scaled}.round().to({kind})"
    return None


def _range(tensor: Tensor) -> tuple[float, float]:
    smallest, largest = tensor.double().aminmax()
    return float(smallest), float(largest)
