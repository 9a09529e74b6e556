"""Encoding and decoding of long signals of one axis in bounded memory, with the same result as for the whole signal.

The signal is cut into windows. Each window is extended on both sides by the receptive field of the networks (the
context), and the output for the context is discarded. At the ends of the signal there is no context, so the padding
there is the same as for the whole signal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, inf, lcm

import torch
from torch import Tensor

from codeword.errors import UnsupportedError, UsageError
from codeword.nn.conv import reach
from codeword.tokenizer import Tokenizer

WINDOW_SAMPLES = 163_840
"""About 10 s at 16 kHz: long compared with the context, and the widest networks need less than 512 MiB for it."""


def encode_stream(
    tokenizer: Tokenizer, blocks: Iterable[Tensor], *, window_samples: int = WINDOW_SAMPLES
) -> Iterator[Tensor]:
    """Encode consecutive blocks (C, n) of integers, of any lengths n, to blocks of codes (g, K) int64 on the CPU.

    Together these are the codes of `encode` for the whole signal, up to rounding of float32: a vector halfway between
    two codewords may get the other one. Each block has the codes of one window.

    Raises:
        UnsupportedError: the signals of this tokenizer have several axes, or it normalises over the whole recording.
    """
    _check_one_axis(tokenizer)
    if tokenizer.frontend.reach == inf:
        raise UnsupportedError(
            "This tokenizer normalises each recording as a whole (tokenizer.frontend.normalise), so it cannot encode a "
            "stream; encode whole recordings."
        )
    return _encode(tokenizer, blocks, _cells(tokenizer, window_samples))


def decode_stream(
    tokenizer: Tokenizer,
    codes: Iterable[Tensor],
    *,
    label: int | None = None,
    size: int | None = None,
    window_samples: int = WINDOW_SAMPLES,
) -> Iterator[Tensor]:
    """Decode consecutive blocks of codes (g, K), of any lengths g, to blocks (C, n) int64.

    Together these are the result of `decode` for all codes, up to rounding, which Griffin-Lim amplifies.

    `size` is the total number of samples, by default one hop for each cell. Every block except the last has
    `block_samples(tokenizer, window_samples)` samples. `label` conditions the decoder on a class.

    Raises:
        UnsupportedError: the signals of this tokenizer have several axes, or its likelihood is autoregressive.
        UsageError: the codes end before `size`.
    """
    _check_one_axis(tokenizer)
    if tokenizer.likelihood.reach == inf:
        raise UnsupportedError(
            "In this decoder each sample depends on all samples before it, so it cannot decode a stream; "
            "decode whole recordings."
        )
    return _decode(tokenizer, codes, _cells(tokenizer, window_samples), label=label, size=size)


def block_samples(tokenizer: Tokenizer, window_samples: int = WINDOW_SAMPLES) -> int:
    """Number of samples in each block of `decode_stream` except the last, a multiple of the hop."""
    return _cells(tokenizer, window_samples) * tokenizer.hop


def _encode(tokenizer: Tokenizer, blocks: Iterable[Tensor], cells: int) -> Iterator[Tensor]:
    hop, frontend, device = tokenizer.hop, tokenizer.frontend, tokenizer.device
    context = ceil((frontend.reach + reach(tokenizer.encoder) * frontend.hop) / hop)
    for window in _windows((block.T for block in blocks), window=cells * hop, context=context * hop):
        codes = tokenizer.encode(window.rows.T[None].to(device))[0].cpu()
        # `encode` pads an incomplete last cell, in the same way as for the whole signal.
        first = window.before // hop
        yield codes[first : first + ceil(window.count / hop)]


def _decode(
    tokenizer: Tokenizer, codes: Iterable[Tensor], cells: int, *, label: int | None, size: int | None
) -> Iterator[Tensor]:
    likelihood, device = tokenizer.likelihood, tokenizer.device
    context = ceil(ceil(likelihood.reach / likelihood.period) * likelihood.period / likelihood.hop)
    features = _features(tokenizer, codes, cells, label=label)
    if size is not None:
        # Frames beyond the end of the signal would change the samples before it.
        features = _take(features, ceil(size / likelihood.hop))
    decoded = 0
    # The windows are cut from the features, not from the codes: neighbouring windows then overlap in bit-identical
    # numbers, so a synthesis that amplifies rounding makes no audible seam.
    begun = _begun(tokenizer, features)
    for window in _windows(begun, window=cells * tokenizer.hop // likelihood.hop, context=context):
        with torch.no_grad():
            x = likelihood.finish(window.rows.T[None].to(device))[0].round().long().cpu()
        first, count = window.before * likelihood.hop, window.count * likelihood.hop
        count = count if size is None else min(count, size - decoded)
        if count > 0:
            yield x[:, first : first + count]
            decoded += count
    if size is not None and decoded < size:
        raise UsageError(f"The codes end after {decoded} of {size} samples; give all of them.")


def _features(tokenizer: Tokenizer, codes: Iterable[Tensor], cells: int, *, label: int | None) -> Iterator[Tensor]:
    """Decode blocks of codes (g, K) to blocks (n, F) of the features that the likelihood is computed from."""
    device, frames = tokenizer.device, tokenizer.hop // tokenizer.likelihood.hop
    context = ceil(reach(tokenizer.decoder) + tokenizer.head.reach / tokenizer.hop)
    labels = None if label is None else torch.tensor([label], device=device)
    for window in _windows(codes, window=cells, context=context):
        with torch.no_grad():
            features = tokenizer.features(window.rows[None].to(device), labels)[0].T.cpu()
        yield features[window.before * frames :][: window.count * frames]


def _begun(tokenizer: Tokenizer, features: Iterable[Tensor]) -> Iterator[Tensor]:
    """Consecutive blocks of features (n, F) to blocks (n, G) of what `begin` of the likelihood makes of them."""
    state = None
    for block in features:
        with torch.no_grad():
            begun, state = tokenizer.likelihood.begin(block.T[None].to(tokenizer.device), state)
        yield begun[0].T.cpu()


def _take(blocks: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """The first `count` rows of consecutive blocks (n, X)."""
    for block in blocks:
        yield block[:count]
        count -= len(block[:count])


@dataclass(frozen=True)
class _Window:
    """Rows (n, X) of a stream: `before` rows of context, `count` rows of the window itself, and context after them."""

    rows: Tensor
    before: int
    count: int


def _windows(blocks: Iterable[Tensor], *, window: int, context: int) -> Iterator[_Window]:
    """Regroup blocks (n, X) into windows of `window` rows (the last shorter) with `context` rows on both sides."""
    buffer: list[Tensor] = []
    buffered = before = 0
    for block in blocks:
        buffer.append(block)
        buffered += len(block)
        if buffered < before + window + context:
            continue
        rows = torch.cat(buffer)
        while buffered >= before + window + context:
            yield _Window(rows[: before + window + context], before, window)
            dropped = max(0, before + window - context)
            rows, buffered, before = rows[dropped:], buffered - dropped, before + window - dropped
        buffer = [rows.clone()]  # A view would keep all of a large block in memory.
    while buffered > before:
        rows = torch.cat(buffer)
        count = min(window, buffered - before)
        yield _Window(rows[: before + count + context], before, count)
        dropped = max(0, before + count - context)
        buffer, buffered, before = [rows[dropped:]], buffered - dropped, before + count - dropped


def _cells(tokenizer: Tokenizer, window_samples: int) -> int:
    """Number of cells in a window of about `window_samples` that is a whole number of periods of the likelihood."""
    unit = lcm(tokenizer.likelihood.period, tokenizer.hop) // tokenizer.hop
    return max(1, window_samples // (unit * tokenizer.hop)) * unit


def _check_one_axis(tokenizer: Tokenizer) -> None:
    if tokenizer.config.ndim != 1:
        raise UnsupportedError(
            f"A stream has one axis, but this tokenizer's signals have {tokenizer.config.ndim}; code whole signals."
        )
