"""Laws of the search of codes: by sums of codewords, by the bits of the prior, and by decoding."""

import io
from itertools import product
from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import GRID, codes_of, model, signal, speech
from tiny.tokenizers import SPEECH
from torch import Tensor

import codeword
from codeword.codec import PLAIN, Codec, CompressOptions, Container, Search, Signal, search_blocks, search_codes
from codeword.codec.layout import Blocks
from codeword.codec.search import Price, price_of
from codeword.coding import encode_signal
from codeword.config import (
    FiniteScalarQuantizerConfig,
    ResidualQuantizerConfig,
    SamplesConfig,
    SpectrogramConfig,
    VectorQuantizerConfig,
)
from codeword.errors import UnsupportedError, UsageError
from codeword.model import Model, uniform
from codeword.priors import ExactPrior
from codeword.quantizers import build_quantizer
from codeword.quantizers.vector import CodebookQuantizer
from codeword.tokenizer import Tokenizer


def size_of(ndim: int, data: st.DataObject) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(5, 97 if ndim == 1 else 41), label="size") for _ in range(ndim))


def distance(model: Model, z: Tensor, codes: Tensor) -> Tensor:
    """Squared distances (...) of vectors z (..., D) from the codes (..., n), in the space that is searched."""
    n = codes.shape[-1]
    return model.tokenizer.quantizer.distances(z, codes, n - 1).gather(-1, codes[..., -1:])[..., 0]


def errors(chosen: Model, x: Tensor, codes: Tensor, label: int | None = None) -> float:
    """The sum of all errors of a signal x (C, *S) that is decoded from codes (*G, n)."""
    tokenizer = chosen.tokenizer
    labels = None if label is None else torch.tensor([label])
    features = tokenizer.features(codes[None], labels, size=tuple(x.shape[1:]))
    return float(tokenizer.likelihood.errors(features, x[None]).detach().double().sum())


@given(
    kind=st.sampled_from([VectorQuantizerConfig, ResidualQuantizerConfig]),
    lookup_dim=st.sampled_from([None, 4]),
    cosine=st.booleans(),
    data=st.data(),
)
def test_distances_are_those_of_the_codes_with_one_replaced(
    kind: type, lookup_dim: int | None, cosine: bool, data: st.DataObject
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 99), label="seed"))
    quantizer = build_quantizer(kind(codebook_sizes=(5, 4), dim=8, lookup_dim=lookup_dim, cosine=cosine)).eval()
    assert isinstance(quantizer, CodebookQuantizer)
    z, codes = torch.randn(3, 2, 8), torch.stack([torch.randint(n, (3, 2)) for n in (5, 4)], -1)
    k, n = data.draw(st.sampled_from([(0, 1), (1, 2), (0, 2), (1, 1)]), label="k, n")
    found = quantizer.distances(z, codes[..., :n], k)
    kept = max(n, k + 1)
    with torch.no_grad():
        for word in range(quantizer.codebook_sizes[k]):
            other = codes[..., :kept].clone()
            other[..., k] = word
            vectors = [quantizer._codebooks()[j].lookup(other[..., j]) for j in range(kept)]
            if isinstance(quantizer.config, ResidualQuantizerConfig):
                searched = quantizer._searched(z)  # type: ignore[attr-defined]
                error = searched - torch.stack(vectors).sum(0)
            else:
                error = torch.cat(quantizer._parts(z)[:kept], -1) - torch.cat(vectors, -1)  # type: ignore[attr-defined]
            torch.testing.assert_close(found[..., word], error.square().sum(-1), rtol=1e-4, atol=1e-5)


def test_blocks_join_to_what_they_were_cut_from(ndim: int) -> None:
    grid = (11, 7)[:ndim]
    x = torch.randn(*grid, 3, 2)
    blocks = Blocks(grid, GRID[ndim])
    assert torch.equal(blocks.join(blocks.cut(x)), x)


def test_no_search_gives_the_codes_of_the_tokenizer(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (97,), 2: (27, 48)}[ndim])
    assert torch.equal(search_codes(chosen.tokenizer, x[None], PLAIN, codes=2)[0], codes_of(chosen, x)[..., :2])
    batch = torch.stack([x, x.flip(1)])
    assert torch.equal(search_codes(chosen.tokenizer, batch, PLAIN), chosen.tokenizer.encode(batch))


def test_the_vectors_are_those_that_are_quantized(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (2000,), 2: (270, 41)}[ndim])
    z = encode_signal(chosen.tokenizer.vectors_only(), x)
    assert torch.equal(chosen.tokenizer.quantizer.encode(z), codes_of(chosen, x))


