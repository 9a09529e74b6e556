"""Signals of any size to codes and back, in bounded memory: whole, as a stream along one axis, or in tiles.

Each part of a tokenizer declares the radius of its receptive field, `reach`. Only this module compares these numbers to
choose one of the three algorithms. All three give the same codes up to rounding of float32.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import TypeVar

import torch
from torch import Tensor

from codeword.coding.stream import decode_stream, encode_stream
from codeword.coding.tiles import decode_tiles, encode_tiles
from codeword.errors import UnsupportedError, UsageError
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

__all__ = [
    "codes_each_value_alone",
    "decode_signal",
    "deterministic",
    "deterministic_steps",
    "encode_blocks",
    "encode_signal",
    "leading_codes",
]

T = TypeVar("T")


def encode_signal(tokenizer: Tokenizer, signal: Tensor | Iterable[Tensor]) -> Tensor:
    """Encode a signal (C, *S), or its blocks (C, n, ...) along the first axis, to codes (*G, K) int64 on the CPU.

    Example:
        >>> from codeword.config import TokenizerConfig
        >>> codes = encode_signal(Tokenizer(TokenizerConfig()).eval(), torch.zeros(3, 600, 500, dtype=torch.uint8))
        >>> codes.shape
        torch.Size([150, 125, 1])
    """
    return torch.cat(list(encode_blocks(tokenizer, [signal] if isinstance(signal, Tensor) else signal)))


def encode_blocks(tokenizer: Tokenizer, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """As `encode_signal`, but yields blocks of codes (g, ..., K), so that memory does not grow with the length.

    The codes of a signal with several axes are one block (*G, K), unless its values are coded one by one.
    """
    if codes_each_value_alone(tokenizer):
        yield from (encode_tiles(tokenizer, block) for block in blocks)
    elif tokenizer.config.ndim > 1:
        yield encode_tiles(tokenizer, torch.cat(list(blocks), 1))
    elif tokenizer.frontend.reach < inf:
        yield from encode_stream(tokenizer, blocks)
    else:
        yield tokenizer.encode(torch.cat(list(blocks), 1)[None].to(tokenizer.device))[0].cpu()


def decode_signal(
    tokenizer: Tokenizer, codes: Tensor | Iterable[Tensor], *, size: tuple[int, ...], label: int | None = None
) -> Iterator[Tensor]:
    """Decode codes (*G, K), or consecutive blocks (g, K) of them, to blocks (C, n) of a signal of `size` *S.

    A signal of several axes is one block (C, *S). K may be a smaller number of leading codes if `leading_codes` accepts
    it. `label` conditions the decoder on a class.

    Raises:
        UsageError: the codes are not those of a signal of this size.
    """
    blocks = [codes] if isinstance(codes, Tensor) else codes
    if len(size) > 1:
        yield decode_tiles(tokenizer, torch.cat(list(blocks)), size=size, label=label)
    elif tokenizer.likelihood.reach < inf:
        yield from decode_stream(tokenizer, blocks, size=size[0], label=label)
    else:
        labels = None if label is None else torch.tensor([label], device=tokenizer.device)
        yield tokenizer.decode(torch.cat(list(blocks))[None].to(tokenizer.device), labels, size=size)[0].cpu()


def codes_each_value_alone(tokenizer: Tokenizer) -> bool:
    """True if no code and no decoded value depends on another, so that each part of a signal is coded as a signal."""
    parts = (tokenizer.frontend, tokenizer.head, tokenizer.likelihood)
    alone = max(reach(tokenizer.encoder), reach(tokenizer.decoder), *(part.reach for part in parts)) == 0
    return alone and tokenizer.hop == 1


def leading_codes(tokenizer: Tokenizer, codes: int | None) -> int:
    """The number of leading codes of a cell to decode from: `codes`, by default all K.

    Raises:
        UsageError: `codes` is not between 1 and K.
        UnsupportedError: the tokenizer was trained to decode all codes only.
    """
    all_codes = len(tokenizer.quantizer.codebook_sizes)
    if codes is None or codes == all_codes:
        return all_codes
    if not isinstance(codes, int) or not 1 <= codes <= all_codes:
        possible = f"1 to {all_codes}" if all_codes > 1 else "1 for this model"
        raise UsageError(f"The number of codes to keep of each cell is {possible}, not {codes!r}.")
    if len(tokenizer.quantizer.served_codes) == 1:
        raise UnsupportedError(
            f"This model decodes only all {all_codes} codes of a cell, not {codes} of them; use all, or train a model "
            f"with tokenizer.quantizer.served_codes."
        )
    return codes


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread and no gradients: the order of sums is fixed, so a network gives the same numbers in every run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def deterministic_steps(items: Iterator[T]) -> Iterator[T]:
    """The same items; each `next` runs under `deterministic`, and the caller's code between two items does not.

    A `yield` inside `with deterministic()` would leave the caller with one thread and without gradients.
    """
    while True:
        with deterministic():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
