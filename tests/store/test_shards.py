"""Shards: Codeword and other readers read what was written; damaged and forged files are refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny.thrift import varint
from tiny.tokens import RATE, assert_same, info, rows

from codeword.errors import DataError, ModelError
from codeword.store import shards as shards_module
from codeword.store.shards import Shard, Skipped, check_model, digest_path, read_shard, write_shard, write_with_digest

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def shard(*, ndim: int = 2, sizes: list[tuple[int, ...]] | None = None) -> Shard:
    about = info(ndim=ndim)
    return Shard(
        about, rows(about, [(9, 4, 2)[:ndim], (3, 3, 5)[:ndim], (20, 8, 1)[:ndim]] if sizes is None else sizes)
    )


@given(data=st.data(), ndim=st.sampled_from([1, 2, 3]), hop=st.integers(1, 4))
def test_what_is_written_is_read(
    data: st.DataObject, ndim: int, hop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    codebook_sizes = data.draw(st.lists(st.sampled_from([2, 9, 1 << 20]), min_size=1, max_size=3))
    sizes = data.draw(st.lists(st.tuples(*[st.integers(1, 20)] * ndim), max_size=5))
    skipped = tuple(Skipped(id=text, reason=text) for text in data.draw(st.lists(TEXTS, max_size=2)))
    about = info(ndim=ndim, codebook_sizes=tuple(codebook_sizes), hop=hop).model_copy(update={"skipped": skipped})
    named = [
        replace(row, id=f"{i}{data.draw(TEXTS)}", label=data.draw(st.none() | TEXTS), source=data.draw(TEXTS))
        for i, row in enumerate(rows(about, sizes))
    ]
    written = Shard(about, tuple(named))
    path = tmp_path_factory.mktemp("shards") / "shard.parquet"
    write_shard(path, written)
    content = path.read_bytes()
    assert_same(read_shard(path), written)
    write_shard(path, read_shard(path))
    assert path.read_bytes() == content
    assert digest_path(path).read_text() == f"{hashlib.sha256(content).hexdigest()}  shard.parquet\n"


def test_a_shard_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path, good = tmp_path / "shard.parquet", shard()
    row = good.rows[0]
    for bad, reason in (
        (replace(row, codes=row.codes + 7), "beyond the codebook"),
        (replace(row, codes=row.codes - 7), "beyond the codebook"),
        (replace(row, codes=row.codes[:, :, :1]), "has 10 codes, not 2 for each of"),
        (replace(row, codes=row.codes[:-1]), "which is not that of size"),
        (replace(row, size=(9, 9)), "which is not that of size"),
        (replace(row, size=(0, 4)), "which is not that of size"),
        (replace(row, size=(9,)), "which is not that of size"),
        (replace(row, id=good.rows[1].id), "same id twice"),
        (replace(row, label="x" * 5000), "label has more than"),
    ):
        write_shard(path, replace(good, rows=(bad, *good.rows[1:])))
        with pytest.raises(DataError, match=reason):
            read_shard(path)


def test_claims_are_bounded_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(path, shard(sizes=[(64, 64)] * 8))
    for name, reason in (("MAX_CODES", "values of codes"), ("MAX_ROWS", "rows"), ("MAX_BYTES", "bytes")):
        with monkeypatch.context() as bounds:
            bounds.setattr(shards_module, name, 7)
            with pytest.raises(DataError, match=reason):
                read_shard(path)
    # Small enough as a file, but not unpacked.
    size_bytes = path.stat().st_size
    monkeypatch.setattr(shards_module, "MAX_BYTES", size_bytes)
    write_shard(path, Shard(info(codebook_sizes=(2, 2)), rows(info(codebook_sizes=(2, 2)), [(400, 400)])))
    assert path.stat().st_size > size_bytes or _refused(path, "would unpack to")


def _refused(path: Path, reason: str) -> bool:
    with pytest.raises(DataError, match=reason):
        read_shard(path)
    return True


def test_other_files_are_no_shards(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(DataError, match=r"has no other\.parquet\.sha256"):
        read_shard(path)
    write_with_digest(path, path.read_bytes())
    with pytest.raises(DataError, match="not a readable shard of tokens"):
        read_shard(path)
    write_with_digest(path, b"not Parquet")
    with pytest.raises(DataError, match="does not begin and end like a Parquet file"):
        read_shard(path)
    with pytest.raises(DataError, match=r"missing\.parquet"):
        read_shard(tmp_path / "missing.parquet")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(path, shard())
    table = pq.read_table(path)
    wide = pa.array([[1]] * len(table), pa.list_(pa.int64()))
    forge(path, table.set_column(1, "codes", wide))
    with pytest.raises(DataError, match="the column codes is"):
        read_shard(path)
    forge(path, table.append_column("more", pa.array([1] * len(table))))
    with pytest.raises(DataError, match="other columns than"):
        read_shard(path)
    forge(path, table.drop_columns("grid"))
    with pytest.raises(DataError, match="the column grid is missing"):
        read_shard(path)
    nulls = pa.array([None] * len(table), table.schema.field("size").type)
    forge(path, table.set_column(table.schema.get_field_index("size"), "size", nulls))
    with pytest.raises(DataError, match="size has nulls"):
        read_shard(path)
    forge(path, table)
    assert_same(read_shard(path), shard())


def test_an_earlier_format_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(path, shard())
    table = pq.read_table(path)
    forge(path, table.replace_schema_metadata({"codeword": json.dumps({"format": 1, "levels": [7, 5]})}))
    with pytest.raises(DataError, match="format 1, but 2 is needed; write it again with `codeword tokenize`"):
        read_shard(path)
    # A shard of format 1 held its digest itself.
    digest_path(path).unlink()
    with pytest.raises(DataError, match=r"of format 2; copy that file too, or .* with `codeword tokenize`"):
        read_shard(path)


@pytest.mark.parametrize("part", ["", "no digest", "0" * 64])
def test_another_digest_is_refused(tmp_path: Path, part: str) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(path, shard())
    digest_path(path).write_text(part)
    with pytest.raises(DataError, match=r"its SHA-256 is not that in shard\.parquet\.sha256"):
        read_shard(path)


def forge(path: Path, table: pa.Table) -> None:
    """A file that is no shard but has the metadata and the digest of one."""
    about = table.schema.metadata[b"codeword"]
    with pq.ParquetWriter(path, table.schema.remove_metadata(), store_schema=False) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata({"codeword": about})
    write_with_digest(path, path.read_bytes())


def test_codes_of_another_model_are_refused(tmp_path: Path) -> None:
    ours = info()
    check_model(tmp_path, ours, ours)
    other = ours.model_copy(update={"fingerprint": "0" * 64})
    with pytest.raises(ModelError, match=f"{'0' * 64}.*{'f' * 64}"):
        check_model(tmp_path, other, ours)
    with pytest.raises(ModelError, match="hop"):
        check_model(tmp_path, info(hop=4), ours)


def test_others_read_shards_as_they_are(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs codeword[tokens]")
    parts = [shard(ndim=1, sizes=sizes) for sizes in ([(9,), (30,)], [])]
    for i, part in enumerate(parts):
        write_shard(tmp_path / f"shard-{i}.parquet", part)
    found = datasets.load_dataset(
        "parquet",
        data_files=[str(tmp_path / f"shard-{i}.parquet") for i in (1, 0)],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert len(found) == 2
    for row, ours in zip(found, parts[0].rows, strict=True):
        assert row["codes"] == ours.codes.flatten().tolist()
        assert (row["id"], row["label"], row["source"]) == (ours.id, ours.label, ours.source)
        assert (tuple(row["size"]), row["duration_s"]) == (ours.size, ours.size[0] / RATE)


def test_rows_are_in_one_group_and_pages_have_checksums(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    write_shard(path, shard())
    content = bytearray(path.read_bytes())
    content[content.index(b"(\xb5/\xfd") + 8] ^= 1  # Inside the first page: that is how zstd begins.
    with pytest.raises(OSError, match="CRC checksum"):
        pq.read_table(pa.BufferReader(bytes(content)), page_checksum_verification=True)
    with pq.ParquetFile(path) as file:
        assert file.metadata.num_row_groups == 1
        about = json.loads(file.schema_arrow.metadata[b"codeword"])
    assert about == info().model_dump(mode="json")


def test_pages_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, about = tmp_path / "shard.parquet", info(codebook_sizes=(2,), hop=1)
    zeros = rows(about, [(1, 1 << 21)])[0]
    write_shard(path, Shard(about, (replace(zeros, codes=zeros.codes * 0),)))
    content = path.read_bytes()
    assert len(content) < 3000
    # The footer says less; both numbers take four bytes.
    true, false = varint(2 << 21), varint(2 << 20)  # In zigzag: twice the number.
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    at = content.index(true, footer)
    write_with_digest(path, content[:at] + false + content[at + len(true) :])
    with pq.ParquetFile(path) as file:
        assert file.metadata.row_group(0).column(1).num_values == 1 << 20
    monkeypatch.setattr(shards_module, "MAX_CODES", 1 << 20)
    with pytest.raises(DataError, match="claims 2,097,152 values of codes"):
        read_shard(path)


def test_rows_of_a_group_are_not_believed(tmp_path: Path) -> None:
    path, about = tmp_path / "shard.parquet", info(codebook_sizes=(2,), hop=1)
    write_shard(path, Shard(about, rows(about, [(1, 1)] * 70)))
    content = path.read_bytes()
    # The number of rows of the only group comes after the file's own, both as 70 in zigzag; it takes two bytes.
    at = content.rindex(varint(140))
    more = content[:at] + varint(2 << 40) + content[at + 2 :]
    footer_bytes = int.from_bytes(content[-8:-4], "little") + len(more) - len(content)
    write_with_digest(path, more[:-8] + footer_bytes.to_bytes(4, "little") + more[-4:])
    with pytest.raises(DataError, match="its row groups have other rows than it says"):
        read_shard(path)
