"""Tokens that another tokenizer made, in .npy files: integers (*S), or (*S, K) with K codes in each cell."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import DataError, reason
from codeword.media.base import EMPTY, Medium, Side
from codeword.media.facts import AXES
from codeword.store import write_atomically

TOKEN_SUFFIXES = frozenset({".npy"})


def open_tokens(path: Path, *, ndim: int, codes: int, values: int) -> NDArray[np.integer]:
    """Map a file of tokens into memory, as integers (*S, K) below `values`.

    Raises:
        DataError: the file is missing or no .npy file, or holds other numbers or another number of axes.
    """
    tokens = _mapped(path)
    if codes == 1 and tokens.ndim == ndim:
        tokens = tokens[..., None]
    if tokens.dtype.kind not in "iu" or tokens.ndim != ndim + 1 or tokens.shape[-1] != codes or not tokens.size:
        raise DataError(
            f"{path} holds {tokens.dtype} of shape {list(tokens.shape)}, but this is for integers on {ndim} axes with "
            f"{codes} codes in each cell; reshape them with numpy."
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= values:
        raise DataError(f"{path} holds tokens from {low} to {high}, but this is for {values} from 0 on.")
    return tokens


def _mapped(path: Path) -> NDArray[np.integer]:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:  # numpy raises many kinds of errors on invalid bytes.
        raise DataError(
            f"{path} is no readable .npy file ({reason(error)}); write it again with numpy.save."
        ) from error


class Tokens(Medium):
    """Grids of tokens of one rank."""

    singular, plural, dimension = "a grid of tokens", "grids of tokens", "token"
    suffixes, formats = TOKEN_SUFFIXES, ("npy",)

    def __init__(self, ndim: int) -> None:
        self.name, self.ndim, self.axes, self.cell_axes = f"tokens-{ndim}d", ndim, AXES[ndim], AXES[ndim]

    def fits(self, config: TokenizerConfig) -> bool:
        return config.holds_tokens

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return self._open(path, config).shape[:-1]

    def describe(self, path: Path) -> dict[str, Any]:
        tokens = _mapped(path)
        return {"numbers": str(tokens.dtype), "shape": list(tokens.shape)}

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        yield torch.from_numpy(self._open(path, config).astype(np.int64)).movedim(-1, 0)

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        x = torch.cat(list(blocks), -1)
        tokens = x.expand(config.channels, *x.shape[1:]).movedim(0, -1).numpy().astype(np.uint16)
        content = io.BytesIO()
        np.save(content, tokens[..., 0] if config.channels == 1 else tokens)
        write_atomically(path, content.getvalue(), replace=replace)

    def _open(self, path: Path, config: TokenizerConfig) -> NDArray[np.integer]:
        return open_tokens(path, ndim=config.ndim, codes=config.channels, values=config.values)
