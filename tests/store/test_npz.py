"""Codes files: whole, of an earlier format, and with false claims."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codeword.errors import DataError
from codeword.store import npz as codes_module
from codeword.store.npz import CodedSignal, read_codes, write_codes

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


def test_the_earlier_format_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    np.savez(path, names=np.array(["a"]), levels=np.array(LEVELS))
    with pytest.raises(DataError, match="format 1, but 2 is needed; write it again with `codeword encode`"):
        read_codes(path, codebook_sizes=LEVELS, hop=2)


def test_what_is_not_there_and_what_another_model_encoded_are_told_apart(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone.npz", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=f"cannot be read \\({reason}.*\\); check the path"):
            read_codes(path, codebook_sizes=LEVELS, hop=2)
    write_codes(tmp_path / "codes.npz", signals([(8,)], 2), codebook_sizes=LEVELS)
    with pytest.raises(DataError, match="use the model that encoded it"):
        read_codes(tmp_path / "codes.npz", codebook_sizes=LEVELS, hop=4)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    names = np.frombuffer((0x7FFFFFFF).to_bytes(4, "little"), dtype="<U1")
    np.savez(path, format=np.array(2), names=names, sizes=np.ones((1, 1), int), codebook_sizes=np.array(LEVELS))
    with pytest.raises(DataError, match="not a readable file of codes"):
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
