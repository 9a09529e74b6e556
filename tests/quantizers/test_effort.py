"""Laws of the beam search for residual codes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny.codec_models import codes_of, model, signal
from torch import Tensor

import codeword
from codeword.codec import Codec, CompressOptions, Search
from codeword.coding import encode_signal
from codeword.config import ResidualQuantizerConfig, VectorQuantizerConfig
from codeword.errors import UsageError
from codeword.quantizers import Quantizer, build_quantizer
from codeword.quantizers.residual import ResidualQuantizer


def build(sizes: list[int], *, lookup_dim: int | None, cosine: bool, seed: int) -> ResidualQuantizer:
    torch.manual_seed(seed)
    config = ResidualQuantizerConfig(codebook_sizes=tuple(sizes), dim=6, lookup_dim=lookup_dim, cosine=cosine)
    quantizer = build_quantizer(config)
    assert isinstance(quantizer, ResidualQuantizer)
    for k, book in enumerate(quantizer.codebooks):
        book.vectors.normal_(std=0.5**k)  # type: ignore[union-attr, operator]
    return quantizer.eval()


def errors(quantizer: ResidualQuantizer, z: Tensor, codes: Tensor) -> Tensor:
    """Squared distances (...) of the searched vectors from the sums of codewords of codes (..., n)."""
    found = sum(quantizer.codebooks[k].lookup(codes[..., k]).double() for k in range(codes.shape[-1]))  # type: ignore[operator, union-attr]
    return (quantizer._searched(z).double() - found).square().sum(-1).detach()


@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    lookup_dim=st.sampled_from([None, 3]),
    cosine=st.booleans(),
    effort=st.integers(1, 12),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_more_effort_never_has_a_larger_error(
    sizes: list[int], lookup_dim: int | None, cosine: bool, effort: int, seed: int, data: st.DataObject
) -> None:
    quantizer = build(sizes, lookup_dim=lookup_dim, cosine=cosine, seed=seed)
    z = torch.randn(3, 5, 6)
    n = data.draw(st.integers(1, len(sizes)), label="codes")
    plain, found = quantizer.encode(z), quantizer.with_effort(effort, codes=n).encode(z)
    assert found.shape == plain.shape
    assert all(int(found[..., k].max()) < size for k, size in enumerate(sizes))
    before, after = (errors(quantizer, z, codes[..., :n]) for codes in (plain, found))
    assert bool((after <= before * (1 + 1e-5) + 1e-9).all())
    if effort == 1 or len(sizes) == 1:
        assert torch.equal(found, plain)
    assert quantizer.effort == 1, "the quantizer itself is as before"


def test_a_beam_of_all_sums_finds_the_nearest() -> None:
    quantizer = build([3, 4, 2], lookup_dim=None, cosine=False, seed=1)
    z = torch.randn(40, 6)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(4), torch.arange(2))
    best = torch.stack([errors(quantizer, z, codes.expand(40, 3)) for codes in every]).min(0).values
    torch.testing.assert_close(errors(quantizer, z, quantizer.with_effort(64).encode(z)), best, rtol=1e-5, atol=1e-7)
    assert bool((errors(quantizer, z, quantizer.encode(z)) > best + 1e-6).any())


def test_the_memory_bound_changes_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, z = build([9, 8], lookup_dim=None, cosine=False, seed=2).with_effort(4), torch.randn(50, 6)
    whole = quantizer.encode(z)
    monkeypatch.setattr("codeword.quantizers.residual._MAX_DISTANCES", 100)
    assert torch.equal(quantizer.encode(z), whole)


def test_quantizers_with_nothing_to_search_stay_as_they_are() -> None:
    plain: Quantizer = build_quantizer(VectorQuantizerConfig(codebook_sizes=(4, 4), dim=4))
    assert plain.with_effort(8) is plain


def test_effort_reaches_codes_and_files(ndim: int) -> None:
    chosen = model(ndim, rates=True)
    x = signal(chosen, *{1: (640,), 2: (64, 48)}[ndim])
    searching = chosen.tokenizer.with_effort(8, codes=2)
    codes = encode_signal(searching, x)
    assert not torch.equal(codes, codes_of(chosen, x))
    assert torch.equal(codeword.encode(chosen, x), codes_of(chosen, x))
    assert torch.equal(codeword.encode(chosen, x, effort=8), encode_signal(chosen.tokenizer.with_effort(8), x))
    size = tuple(x.shape[1:])
    expected = codeword.decode(chosen, codes[..., :2], size=size)
    content = Codec(chosen).compress(x, CompressOptions(codes=2, search=Search(effort=8)))
    assert torch.equal(Codec(chosen).decompress(content), expected)


@pytest.mark.parametrize("wrong", [0, -1, 65, 1.5, "4"])
def test_an_effort_that_cannot_be_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError, match="effort must be a whole number from 1 to 64"):
        codeword.encode(model(1, rates=True), torch.zeros(1, 64, dtype=torch.int64), effort=wrong)  # type: ignore[arg-type]