@pytest.mark.parametrize("kind", ["pixelcnn", "transformer", "wavenet"])
def test_a_search_of_all_sums_finds_the_cheapest_of_each_cell(kind: str) -> None:
    """Given the cells before, no other codes of a cell have a smaller distance plus price of their bits."""
    ndim = 1 if kind == "wavenet" else 2
    chosen = model(ndim, kind, rates=True, classes=3, served_codes=(1, 2))
    prior = chosen.exact_prior
    assert isinstance(prior, ExactPrior)
    x = signal(chosen, *{1: (64,), 2: (16, 12)}[ndim])
    z = encode_signal(chosen.tokenizer.vectors_only(), x)
    plain = codes_of(chosen, x)[..., :2]
    label, rate_weight = torch.tensor([1]), 0.1
    weight = rate_weight * float(distance(chosen, z, plain).mean())
    price = Price(prior, GRID[ndim], 1)
    found = search_codes(chosen.tokenizer, x[None], Search(64, rate_weight), codes=2, price=price)
    costs = []
    for codes in product(range(8), range(8)):
        # The prior sees the codes that were found as the cells before.
        own = torch.tensor(codes).expand(found.shape)
        first, _ = (torch.log_softmax(logits, -1) for logits in prior.all_logits(found, label))
        other = found.clone()
        other[..., 0] = codes[0]
        second = torch.stack(
            [
                list(prior.all_logits(torch.where(here(found, cell), other, found), label))[1].flatten(1, -2)[:, cell]
                for cell in range(found[0, ..., 0].numel())
            ],
            1,
        ).log_softmax(-1)
        nats = first.flatten(1, -2)[..., codes[0]] + second[..., codes[1]]
        costs.append(distance(chosen, z[None], own).flatten(1) - weight * nats / log(2))
    best = torch.stack(costs).min(0).values
    own_cost = torch.stack(costs).gather(0, (found[..., 0] * 8 + found[..., 1]).flatten(1)[None])[0]
    torch.testing.assert_close(own_cost, best, rtol=1e-4, atol=1e-5)
    assert not torch.equal(found[0], plain)


def here(codes: Tensor, cell: int) -> Tensor:
    """The mask (1, *G, 1) of cell number `cell`."""
    mask = torch.zeros(codes[..., :1].shape, dtype=torch.bool)
    mask.view(-1)[cell] = True
    return mask


def test_a_larger_weight_saves_bits_and_costs_error(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (640,), 2: (64, 48)}[ndim])
    z = encode_signal(chosen.tokenizer.vectors_only(), x)
    price, bits, distances = price_of(chosen, 3), [], []
    for weight in (0.0, 0.05, 0.5):
        found = search_codes(chosen.tokenizer, x[None], Search(4, weight), price=price)[0]
        blocks = Blocks(tuple(found.shape[:-1]), GRID[ndim])
        bits.append(-float(chosen.exact_prior.log_prob(blocks.cut(found)).sum()) / log(2))
        distances.append(float(distance(chosen, z, found).mean()))
    assert bits[0] > bits[1] > bits[2]
    assert distances[0] < distances[1] < distances[2]


@given(
    ndim=st.integers(1, 2),
    search=st.builds(Search, st.integers(1, 4), st.sampled_from([0.0, 0.1]), st.integers(0, 1)),
    codes=st.integers(1, 3),
    label=st.sampled_from([None, 1]),
    data=st.data(),
)
def test_a_file_holds_the_codes_that_the_search_found(
    ndim: int, search: Search, codes: int, label: int | None, data: st.DataObject
) -> None:
    chosen = model(ndim, rates=True, classes=3, served_codes=(1, 2))
    x, tokenizer = signal(chosen, *size_of(ndim, data)), chosen.tokenizer
    price = price_of(chosen, codes, label=label)
    found = search_codes(tokenizer, x[None], search, codes=codes, price=price, label=label)[0]
    options = CompressOptions(codes=codes, label=label, search=search)
    content = Codec(chosen).compress(x, options)
    expected = codeword.decode(chosen, found, size=tuple(x.shape[1:]), label=label)
    assert torch.equal(Codec(chosen).decompress(content), expected)
    assert Codec(chosen).compress(x, options, codes=found) == content
    parts = search_blocks(tokenizer, x.split(7, 1), search, codes=codes, price=price, label=label)
    assert torch.equal(torch.cat(list(parts)), found)


def test_long_recordings_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codeword.codec.search._PART_CELLS", 40)
    chosen, search = model(1, rates=True), Search(2, 0.05, 1)
    x = signal(chosen, 500)
    price = price_of(chosen, 3)
    parts = list(search_blocks(chosen.tokenizer, x.split(33, 1), search, price=price))
    # Two blocks of the prior, 16 cells of 4 samples each, in a part.
    assert [len(part) for part in parts] == [32, 32, 32, 29]
    for part, own in zip(parts, x.split(128, 1), strict=True):
        assert torch.equal(part, search_codes(chosen.tokenizer, own[None], search, price=price)[0])
    out, reported = io.BytesIO(), list[tuple[int, int]]()
    twice = [Signal("", (500,), lambda: x.split(33, 1))] * 2
    Codec(chosen).write(
        out, twice, CompressOptions(search=search), progress=lambda done, total: reported.append((done, total))
    )
    # In three steps, one for each code, and at the end of each part.
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    assert {total for _, total in reported} == {250}
    assert {32, 64, 96, 125, 125 + 32, 250} <= {done for done, _ in reported}
    assert len(reported) == 2 * 4 * (3 + 1)
    decoded = torch.cat(list(next(Codec(chosen).read(Container(out.getvalue(), "it"))).blocks), 1)
    assert torch.equal(decoded.long(), codeword.decode(chosen, torch.cat(parts), size=(500,)))


