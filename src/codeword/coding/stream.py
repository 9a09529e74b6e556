"""Hours of signal through a tokenizer in bounded memory, with the same result as in one piece.

The signal is cut into windows. Each window is extended on both sides by as much context as the networks see, and the
output of the context is cut off again. At the ends of the signal there is no context, so the padding there is the same
as for the whole signal.
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
"""About 10 s at 16 kHz: the context costs little in comparison, and the widest networks need less than 512 MiB."""


def encode_stream(
    tokenizer: Tokenizer, blocks: Iterable[Tensor], *, window_samples: int = WINDOW_SAMPLES
) -> Iterator[Tensor]:
    """Blocks (C, n) of any sizes, of integers, to blocks of codes (g, K) int64: together those of `encode`.

    Codes come on the CPU, one window at a time. They equal those of the whole signal up to rounding of float32: a
    vector halfway between two codewords may get the other one.

    Raises:
        UnsupportedError: this tokenizer has more than one axis, or normalises over the whole recording.
    """
    _must_have_one_axis(tokenizer)
    if tokenizer.frontend.reach == inf:
        raise UnsupportedError(
            "This tokenizer normalises each recording as a whole (tokenizer.frontend.normalise), so it cannot encode a "
            "stream; give it whole recordings."
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
    """Blocks of codes (g, K), of any sizes, to blocks (C, n) int64: together they equal `decode`, up to rounding.

    Griffin-Lim amplifies rounding by a thousand times and more: its output agrees with that for the whole signal in its
    spectrogram, not in each sample.

    `size` is the number of samples in all, by default one hop for each cell. Every block but the last has
    `block_samples(tokenizer, window_samples)` samples. `label` conditions the decoder on a class.

    Raises:
        UnsupportedError: this tokenizer has more than one axis, or draws one sample after another.
        UsageError: the codes end before `size`.
    """
    _must_have_one_axis(tokenizer)
    if tokenizer.likelihood.reach == inf:
        raise UnsupportedError(
            "This decoder draws each sample from all that it drew before, so it cannot decode a stream; "
            "give it whole recordings."
        )
    return _decode(tokenizer, codes, _cells(tokenizer, window_samples), label=label, size=size)


def block_samples(tokenizer: Tokenizer, window_samples: int = WINDOW_SAMPLES) -> int:
    """Samples of each block of `decode_stream` but the last: whole cells."""
    return _cells(tokenizer, window_samples) * tokenizer.hop


def _encode(tokenizer: Tokenizer, blocks: Iterable[Tensor], cells: int) -> Iterator[Tensor]:
    hop, frontend, device = tokenizer.hop, tokenizer.frontend, tokenizer.device
    context = ceil((frontend.reach + reach(tokenizer.encoder) * frontend.hop) / hop)
    for window in _windows((block.T for block in blocks), window=cells * hop, context=context * hop):
        codes = tokenizer.encode(window.rows.T[None].to(device))[0].cpu()
        # `encode` pads a last cell that is not full, as it does for the whole signal.
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
        features = _first(features, ceil(size / likelihood.hop))
    decoded = 0
    # Windows over features, not over codes again: neighbouring windows then overlap in bit-identical numbers, so that
    # even a synthesis that amplifies rounding leaves no seam.
    for window in _windows(features, window=cells * tokenizer.hop // likelihood.hop, context=context):
        with torch.no_grad():
            x = likelihood.mean(window.rows.T[None].to(device))[0].round().long().cpu()
        first, count = window.before * likelihood.hop, window.count * likelihood.hop
        count = count if size is None else min(count, size - decoded)
        if count > 0:
            yield x[:, first : first + count]
            decoded += count
    if size is not None and decoded < size:
        raise UsageError(f"The codes end after {decoded} of {size} samples; give all of them.")


def _features(tokenizer: Tokenizer, codes: Iterable[Tensor], cells: int, *, label: int | None) -> Iterator[Tensor]:
    """Blocks of codes (g, K) to blocks of the decoder's features (n, F)."""
    device, frames = tokenizer.device, tokenizer.hop // tokenizer.likelihood.hop
    context = ceil(reach(tokenizer.decoder) + tokenizer.head.reach / tokenizer.hop)
    labels = None if label is None else torch.tensor([label], device=device)
    for window in _windows(codes, window=cells, context=context):
        with torch.no_grad():
            features = tokenizer.features(window.rows[None].to(device), labels)[0].T.cpu()
        yield features[window.before * frames :][: window.count * frames]


def _first(blocks: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """The first `count` rows of blocks (n, X)."""
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
    """Re-buffer blocks (n, X) into windows of `window` rows (the last shorter) and `context` rows around them."""
    held: list[Tensor] = []
    have = before = 0
    for block in blocks:
        held.append(block)
        have += len(block)
        if have < before + window + context:
            continue
        rows = torch.cat(held)
        while have >= before + window + context:
            yield _Window(rows[: before + window + context], before, window)
            done = max(0, before + window - context)
            rows, have, before = rows[done:], have - done, before + window - done
        held = [rows.clone()]  # Not a view, which would keep all of a large block in memory.
    while have > before:
        rows = torch.cat(held)
        count = min(window, have - before)
        yield _Window(rows[: before + count + context], before, count)
        done = max(0, before + count - context)
        held, have, before = [rows[done:]], have - done, before + count - done


def _cells(tokenizer: Tokenizer, window_samples: int) -> int:
    """Cells of a window of about `window_samples`, a whole number of periods of the likelihood."""
    unit = lcm(tokenizer.likelihood.period, tokenizer.hop) // tokenizer.hop
    return max(1, window_samples // (unit * tokenizer.hop)) * unit


def _must_have_one_axis(tokenizer: Tokenizer) -> None:
    if tokenizer.config.ndim != 1:
        raise UnsupportedError(
            f"A stream has one axis, but this tokenizer's signals have {tokenizer.config.ndim}; give it whole signals."
        )
