"""Tokens of another tokenizer as a data set: crops of their grids."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codeword.config import TokensConfig
from codeword.data.base import Batch, Dataset, Split
from codeword.data.files.rows import HUB, HubSplit, is_saved, open_rows
from codeword.data.files.tree import names_of_split, open_folder
from codeword.errors import DataError, reason
from codeword.media.token_forms import FORMS, Integers, TokenFile, TokenShape, open_tokens
from codeword.store.npz import StoredArray

MOST_TOKENS = 1 << 31
"""Largest number of tokens, of 2 bytes each, that are held in memory; .npy files are mapped to it."""


class TokenFiles(Dataset):
    """One split of tokens, in crops int64 (K, *crop).

    Where each file holds one signal, each signal is divided along its first axis, which is mostly time: the first part
    is for training, the next for validation, the last for testing. Where a file holds several signals, they are
    divided as the files of a folder are, by the hashes of their names. The crops of a signal are side by side; with a
    generator, a crop starts anywhere.

    Raises:
        DataError: a file is missing or invalid, or no signal has a crop for this split.
    """

    in_memory = True

    def __init__(self, config: TokensConfig, split: Split) -> None:
        self._config, self._crop = config, config.crop
        self.shape = (config.codes, *config.crop)
        self._files = _open_files(config)
        self._shape = TokenShape(len(config.crop), config.codes, config.values)
        self._in_memory = 0
        parts = self._parts(split)
        self._crops: list[tuple[Integers, tuple[int, ...]]] = []
        for part in parts:
            starts = (range(0, n - crop + 1, crop) for n, crop in zip(part.shape[:-1], self._crop, strict=True))
            self._crops += [(part, start) for start in product(*starts)]
        if not self._crops:
            raise DataError(
                f"{config.root} has no {split} crop of {list(config.crop)} tokens; give more tokens or a smaller crop."
            )

    def __len__(self) -> int:
        return len(self._crops)

    def count_values(self) -> int | None:
        """The number of different tokens of all splits: that which the files say, or else one above the largest."""
        if self._config.values is not None:
            return None
        counts = [2]
        for _, file in self._files:
            numbers = range(len(file.names)) if file.values is None else ()
            largest = (int(block.max()) for number in numbers for block in file.blocks(number))
            counts.append(file.values or 1 + max(largest))
        return max(counts)

    def take(self, indices: Sequence[int], *, generator: torch.Generator | None = None) -> Batch:
        crops = []
        for index in indices:
            tokens, start = self._crops[index]
            if generator is not None:
                most = [n - crop for n, crop in zip(tokens.shape[:-1], self._crop, strict=True)]
                start = tuple(int(torch.randint(m + 1, (), generator=generator)) for m in most)
            region = tuple(slice(s, s + crop) for s, crop in zip(start, self._crop, strict=True))
            crops.append(torch.from_numpy(tokens[region].astype(np.int64)).movedim(-1, 0))
        return Batch(torch.stack(crops), torch.zeros(len(crops), dtype=torch.int64))

    def _parts(self, split: Split) -> Iterator[Integers]:
        """The tokens (*S, K) of this split."""
        config = self._config
        if all(len(file.names) == 1 for _, file in self._files):
            for _, file in self._files:
                tokens = self._tokens(file, 0)
                test = round(len(tokens) * (1 - config.test_fraction))
                valid = round(len(tokens) * (1 - config.test_fraction - config.valid_fraction))
                yield {"train": tokens[:valid], "valid": tokens[valid:test], "test": tokens[test:]}[split]
            return
        places = {
            f"{name}/{within}": (file, number) for name, file in self._files for number, within in enumerate(file.names)
        }
        for name in names_of_split(list(places), split, config, place=str(config.root), noun="signals"):
            yield self._tokens(*places[name])

    def _tokens(self, file: TokenFile, number: int) -> Integers:
        """The tokens (*S, K) of a signal, checked; those of a file that is not mapped become 16-bit integers."""
        if file.mapped:
            for block in file.blocks(number):
                self._shape.check(block, file.place)
            return file.array(number)
        tokens = self._shape.check(file.array(number), file.place)
        self._in_memory += tokens.size
        if self._in_memory > MOST_TOKENS:
            raise DataError(
                f"{self._config.root} has more than {MOST_TOKENS:,} tokens, too many to be held in memory; write "
                f"them as .npy files, which are not."
            )
        return tokens.astype(np.uint16)


class _Rows(TokenFile):
    """The rows of a data set of the Hugging Face Hub: nested lists of integers in one column."""

    def __init__(self, origin: HubSplit, column: str | None, shape: TokenShape) -> None:
        self.place, self._shape = f"{origin.dataset} ({origin.split})", shape
        rows = open_rows(origin)
        if column not in rows.features:
            raise DataError(
                f"{origin.dataset} has no column {column!r}, only {', '.join(rows.features)}; name the one that holds "
                f"the tokens (data.column)."
            )
        self._rows: Any = rows.select_columns([column])
        self.names = [str(number) for number in range(len(rows))]

    def size(self, number: int) -> tuple[int, ...]:
        return self.array(number).shape[:-1]

    def array(self, number: int) -> Integers:
        place = f"{self.place}: row {number}"
        try:
            (values,) = self._rows[number].values()
            tokens = np.asarray(values)
        except Exception as error:  # Arrow raises many kinds of errors on a damaged file, numpy on ragged lists.
            raise DataError(f"{place} cannot be read as one grid of tokens ({reason(error)}); repair it.") from error
        full = self._shape.full(StoredArray("", tokens.shape, tokens.dtype, fortran=False), place)
        if len(full) != self._shape.ndim + 1:
            raise self._shape.refusal(place, f"{tokens.dtype} of shape {list(tokens.shape)}")
        return tokens.reshape(full)

    def blocks(self, number: int) -> Iterator[Integers]:
        yield self.array(number)


def _open_files(config: TokensConfig) -> list[tuple[str, TokenFile]]:
    """The files of a recipe, each with its name. Raises DataError, UsageError."""
    root, shape = config.root.expanduser(), TokenShape(len(config.crop), config.codes, config.values)
    text = str(config.root)
    # A column says that Parquet files are those of a data set, and not shards of tokens.
    of_data_set = config.column is not None and (root.suffix == ".parquet" or any(root.glob("*.parquet")))
    if text.startswith(HUB) or is_saved(root) or of_data_set:
        name = text.removeprefix(HUB) if text.startswith(HUB) else str(root)
        return [("", _Rows(HubSplit(name, config.split), config.column, shape))]
    names = open_folder(root, FORMS.keys(), kind="tokens").names if root.is_dir() else ("",)
    open_one = partial(open_tokens, shape=shape, column=config.column)
    return [(name, open_one(Path(root, name))) for name in names]
