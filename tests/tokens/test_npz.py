"""Codes files: whole, truncated, of an earlier format, and mutated in every byte."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codeword.errors import DataError
from codeword.tokens import npz as codes_module
from codeword.tokens.npz import CodedSignal, read_codes, write_codes

LEVELS = (7, 5)


def signals(sizes: list[tuple[int, ...]], hop: int) -> list[CodedSignal]:
    generator = torch.Generator().manual_seed(0)
    return [
        CodedSignal(
            f"signal {i}",
            size,
            torch.stack([torch.randint(n, [-(-s // hop) for s in size], generator=generator) for n in LEVELS], -1),
        )
        for i, size in enumerate(sizes)
    ]


@given(
    sizes=st.one_of(
        st.lists(st.tuples(st.integers(1, 20)), min_size=1, max_size=4),
        st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    ),
    hop=st.integers(1, 4),
)
def test_what_is_written_is_read(
    sizes: list[tuple[int, ...]], hop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    written = signals(sizes, hop)
    write_codes(path, written, codebook_sizes=LEVELS)
    for before, after in zip(written, read_codes(path, codebook_sizes=LEVELS, hop=hop), strict=True):
        assert (before.name, before.size) == (after.name, after.size)
        assert torch.equal(before.codes, after.codes)


@settings(max_examples=400)
@given(at=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans(), packed=st.booleans())
def test_a_mutated_file_is_read_or_refused(
    at: float, value: int, cut: bool, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.npz"
    write_codes(path, signals([(9, 4), (3, 3)], 2), codebook_sizes=LEVELS)
    if not packed:  # Without compression a mutation reaches numpy's own headers, past the checksums.
        with zipfile.ZipFile(path) as old:
            entries = {name: old.read(name) for name in old.namelist()}
        mutated = bytearray(entries["codes_0.npy"])
        mutated[min(int(at * len(mutated)), len(mutated) - 1)] = value
        entries["codes_0.npy"] = bytes(mutated)
        with zipfile.ZipFile(path, "w") as new:
            for name, body in entries.items():
                new.writestr(name, body)
    else:
        content_bytes = bytearray(path.read_bytes())
        place = min(int(at * len(content_bytes)), len(content_bytes) - 1)
        content_bytes[place] = value
        path.write_bytes(content_bytes[:place] if cut else content_bytes)
    try:
        read = read_codes(path, codebook_sizes=LEVELS, hop=2)
    except DataError:
        return
    for signal in read:
        assert int(signal.codes.min()) >= 0
        assert all(int(signal.codes[..., k].max()) < n for k, n in enumerate(LEVELS))


def test_the_earlier_format_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, names=np.array(["a"]), levels=np.array(LEVELS))
    with pytest.raises(DataError, match="format 1, but 2 is needed; write it again with `codeword encode`"):
        read_codes(path, codebook_sizes=LEVELS, hop=2)


def test_claims_of_terabytes_are_refused_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "codes.npz"
    write_codes(path, signals([(4,)], 2), codebook_sizes=LEVELS)
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i4", "fortran_order": False, "shape": (1 << 40,)})
    with zipfile.ZipFile(path, "w") as new:
        for name, body in entries.items():
            new.writestr(name, header.getvalue() if name == "codes_0.npy" else body)
    with pytest.raises(DataError, match=r"claims .* bytes"):
        read_codes(path, codebook_sizes=LEVELS, hop=2)
    monkeypatch.setattr(codes_module, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("codes_0.npy", bytes(2 << 20))
    with pytest.raises(DataError, match="would unpack to"):
        read_codes(path, codebook_sizes=LEVELS, hop=2)
