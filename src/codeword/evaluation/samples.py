"""Signals decoded from codes that the prior draws, for measures and reports."""

import torch
from torch import Tensor

from codeword.priors import Prior, Sampler, guided, walk
from codeword.tokenizer import Tokenizer

BATCH = 64


def draw_signals(
    tokenizer: Tokenizer,
    prior: Prior,
    size: tuple[int, ...],
    count: int,
    *,
    label: Tensor | None = None,
    condition_decoder: bool = False,
    guidance: float = 1.0,
    generator: torch.Generator,
) -> Tensor:
    """`count` signals of `size` (count, C, *S), of classes `label` (count,) if it is given.

    With `condition_decoder` the decoder is also conditioned on the class. `guidance` is the weight of `Guided`.
    """
    grid = tokenizer.grid(size)
    walked, choose = guided(prior, prior, guidance), Sampler(generator=generator)
    codes = walk(walked, count, choose, label=label, grid=grid if prior.any_grid else None)
    for axis, cells in enumerate(grid, start=1):
        codes = codes.narrow(axis, 0, cells)
    decoded = []
    for rows in torch.arange(count).split(BATCH):
        decoder_label = label[rows] if label is not None and condition_decoder else None
        decoded.append(tokenizer.decode(codes[rows], decoder_label, size=size))
    return torch.cat(decoded)