@given(ndim=st.integers(1, 2), rates=st.booleans(), label=st.sampled_from([None, 2]), data=st.data())
def test_refinement_never_has_a_larger_error(ndim: int, rates: bool, label: int | None, data: st.DataObject) -> None:
    chosen = model(ndim, rates=rates, classes=3)
    x = signal(chosen, *size_of(ndim, data), seed=data.draw(st.integers(0, 9), label="seed"))
    last = errors(chosen, x, codes_of(chosen, x), label)
    for passes in (1, 2):
        found = search_codes(chosen.tokenizer, x[None], Search(refine=passes), label=label)[0]
        now = errors(chosen, x, found, label)
        assert now <= last * (1 + 1e-6)
        last = now


def test_refinement_of_one_cell_tries_every_neighbour(ndim: int) -> None:
    chosen = model(ndim)
    x = signal(chosen, *(4,) * ndim, seed=3)
    plain = codes_of(chosen, x)
    found = search_codes(chosen.tokenizer, x[None], Search(refine=1))[0]
    z = encode_signal(chosen.tokenizer.vectors_only(), x)
    first = plain.clone()
    near = chosen.tokenizer.quantizer.distances(z, plain, 0).topk(9, largest=False).indices[(0,) * ndim]
    tried = []
    for word in near.tolist():
        other = first.clone()
        other[..., 0] = word
        tried.append((errors(chosen, x, other), word))
    best = plain.clone()
    best[..., 0] = min(tried)[1]
    second = []
    for word in range(8):
        other = best.clone()
        other[..., 1] = word
        second.append((errors(chosen, x, other), word))
    best[..., 1] = min(second)[1]
    assert torch.equal(found, best)
    assert not torch.equal(found, plain)


def test_windows_of_a_large_signal_gain_nearly_as_much(ndim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (640,), 2: (97, 120)}[ndim])
    before, search = errors(chosen, x, codes_of(chosen, x)), Search(refine=1)
    whole = before - errors(chosen, x, search_codes(chosen.tokenizer, x[None], search)[0])
    monkeypatch.setattr("codeword.codec.refine._WINDOW_CELLS", 12**ndim)
    in_windows = before - errors(chosen, x, search_codes(chosen.tokenizer, x[None], search)[0])
    assert in_windows > 0.8 * whole > 0


def test_recordings_are_refined_by_their_spectra() -> None:
    changes = {"likelihood": SpectrogramConfig(n_fft=64, hop=16, mels=8), "head": SamplesConfig()}
    torch.manual_seed(0)
    tokenizer = Tokenizer(SPEECH.model_copy(update=changes)).eval()
    chosen = Model(tokenizer, uniform(tokenizer))
    x = signal(chosen, 1500)
    found = search_codes(tokenizer, x[None], Search(refine=1))[0]
    assert errors(chosen, x, found) < errors(chosen, x, codes_of(chosen, x))


def test_a_decoder_of_waveforms_is_not_refined() -> None:
    chosen = speech()
    with pytest.raises(UnsupportedError, match="leave refine out"):
        search_codes(chosen.tokenizer, signal(chosen, 4000)[None], Search(refine=1))


def test_searches_that_cannot_be_are_refused(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *(32,) * ndim)
    for wrong in (-0.1, 1.5, "much"):
        with pytest.raises(UsageError, match="rate_weight must be a number from 0 to 1"):
            Search(rate_weight=wrong)  # type: ignore[arg-type]
    for passes in (-1, 17, 1.0):
        with pytest.raises(UsageError, match="refine must be a whole number from 0 to 16"):
            Search(refine=passes)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the first 3 codes of a cell, not of 1; choose"):
        Codec(chosen).compress(x, CompressOptions(codes=1, search=Search(rate_weight=0.1)))
    with pytest.raises(UsageError, match="no prior that files are coded under"):
        Codec(model(ndim, "uniform", rates=True)).compress(x, CompressOptions(search=Search(rate_weight=0.1)))
    with pytest.raises(UsageError, match="lossless file stores the signal itself"):
        Codec(chosen).compress(x, CompressOptions(lossless=True, search=Search(refine=1)))
    scalar = build_quantizer(FiniteScalarQuantizerConfig(channel_levels=(3, 3), dim=2))
    with pytest.raises(UnsupportedError, match="FiniteScalarQuantizer are not found by distances"):
        scalar.distances(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.int64), 0)
