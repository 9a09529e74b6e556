"""Measures of tokens of another tokenizer: bits per token under the prior and in compressors of bytes."""

import lzma
from collections.abc import Callable
from math import log

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.evaluation.measure.intervals import mean_metric, resampled_intervals
from codeword.evaluation.results import Measures, exactly, metric
from codeword.priors import Prior
from codeword.quantizers import CodeUsage
from codeword.tokenizer import Tokenizer

_ZSTD_LEVEL = 19

Tokens = NDArray[np.unsignedinteger]
"""Tokens (N, *S, K) of N signals, as integers of 8 bits if these are enough, else of 16."""


def _lzma(tokens: Tokens) -> bytes:
    return lzma.compress(tokens.tobytes(), preset=9 | lzma.PRESET_EXTREME)


def _lzma_transposed(tokens: Tokens) -> bytes:
    """The tokens of each place of a signal follow each other, along the first axis and through all signals."""
    return _lzma(np.moveaxis(tokens, (0, 1), (-2, -1)))


def _zstd(tokens: Tokens) -> bytes:
    compressed: bytes = pa.Codec("zstd", compression_level=_ZSTD_LEVEL).compress(tokens.tobytes(), asbytes=True)
    return compressed


COMPRESSORS: dict[str, tuple[str, Callable[[Tokens], bytes]]] = {
    "lzma": ("preset 9e", _lzma),
    "lzma_transposed": ("preset 9e, each place through time", _lzma_transposed),
    "zstd": (f"level {_ZSTD_LEVEL}", _zstd),
}
"""Compressors of bytes that know nothing of tokens: their setting, and the function."""


def as_tokens(x: Tensor, *, values: int) -> Tokens:
    """Signals (N, K, *S) to tokens (N, *S, K)."""
    return x.movedim(1, -1).numpy().astype(np.uint8 if values <= 256 else np.uint16)


def measure_tokens(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Dataset,
    train: Dataset,
    config: EvaluationConfig,
    *,
    progress: Callable[[int, int], None],
) -> Measures:
    """Measure a split of tokens; the table of the order-0 entropy has the frequencies of `train`, plus one."""
    sizes, values = tokenizer.quantizer.codebook_sizes, tokenizer.config.values
    counted = CodeUsage(sizes)
    for batch in evaluation_batches(train, config.batch_size):
        counted.add(tokenizer.encode(batch.x.to(tokenizer.device)).cpu())
    table_bits = [-torch.log2((counts + 1).double() / (counts + 1).sum()) for counts in counted.counts]
    total = min(len(data), config.limit or len(data))
    prior_bits, order0_bits, signals = list[Tensor](), list[Tensor](), list[Tensor]()
    for batch in evaluation_batches(data, config.batch_size, limit=config.limit):
        codes = tokenizer.encode(batch.x.to(tokenizer.device))
        with torch.no_grad():
            prior_bits.append(-prior.log_prob(codes).cpu() / log(2) / codes[0].numel())
        cells = codes.cpu().flatten(1, -2)
        order0_bits.append(
            torch.stack([table_bits[k][cells[..., k]] for k in range(len(sizes))], -1).flatten(1).mean(1)
        )
        signals.append(batch.x)
        progress(sum(map(len, signals)), total)
    x = torch.cat(signals)
    metrics = {
        "bits_per_token": mean_metric(torch.cat(prior_bits), "bit/token"),
        "order0_bits_per_token": mean_metric(torch.cat(order0_bits), "bit/token"),
    }
    tokens = as_tokens(x, values=values)
    for name, (_, compress) in COMPRESSORS.items():
        metrics[f"{name}_bits_per_token"] = exactly(8 * len(compress(tokens)) / tokens.size, "bit/token")
    # The codes are the tokens.
    cells = x.movedim(1, -1).long()

    def statistics(rows: Tensor) -> dict[str, float]:
        usage = CodeUsage(sizes)
        usage.add(cells[rows])
        return {"usage": usage.usage, "perplexity": usage.perplexity}

    intervals = resampled_intervals(statistics, len(x))
    metrics["usage"] = metric(intervals["usage"], "fraction of the tokens")
    metrics["perplexity"] = metric(intervals["perplexity"], "tokens, over the whole split")
    return Measures(signals=len(x), metrics=metrics)
