"""The coder of a file is the one that makes it smallest, tables counted."""

from copy import deepcopy

import pytest
import torch
from tiny.codec_models import model

from codeword.codec.codec import Batch
from codeword.codec.coders import PriorCoder, SymbolCoder, TableCoder, Writer, choose_coder
from codeword.model import Model
from codeword.priors import Sampler, walk


def cost_bytes(coder: SymbolCoder, batch: Batch, tables: bytes = b"") -> int:
    writer = Writer()
    coder.write([(slice(0, len(batch.codes)), writer)], batch.codes, batch.mask)
    return len(writer.content()) + len(tables)


@pytest.mark.parametrize("blocks", [1, 4, 8, 16, 64])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("drawn_from", ["prior", "table"])
def test_no_other_coder_makes_a_smaller_file(ndim: int, blocks: int, sharpness: float, drawn_from: str) -> None:
    built = model(ndim)
    chosen = Model(built.tokenizer, deepcopy(built.prior))
    with torch.no_grad():
        for output in chosen.prior.outputs:  # type: ignore[union-attr]
            output.weight.mul_(sharpness)  # type: ignore[union-attr,operator]
            output.bias.mul_(sharpness)  # type: ignore[union-attr,operator]
    generator = torch.Generator().manual_seed(0)
    if drawn_from == "prior":
        codes = walk(chosen.prior, blocks, Sampler(generator=generator))
    else:
        # Few codewords, often: what only a table knows.
        shape = (blocks, *chosen.prior.grid, len(chosen.prior.codebook_sizes))
        codes = torch.randint(2, shape, generator=generator)
    batch = Batch(codes, torch.ones(codes.shape[:-1], dtype=torch.bool))
    choice = choose_coder(chosen, codes, batch.mask, share_of_all=1.0, label=None)
    codebook_sizes = chosen.prior.codebook_sizes
    histogram = TableCoder.histogram(codes.flatten(0, -2), codebook_sizes)
    others = [
        cost_bytes(PriorCoder(chosen.exact_prior, label=None), batch),
        cost_bytes(TableCoder.uniform(codebook_sizes), batch),
        cost_bytes(histogram, batch, histogram.pack()),
    ]
    # A word of the range coder more or less; and the prior is judged by a few blocks.
    assert cost_bytes(choice.coder, batch, choice.tables) <= 1.03 * min(others) + 4
