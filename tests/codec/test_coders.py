"""Whatever is written under some probabilities is read again under them, at the price they set."""

import zlib
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.codec.coders import Reader, TableCoder, Writer, build_table
from codeword.errors import DataError


def drawn(seed: int, count: int, codebook_sizes: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of probabilities (count, codebook_sizes), and symbols (count,) drawn independently of them."""
    generator = torch.Generator().manual_seed(seed)
    rows = (spread * torch.randn(count, codebook_sizes, generator=generator)).softmax(-1).numpy()
    return rows, torch.randint(codebook_sizes, (count,), generator=generator).numpy().astype(np.int32)


@given(st.integers(0, 999), st.integers(0, 60), st.integers(2, 300), st.sampled_from([0.0, 1.0, 30.0, 1e4]))
def test_any_symbols_under_any_rows_come_back(seed: int, count: int, codebook_sizes: int, spread: float) -> None:
    """Also those that the probabilities call impossible."""
    rows, symbols = drawn(seed, count, codebook_sizes, spread)
    writer = Writer()
    for start in range(0, count, 7):
        writer.write(symbols[start : start + 7], rows[start : start + 7])
    reader = Reader(writer.content())
    read = [reader.read(rows[start : start + 5]) for start in range(0, count, 5)]
    assert np.concatenate([*read, np.zeros(0, np.int32)]).tolist() == symbols.tolist()


@given(st.integers(0, 999), st.integers(0, 200), st.lists(st.integers(1, 65535), min_size=2, max_size=40))
def test_any_symbols_under_a_table_come_back(seed: int, count: int, weights: list[int]) -> None:
    table = build_table(weights)
    _, symbols = drawn(seed, count, len(weights), 1.0)
    writer = Writer()
    writer.write_with_table(symbols, table)
    assert Reader(writer.content()).read_with_table(count, table).tolist() == symbols.tolist()


def test_likely_zeros_are_put_back() -> None:
    """Zero bytes at the end are not stored, whatever their number."""
    table, writer = build_table([65535, 1]), Writer()
    writer.write_with_table(np.zeros(40, np.int32), table)
    assert writer.content() == b""
    assert Reader(b"").read_with_table(40, table).tolist() == [0] * 40


def test_symbols_cost_what_their_probabilities_say() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 64, generator=generator)
    rows = logits.softmax(-1).numpy()
    symbols = torch.multinomial(torch.from_numpy(rows), 1, generator=generator)[:, 0]
    writer = Writer()
    writer.write(symbols.numpy().astype(np.int32), rows)
    ideal_bits = -float(logits.log_softmax(-1).gather(1, symbols[:, None]).sum()) / np.log(2)
    assert ideal_bits <= 8 * len(writer.content()) <= ideal_bits * 1.0005 + 16


@given(st.integers(0, 999), st.integers(0, 60), st.integers(2, 300), st.sampled_from([0.0, 1.0, 4.0]))
def test_an_end_costs_two_bytes_at_most(seed: int, count: int, codebook_sizes: int, spread: float) -> None:
    rows, symbols = drawn(seed, count, codebook_sizes, spread)
    writer = Writer()
    writer.write(symbols, rows)
    ideal_bits = -float(np.log2(rows[np.arange(count), symbols].astype(np.float64)).sum())
    assert 8 * len(writer.content()) <= ideal_bits * 1.0005 + 16


@given(st.binary(max_size=40))
def test_bytes_that_nobody_wrote_are_symbols_or_an_error(content: bytes) -> None:
    rows, _ = drawn(0, 50, 5, 3.0)
    try:
        symbols = Reader(content).read(rows)
    except DataError:
        return
    assert 0 <= symbols.min() <= symbols.max() < 5


@given(st.integers(0, 99), st.lists(st.integers(2, 40), min_size=1, max_size=3))
def test_a_histogram_comes_back_and_knows_its_price(seed: int, codebook_sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randint(n, (300,), generator=generator) ** 2 // n for n in codebook_sizes], -1)
    coder = TableCoder.histogram(codes, codebook_sizes)
    again = TableCoder.unpack(coder.pack(), codebook_sizes)
    assert all(np.array_equal(a, b) for a, b in zip(coder.weights, again.weights, strict=True))
    mask, writer = torch.ones(3, 100, dtype=torch.bool), Writer()
    coder.write([(slice(0, 3), writer)], codes.view(3, 100, -1), mask)
    assert coder.bits(codes) <= 8 * len(writer.content()) + 32
    assert 8 * len(writer.content()) <= coder.bits(codes) * 1.001 + 64
    read = again.read([(slice(0, 3), Reader(writer.content()))], mask)
    assert torch.equal(read.view(300, -1), codes)
    assert TableCoder.uniform(codebook_sizes).bits(codes) == pytest.approx(300 * sum(map(log2, codebook_sizes)))


def test_tables_that_cannot_be_are_refused() -> None:
    impossible = zlib.compress(np.array([1, 0, 2], "<u2").tobytes())
    bomb = zlib.compress(bytes(1 << 24), 9)
    cases = [(TableCoder.uniform((3, 4)).pack(), "14 bytes"), (b"no zlib stream", "damaged"), (bomb, "17 bytes")]
    for content, said in cases:
        with pytest.raises(DataError, match=said):
            TableCoder.unpack(content, (3, 5))
    with pytest.raises(DataError, match="no probability"):
        TableCoder.unpack(impossible, (3,))
