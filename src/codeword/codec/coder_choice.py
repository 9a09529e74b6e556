"""Which coder a file gets, and which one it has."""

from math import log
from typing import NamedTuple

import torch

from codeword.codec.format import Coder, Header
from codeword.codec.segments import Batch
from codeword.codec.symbol_coders import PriorCoder, SymbolCoder, TableCoder
from codeword.coding.determinism import deterministic
from codeword.errors import DataError
from codeword.model import Model
from codeword.priors import Uniform

# How many blocks tell whether the prior pays.
_TRIED = 8


class Chosen(NamedTuple):
    """The name of a coder, itself, and the tables that reading it needs."""

    name: Coder
    coder: SymbolCoder
    tables: bytes = b""


def choose_coder(
    model: Model, first: Batch, *, share_of_all: float, lanes: int, label: int | None, portable: bool
) -> Chosen:
    """The coder that promises the smallest file, judged by its first blocks, which are so much of all.

    The prior only where it may be used: not in a `portable` file, nor where codes of a cell were left out.
    """
    prior, present = model.prior, first.codes[first.inside]
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: present.shape[-1]]
    uniform, histogram = TableCoder.uniform(codebook_sizes), TableCoder.histogram(present, codebook_sizes)
    tables = histogram.pack()
    # What the tables cost, as far as the first blocks have to bear it.
    table_bits = 8 * len(tables) * share_of_all
    pays = histogram.bits(present) + table_bits < uniform.bits(present)
    if not portable and not isinstance(prior, Uniform) and codebook_sizes == prior.codebook_sizes:
        tried = Batch(first.codes[:_TRIED], first.inside[:_TRIED])
        labels = None if label is None else torch.full((len(tried.codes),), label)
        with deterministic():
            nats = -float(prior.log_prob(tried.codes, labels).sum())
        # The prior foretells cells beyond the edges too, which will cost nothing.
        bits = nats / log(2) * float(tried.inside.double().mean())
        known = tried.codes[tried.inside]
        rival = histogram.bits(known) + table_bits * len(known) / len(present) if pays else uniform.bits(known)
        if bits < rival:
            return Chosen("prior", PriorCoder(prior, lanes=lanes, label=label))
    return Chosen("histogram", histogram, tables) if pays else Chosen("uniform", uniform)


def symbol_coder(model: Model, header: Header, place: str, *, lanes: int) -> SymbolCoder:
    """The coder that a file was written with. Raises DataError."""
    codebook_sizes = model.tokenizer.quantizer.codebook_sizes[: header.codes]
    match header.coder:
        case "uniform":
            return TableCoder.uniform(codebook_sizes)
        case "histogram":
            try:
                return TableCoder.unpack(header.tables, codebook_sizes)
            except DataError as error:
                raise DataError(f"{place} cannot be read: {error}; copy it again.") from error
        case "prior":
            if header.codes != len(model.prior.codebook_sizes):
                raise DataError(f"{place} lacks codes that its prior foretells; Codeword did not write it.")
            return PriorCoder(model.prior, lanes=lanes, label=header.label)
