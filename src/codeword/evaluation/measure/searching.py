"""The codes that a search finds for the signals of a split, which are measured in the place of the encoder's own."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from codeword.codec.search import PLAIN, Search, price_of, search_codes
from codeword.config import EvaluationConfig
from codeword.data import Dataset, evaluation_batches
from codeword.model import Model
from codeword.priors import Prior
from codeword.quantizers import Quantized
from codeword.tokenizer import Analysis, Tokenizer

OF_THE_ENCODER = "it is a measure of the encoder's own codes; measure without effort, rate_weight and refine"
"""Why a measure is left out of an evaluation with a search."""


def searched_codes(
    tokenizer: Tokenizer,
    prior: Prior,
    data: Dataset,
    config: EvaluationConfig,
    search: Search,
    *,
    progress: Callable[[int, int], None],
) -> Tensor | None:
    """The codes (N, *G, K) of all signals of one size, or None where the encoder's own are measured.

    Raises:
        UsageError, UnsupportedError: the models do not support this search.
    """
    if search == PLAIN:
        return None
    count = len(tokenizer.quantizer.codebook_sizes)
    price = price_of(model_on_cpu(tokenizer, prior), count) if search.rate_weight else None
    total, done, found = min(len(data), config.limit or len(data)), 0, []
    for batch in evaluation_batches(data, config.batch_size, limit=config.limit):
        found.append(search_codes(tokenizer, batch.x, search, price=price))
        done += len(batch.x)
        progress(done, total)
    return torch.cat(found)


def analyse(tokenizer: Tokenizer, x: Tensor, codes: Tensor | None) -> Analysis:
    """`Tokenizer.analyse`, or the vectors and features of `codes` (B, *G, K) in the place of its own, and no loss."""
    if codes is None:
        return tokenizer.analyse(x)
    codes = codes.to(tokenizer.device)
    vectors = tokenizer.quantizer.decode(codes)
    quantized = Quantized(vectors, codes, torch.zeros_like(vectors[..., 0]))
    return Analysis(quantized, tokenizer.features(codes, size=tuple(x.shape[2:])))


def model_on_cpu(tokenizer: Tokenizer, prior: Prior) -> Model:
    """A copy of both on the CPU, where files are written and exact priors compute."""
    return Model(deepcopy(tokenizer).cpu(), deepcopy(prior).cpu())
