"""Tokens that another tokenizer made, in .npy files: integers (*S), or (*S, K) with K codes in each cell."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.media.base import EMPTY, Medium, Side
from codeword.media.facts import AXES
from codeword.media.token_forms import TokenFile, TokenShape, map_array, open_tokens
from codeword.store import write_atomically


class Tokens(Medium):
    """Grids of tokens of one rank."""

    singular, plural, dimension = "a grid of tokens", "grids of tokens", "token"
    suffixes, formats = frozenset({".npy"}), ("npy",)

    def __init__(self, ndim: int) -> None:
        self.name, self.ndim, self.axes, self.cell_axes = f"tokens-{ndim}d", ndim, AXES[ndim], AXES[ndim]

    def fits(self, config: TokenizerConfig) -> bool:
        return config.holds_tokens

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return self._open(path, config).size(0)

    def describe(self, path: Path) -> dict[str, Any]:
        tokens = map_array(path)
        return {"numbers": str(tokens.dtype), "shape": list(tokens.shape)}

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        yield torch.from_numpy(self._open(path, config).array(0).astype(np.int64)).movedim(-1, 0)

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        x = torch.cat(list(blocks), -1)
        tokens = x.expand(config.channels, *x.shape[1:]).movedim(0, -1).numpy().astype(np.uint16)
        content = io.BytesIO()
        np.save(content, tokens[..., 0] if config.channels == 1 else tokens)
        write_atomically(path, content.getvalue(), replace=replace)

    def _open(self, path: Path, config: TokenizerConfig) -> TokenFile:
        return open_tokens(path, TokenShape(config.ndim, config.channels, config.values))
