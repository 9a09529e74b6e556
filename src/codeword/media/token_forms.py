"""Files of tokens that another tokenizer made: .npy, .npz, and the Parquet shards that `codeword tokenize` writes.

An array is one signal (*S), or (*S, K) with K codes in each cell; with one more axis in front it holds several signals.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codeword.errors import DataError, reason
from codeword.store.npz import StoredArray, list_arrays, read_array, read_rows

if TYPE_CHECKING:
    from codeword.store.shards import Shard

Integers = NDArray[np.integer[Any]]

MOST_VALUES = 1 << 16

_BLOCK_TOKENS = 1 << 18


@dataclass(frozen=True)
class TokenShape:
    """The grids that a model or a recipe is for: K codes in each cell of `ndim` axes, out of `values` different ones.

    With None, these are as many as 16 bits hold.
    """

    ndim: int
    codes: int
    values: int | None = None

    def check(self, tokens: Integers, place: str) -> Integers:
        """Return integers of any shape as they are. Raises DataError if one is out of range."""
        low, high = int(tokens.min()), int(tokens.max())
        values = self.values or MOST_VALUES
        if low < 0 or high >= values:
            enough = f"; {high + 1} would fit (data.values in a recipe)" if 0 <= low <= high < MOST_VALUES else ""
            raise DataError(f"{place} holds tokens from {low} to {high}, but this is for {values} from 0 on{enough}.")
        return tokens

    def refusal(self, place: str, found: str) -> DataError:
        """The error for a file with grids of another shape."""
        return DataError(
            f"{place} holds {found}, but this is for integers on {self.ndim} axes with {self.codes} codes in each cell "
            f"(data.crop and data.codes in a recipe); reshape them with numpy."
        )

    def full(self, stored: StoredArray, place: str) -> tuple[int, ...]:
        """The shape (*S, K) or (N, *S, K) of an array, where a K of 1 may be left out. Raises DataError."""
        shape, ndim = stored.shape, self.ndim
        if self.codes == 1 and ndim <= len(shape) <= ndim + 1 and (len(shape) == ndim or shape[-1] != 1):
            shape = (*shape, 1)
        fits = len(shape) in (ndim + 1, ndim + 2) and shape[-1] == self.codes and min(shape) > 0
        if stored.dtype.kind not in "iu" or not fits:
            raise self.refusal(place, f"{stored.dtype} of shape {list(stored.shape)}")
        return shape


class TokenFile(ABC):
    """The signals of one file, by number.

    Attributes:
        place: the file, for messages.
        names: the name of each signal within the file; "" for a .npy file that is one signal.
        values: the number of different tokens that the file says it has; None if it says nothing.
        mapped: True if `array` maps the file into memory and does not load it.
    """

    place: str
    names: Sequence[str]
    values: int | None = None
    mapped: bool = False

    @abstractmethod
    def size(self, number: int) -> tuple[int, ...]:
        """The size *S of a signal."""

    @abstractmethod
    def array(self, number: int) -> Integers:
        """The tokens (*S, K) of a signal, in memory or mapped to it, unchecked. Raises DataError."""

    @abstractmethod
    def blocks(self, number: int) -> Iterator[Integers]:
        """The tokens of a signal in consecutive parts (n, ..., K), unchecked, in bounded memory. Raises DataError."""


@dataclass(frozen=True, eq=False)
class TokenArray(ABC):
    """An array of tokens in a file, of the shape (N, *S, K): N signals `together`, or one.

    No two are equal, because the contents of the file may change from one to the next.
    """

    path: Path
    stored: StoredArray
    shape: tuple[int, ...]
    together: bool

    @classmethod
    def of(cls, path: Path, stored: StoredArray, shape: TokenShape) -> "TokenArray":
        """Raises DataError if the array holds no tokens of this shape."""
        full = shape.full(stored, f"{path}: {stored.name}" if stored.name else str(path))
        together = len(full) == shape.ndim + 2
        return cls(path, stored, full if together else (1, *full), together)

    @property
    def names(self) -> list[str]:
        """The names of its signals."""
        name = self.stored.name
        return [f"{name}/{i}" if name else str(i) for i in range(self.shape[0])] if self.together else [name]

    @property
    def rows(self) -> int:
        """The number of rows of a signal that are read at once."""
        return max(1, _BLOCK_TOKENS // prod(self.shape[2:]))

    @abstractmethod
    def whole(self) -> Integers:
        """All tokens (N, *S, K), in memory or mapped to it. Raises DataError."""

    @abstractmethod
    def blocks(self, number: int) -> Iterator[Integers]:
        """As `TokenFile.blocks`."""


class _MappedArray(TokenArray):
    """The array of a .npy file."""

    @cached_property
    def _mapped(self) -> Integers:
        return self.map()

    def map(self) -> Integers:
        """Map the file anew; the pages that are read stay in memory until the mapping ends."""
        return map_array(self.path).reshape(self.shape)

    def whole(self) -> Integers:
        return self._mapped

    def blocks(self, number: int) -> Iterator[Integers]:
        if self.shape[1] <= self.rows:
            count = self.rows // self.shape[1]
            yield _signals(self, number // count * count, count)[number % count]
            return
        for start in range(0, self.shape[1], self.rows):
            yield np.array(self.map()[number, start : start + self.rows])


@lru_cache(maxsize=1)
def _signals(array: _MappedArray, start: int, count: int) -> Integers:
    """Some small signals of an array, of which the last ones are kept, because they are read one after another."""
    return np.array(array.map()[start : start + count])


class _PackedArray(TokenArray):
    """An array in an .npz file."""

    def whole(self) -> Integers:
        return _unpacked(self)

    def blocks(self, number: int) -> Iterator[Integers]:
        if self.together or self.stored.fortran:
            signal = self.whole()[number]
            yield from (signal[start : start + self.rows] for start in range(0, len(signal), self.rows))
        else:
            for part in read_rows(self.path, self.stored, self.rows):
                yield part.reshape(len(part), *self.shape[2:])


@lru_cache(maxsize=1)
def _unpacked(array: _PackedArray) -> Integers:
    """All tokens of an array, of which the last ones are kept, because its signals are read one after another."""
    return read_array(array.path, array.stored).reshape(array.shape)


class ArrayFile(TokenFile):
    """Arrays of tokens; each is one signal, or several of one size."""

    def __init__(self, path: Path, arrays: Sequence[TokenArray], *, mapped: bool = False) -> None:
        self.place, self.arrays, self.mapped = str(path), arrays, mapped
        self._places = [(array, i) for array in arrays for i in range(array.shape[0])]
        self.names = [name for array in arrays for name in array.names]

    def size(self, number: int) -> tuple[int, ...]:
        array, _ = self._places[number]
        return array.shape[1:-1]

    def array(self, number: int) -> Integers:
        array, i = self._places[number]
        tokens: Integers = array.whole()[i]
        return tokens

    def blocks(self, number: int) -> Iterator[Integers]:
        array, i = self._places[number]
        return array.blocks(i)


class CodesFile(ArrayFile):
    """The file that `codeword encode` writes, with the size of each signal before it was encoded."""

    def __init__(self, path: Path, stored: dict[str, StoredArray], shape: TokenShape) -> None:
        def small(name: str, kinds: str) -> Integers:
            if name not in stored or stored[name].dtype.kind not in kinds:
                raise DataError(f"{path} is not a file of codes, because its {name} are missing or of another type.")
            return read_array(path, stored[name])

        names, sizes, codebook_sizes = small("names", "U"), small("sizes", "i"), small("codebook_sizes", "iu")
        if not names.size or any(f"codes_{i}" not in stored for i in range(names.size)):
            raise DataError(f"{path} has no codes for some of its {names.size} names; write it again.")
        super().__init__(path, [_PackedArray.of(path, stored[f"codes_{i}"], shape) for i in range(names.size)])
        if any(array.together for array in self.arrays):
            raise shape.refusal(str(path), f"codes on {shape.ndim + 1} axes")
        if sizes.shape != (names.size, shape.ndim) or not codebook_sizes.size or names.ndim != 1:
            raise DataError(
                f"{path}: its names, sizes and codebooks are not those of one set of codes; write it again."
            )
        self.names = [str(name) for name in names]
        self.signal_sizes = tuple(tuple(int(n) for n in size) for size in sizes)
        self.codebook_sizes = tuple(int(n) for n in codebook_sizes)
        self.values = max(self.codebook_sizes)


class ShardFile(TokenFile):
    """A shard that `codeword tokenize` wrote."""

    def __init__(self, path: Path, shape: TokenShape) -> None:
        self.path, self.place = path, str(path)
        info = self.shard.info
        self.values = max(info.codebook_sizes)
        if (info.ndim, len(info.codebook_sizes)) != (shape.ndim, shape.codes):
            raise shape.refusal(str(path), f"{len(info.codebook_sizes)} codes in each cell of {info.ndim} axes")
        self.names = [row.id for row in self.shard.rows]
        self._sizes = [tuple(row.codes.shape[:-1]) for row in self.shard.rows]

    @property
    def shard(self) -> "Shard":
        """The content of the file. Raises DataError."""
        return _shard(self)

    def size(self, number: int) -> tuple[int, ...]:
        return self._sizes[number]

    def array(self, number: int) -> Integers:
        tokens: Integers = self.shard.rows[number].codes.numpy()
        return tokens

    def blocks(self, number: int) -> Iterator[Integers]:
        yield self.array(number)


@lru_cache(maxsize=1)
def _shard(file: ShardFile) -> "Shard":
    """The content of a shard, of which the last one is kept, because its signals are read one after another."""
    return _read_shard(file.path)


def _read_shard(path: Path) -> "Shard":
    # Not above, because only shards need pyarrow.
    from codeword.store.shards import read_shard

    return read_shard(path)


def _open_npy(path: Path, shape: TokenShape, column: str | None) -> TokenFile:
    mapped = map_array(path)
    stored = StoredArray("", mapped.shape, mapped.dtype, fortran=False)
    return ArrayFile(path, [_MappedArray.of(path, stored, shape)], mapped=True)


def _open_npz(path: Path, shape: TokenShape, column: str | None) -> TokenFile:
    stored = {array.name: array for array in list_arrays(path)}
    if {"format", "names", "codebook_sizes"} <= stored.keys():
        return CodesFile(path, stored, shape)
    if column is not None and column not in stored:
        raise DataError(f"{path} has no array {column!r}, only {', '.join(stored)}; name one of them (data.column).")
    if not stored:
        raise DataError(f"{path} holds no array; write it again with numpy.savez.")
    return ArrayFile(path, [_PackedArray.of(path, stored[name], shape) for name in ([column] if column else stored)])


def _open_shard(path: Path, shape: TokenShape, column: str | None) -> TokenFile:
    return ShardFile(path, shape)


FORMS: dict[str, Callable[[Path, TokenShape, str | None], TokenFile]] = {
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".parquet": _open_shard,
}
"""The reader of each form, by the suffix of its files; a new form is added here."""


def open_tokens(path: Path, shape: TokenShape, *, column: str | None = None) -> TokenFile:
    """Open a file of tokens; `column` names the only array that is read of an .npz file.

    Raises:
        DataError: the file is missing or damaged, its suffix is unknown, or it holds no tokens of this shape.
    """
    if (form := FORMS.get(path.suffix.lower())) is None:
        raise DataError(f"{path} is no file of tokens by its suffix; there are {', '.join(FORMS)}.")
    return form(path, shape, column)


def describe_tokens(path: Path) -> dict[str, Any]:
    """The type and shape of the arrays in a file of tokens, or the number of signals in a shard. Raises DataError."""
    match path.suffix.lower():
        case ".npy":
            return _describe_array(map_array(path))
        case ".npz":
            return {"arrays": {array.name: _describe_array(array) for array in list_arrays(path)}}
        case _:
            shard = _read_shard(path)
            return {"signals": len(shard.rows), "codebook_sizes": list(shard.info.codebook_sizes)}


def _describe_array(array: Integers | StoredArray) -> dict[str, Any]:
    return {"numbers": str(array.dtype), "shape": list(array.shape)}


def map_array(path: Path) -> Integers:
    """Map a .npy file into memory. Raises DataError."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:  # numpy raises many kinds of errors on invalid bytes.
        raise DataError(
            f"{path} is no readable .npy file ({reason(error)}); write it again with numpy.save."
        ) from error
