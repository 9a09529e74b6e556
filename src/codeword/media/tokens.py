"""Tokens that another tokenizer made: grids of integers, in .npy, .npz and Parquet files."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import DataError
from codeword.media.base import EMPTY, SEVERAL, Medium, Side, Signal
from codeword.media.facts import AXES
from codeword.media.token_forms import FORMS, TokenFile, TokenShape, describe_tokens, open_tokens
from codeword.media.token_writers import pack_record, rows_of, write_header, write_tokens
from codeword.store import atomic_file, escape_name


class Tokens(Medium):
    """Grids of tokens of one rank."""

    singular, plural, dimension = "a grid of tokens", "grids of tokens", "token"
    suffixes, formats, together = frozenset(FORMS), ("npy",), frozenset(FORMS)

    def __init__(self, ndim: int) -> None:
        self.name, self.ndim, self.axes, self.cell_axes = f"tokens-{ndim}d", ndim, AXES[ndim], AXES[ndim]

    def fits(self, config: TokenizerConfig) -> bool:
        return config.holds_tokens

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return self._only(path, config).size(0)

    def describe(self, path: Path) -> dict[str, Any]:
        return describe_tokens(path)

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        return _blocks(self._only(path, config), 0, config)

    def signals(
        self, path: Path, name: str, config: TokenizerConfig, notes: list[str], *, lossless: bool
    ) -> list[Signal]:
        file = open_tokens(path, _shape(config))
        signals = [
            Signal(
                f"{name}{SEVERAL}{escape_name(within)}" if within else name,
                file.size(number),
                partial(_blocks, file, number, config),
                partial(pack_record, file) if within and not number else dict,
            )
            for number, within in enumerate(file.names)
        ]
        if not signals:
            raise DataError(f"{path} holds no signal; leave it out.")
        return signals

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        rows, cells = 0, tuple[int, ...]()
        with atomic_file(path, replace=replace) as file:
            for block in blocks:
                tokens = rows_of(block, config)
                if not rows:
                    cells = tokens.shape[1:]
                    write_header(file, (0, *cells))
                file.write(tokens.tobytes())
                rows += len(tokens)
            file.seek(0)
            write_header(file, (rows, *cells))

    def write_signals(
        self, path: Path, signals: Iterator[Signal], config: TokenizerConfig, *, replace: bool = True
    ) -> None:
        write_tokens(path, signals, config, replace=replace)

    def _only(self, path: Path, config: TokenizerConfig) -> TokenFile:
        """A file of one signal. Raises DataError."""
        file = open_tokens(path, _shape(config))
        if (count := len(file.names)) != 1:
            raise DataError(
                f"{path} holds {count:,} signals, and only `codeword compress` and `codeword train` take several in a "
                f"file; write each as a .npy file."
            )
        return file


def _shape(config: TokenizerConfig) -> TokenShape:
    return TokenShape(config.ndim, config.channels, config.values)


def _blocks(file: TokenFile, number: int, config: TokenizerConfig) -> Iterator[Tensor]:
    """A signal of a file in blocks (C, n, ...). Raises DataError."""
    for block in file.blocks(number):
        tokens = _shape(config).check(block, file.place)
        yield torch.from_numpy(tokens.astype(np.int64)).movedim(-1, 0)
