"""The questions of the page, at both ranks: bits are those of files, drawing anew keeps all other codes."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import codec_models
from tiny.codec_models import codes_of, signal

from codeword.codec import Codec
from codeword.codec.layout import Blocks, block_size
from codeword.errors import DataError, UnsupportedError, UsageError
from codeword.serve import workbench
from codeword.serve.workbench import Workbench

SIZES = {1: (640,), 2: (44, 30)}
RANKS = st.sampled_from([1, 2])


def bench(ndim: int) -> Workbench:
    model = codec_models.model(2, classes=2) if ndim == 2 else codec_models.speech()
    return Workbench("tiny", model)


def some_codes(of: Workbench, seed: int) -> torch.Tensor:
    return codes_of(of.model, signal(of.model, *SIZES[of.medium.ndim], seed=seed))


@given(ndim=RANKS, seed=st.integers(0, 100), label=st.sampled_from([None, 0, 1]))
def test_the_bits_of_cells_add_up_to_those_of_a_file(ndim: int, seed: int, label: int | None) -> None:
    desk = bench(ndim)
    codes, prior = some_codes(desk, seed), desk.model.exact_prior
    bits = desk.bits(codes, label)
    assert bits.shape == codes.shape[:-1]
    assert (bits >= 0).all()
    blocks = Blocks(tuple(bits.shape), block_size(desk.model, lossless=False))
    labels = None if label is None else torch.full((len(blocks),), label)
    expected = prior.cell_log_probs(blocks.cut(codes), labels)[blocks.mask()].sum() / -log(2)
    torch.testing.assert_close(bits.sum(), expected)


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_file_takes_no_more_than_its_bits_and_heads(ndim: int) -> None:
    desk = bench(ndim)
    x = signal(desk.model, *(8 * n for n in SIZES[ndim]))
    codec = Codec(desk.model)
    heads = len(codec.compress(signal(desk.model, *(desk.tokenizer.hop,) * ndim))) + 400
    assert len(codec.compress(x)) <= float(desk.bits(codes_of(desk.model, x)).sum()) / 8 + heads


@given(ndim=RANKS, seed=st.integers(0, 100), data=st.data())
def test_only_marked_cells_are_drawn_anew(ndim: int, seed: int, data: st.DataObject) -> None:
    desk = bench(ndim)
    codes = some_codes(desk, seed)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    mask = torch.rand(codes.shape[:-1], generator=generator) < 0.3
    drawn = desk.redraw(codes, mask, label=1, temperature=1.0, seed=seed)
    assert torch.equal(drawn[~mask], codes[~mask])
    assert torch.equal(drawn, desk.redraw(codes, mask, label=1, temperature=1.0, seed=seed))
    desk.tokenizer.check_codes(drawn, batched=False)


@pytest.mark.parametrize("ndim", [1, 2])
def test_drawing_all_cells_of_a_block_anew_is_a_sample(ndim: int) -> None:
    desk = bench(ndim)
    sample = desk.sample(label=0, temperature=1.0, seed=3)
    everything = torch.ones(sample.shape[:-1], dtype=torch.bool)
    other = desk.sample(label=0, temperature=1.0, seed=4)
    assert torch.equal(desk.redraw(other, everything, label=0, temperature=1.0, seed=3), sample)
    assert not torch.equal(other, sample)


def test_a_recording_may_be_drawn_longer() -> None:
    assert bench(1).sample(label=None, temperature=1.0, seed=0, cells=30).shape == (30, 3)
    assert bench(2).sample(label=None, temperature=1.0, seed=0, cells=30).shape == (4, 3, 2)


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_file_goes_through_the_bench_as_through_the_commands(ndim: int) -> None:
    desk = bench(ndim)
    x = signal(desk.model, *SIZES[ndim])
    content, suffix = desk.write(x), f".{desk.medium.formats[0]}"
    opened = desk.open(content, suffix)
    assert torch.equal(opened.signal.long(), x)
    assert torch.equal(opened.codes, codes_of(desk.model, opened.signal))
    decoded = desk.decode(opened.codes, size=SIZES[ndim])
    assert decoded.shape == x.shape
    cell = desk.cell(opened.codes.flatten(0, -2)[0])
    assert cell.shape[0] == x.shape[0]


@pytest.mark.parametrize("ndim", [1, 2])
def test_wrong_questions_are_refused(ndim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = bench(ndim)
    codes = some_codes(desk, 0)
    with pytest.raises(UsageError, match="is none of them"):
        desk.open(b"", ".txt")
    with pytest.raises(DataError, match="The file"):
        desk.open(b"nothing", f".{desk.medium.formats[0]}")
    with pytest.raises(UsageError, match="no class 9"):
        desk.bits(codes, 9)
    with pytest.raises(UsageError, match=r"The mask has \[1\] cells"):
        desk.redraw(codes, torch.ones(1, dtype=torch.bool), label=None, temperature=1.0, seed=0)
    monkeypatch.setattr(workbench, "TIME_LIMIT_S", -1.0)
    with pytest.raises(UsageError, match="Drawing takes longer"):
        desk.sample(label=None, temperature=1.0, seed=0)
    monkeypatch.setattr(workbench, "MOST_VALUES", {"images": 10, "audio": 10})
    content = desk.write(signal(desk.model, *SIZES[ndim]))
    with pytest.raises(UsageError, match="and the page takes 10"):
        desk.open(content, f".{desk.medium.formats[0]}")


def test_a_model_without_a_prior_draws_nothing_and_has_bits() -> None:
    desk = Workbench("tiny", codec_models.model(2, "uniform"))
    codes = some_codes(desk, 0)
    assert not desk.model.draws
    torch.testing.assert_close(desk.bits(codes), torch.full(codes.shape[:-1], 7.0))
    with pytest.raises(UnsupportedError, match="no trained prior"):
        desk.sample(label=None, temperature=1.0, seed=0)
