"""Signals of any size to codes and back, in bounded memory: whole, as a stream along one axis, or in tiles.

The parts of a tokenizer declare how far around itself an output sees (`reach`); it decides here, and nowhere else,
which of the three ways a signal takes. All three give the same codes up to rounding of float32.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TypeVar

import torch
from torch import Tensor

from codeword.coding.stream import decode_stream, encode_stream
from codeword.coding.tiles import decode_tiles, encode_tiles
from codeword.tokenizer import Tokenizer

__all__ = ["decode_signal", "deterministic", "deterministic_steps", "encode_blocks", "encode_signal"]

T = TypeVar("T")


def encode_signal(tokenizer: Tokenizer, signal: Tensor | Iterable[Tensor]) -> Tensor:
    """A signal (C, *S), whole or in consecutive blocks (C, n) along its only axis, to codes (*G, K) int64 on the CPU.

    Example:
        >>> from codeword.config import TokenizerConfig
        >>> codes = encode_signal(Tokenizer(TokenizerConfig()).eval(), torch.zeros(3, 600, 500, dtype=torch.uint8))
        >>> codes.shape
        torch.Size([150, 125, 1])
    """
    return torch.cat(list(encode_blocks(tokenizer, [signal] if isinstance(signal, Tensor) else signal)))


def encode_blocks(tokenizer: Tokenizer, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """As `encode_signal`, in consecutive blocks of codes (g, K): hours of signal take no more memory than minutes.

    A signal of several axes is one block.
    """
    if tokenizer.config.ndim > 1:
        yield encode_tiles(tokenizer, torch.cat(list(blocks), -1))
    elif tokenizer.frontend.reach < inf:
        yield from encode_stream(tokenizer, blocks)
    else:
        yield _encode_whole(tokenizer, torch.cat(list(blocks), -1))


def decode_signal(
    tokenizer: Tokenizer, codes: Tensor | Iterable[Tensor], *, size: tuple[int, ...], label: int | None = None
) -> Iterator[Tensor]:
    """Codes (*G, K), whole or in consecutive blocks (g, K) along the only axis, to blocks (C, n) of a signal of `size`.

    A signal of several axes is one block (C, *S). A residual quantizer also takes the first few of the K codes. `label`
    conditions the decoder on a class.

    Raises:
        UsageError: the codes are not those of a signal of this size.
    """
    blocks = [codes] if isinstance(codes, Tensor) else codes
    if len(size) > 1:
        yield decode_tiles(tokenizer, torch.cat(list(blocks)), size=size, label=label)
    elif tokenizer.likelihood.reach < inf:
        yield from decode_stream(tokenizer, blocks, size=size[0], label=label)
    else:
        yield _decode_whole(tokenizer, torch.cat(list(blocks)), size=size, label=label)


def _encode_whole(tokenizer: Tokenizer, x: Tensor) -> Tensor:
    return tokenizer.encode(x[None].to(tokenizer.device))[0].cpu()


def _decode_whole(tokenizer: Tokenizer, codes: Tensor, *, size: tuple[int, ...], label: int | None) -> Tensor:
    labels = None if label is None else torch.tensor([label], device=tokenizer.device)
    return tokenizer.decode(codes[None].to(tokenizer.device), labels, size=size)[0].cpu()


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread and no gradients: sums are taken in one order, so a network gives the same numbers again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def deterministic_steps(items: Iterator[T]) -> Iterator[T]:
    """The same items: each step of the iterator runs under `deterministic`, the caller's code between steps does not.

    A `with deterministic()` around a `yield` would leave the caller with one thread and without gradients.
    """
    while True:
        with deterministic():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
