"""Codes on disk, and the archives that they are made from: shards, .npz files, tars."""

import io
import json
import random
import tarfile
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from attack.engine import Reader, check_refusal
from attack.media import pictures, sounds
from attack.mutations import EXTREMES, NAMES, VALUES, another, as_json, mutated
from tiny.thrift import varint
from tiny.tokens import CONFIGS, assert_same, info, rows

from codeword.config import TokensConfig
from codeword.data import open_dataset
from codeword.data.items import list_items
from codeword.errors import CodewordError
from codeword.media import medium_of
from codeword.store.npz import CodedSignal, read_codes, write_codes
from codeword.store.shards import Shard, digest_path, read_shard, write_shard, write_with_digest

LEVELS = (4, 4)


@cache
def shard() -> tuple[Shard, bytes]:
    about = info()
    made = Shard(about, rows(about, [(9, 4), (3, 3), (20, 8)]))
    with TemporaryDirectory() as folder:
        write_shard(Path(folder) / "x.parquet", made)
        return made, (Path(folder) / "x.parquet").read_bytes()


def check_codes(codes: torch.Tensor, codebook_sizes: tuple[int, ...]) -> None:
    assert int(codes.min()) >= 0
    assert all(int(codes[..., k].max()) < n for k, n in enumerate(codebook_sizes))


def forged_table(rng: random.Random, content: bytes) -> bytes:
    """Other columns, values and metadata, as a valid Parquet file."""
    table = pq.read_table(pa.BufferReader(content))
    about = json.loads(table.schema.metadata[b"codeword"])
    if rng.random() < 0.4:
        about = another(rng, about)
    columns: dict[str, Any] = {name: table.column(name).to_pylist() for name in table.schema.names}
    types = {field.name: field.type for field in table.schema}
    name = rng.choice(sorted(columns))
    match rng.randrange(6):
        case 0:
            columns[name] = another(rng, columns[name])
        case 1:
            others = [pa.int8(), pa.string(), pa.binary(), pa.list_(pa.int64()), pa.null(), pa.float64()]
            types[name] = rng.choice(others)
        case 2:
            del columns[name]
        case 3:
            columns[rng.choice(["more", *NAMES[4:8]])] = columns[name]
        case 4:
            columns[name] = [rng.choice(columns[name]) for _ in columns[name]]
        case _:
            columns = {name: values * rng.choice([2, 300]) for name, values in columns.items()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    out = io.BytesIO()
    options = {"compression": rng.choice(["zstd", "none", "gzip", "snappy"]), "store_schema": rng.random() < 0.2}
    with pq.ParquetWriter(out, schema, use_dictionary=rng.random() < 0.5, **options) as writer:
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            writer.write_table(pa.table(columns, schema=schema), row_group_size=rng.choice([1, 1000]))
        writer.add_key_value_metadata({"codeword": as_json(rng, about)})
    return out.getvalue()


def forged_numbers(rng: random.Random, content: bytes) -> bytes:
    """Extreme numbers in the footer or the head of a page, and a footer length that fits."""
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    part = bytearray(content[footer:-8])
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(part))
        part[place : place + rng.choice([0, 1, 1, 2])] = varint(rng.choice(EXTREMES))
    return content[:footer] + bytes(part) + len(part).to_bytes(4, "little") + content[-4:]


def attack_shard(rng: random.Random, work: Path) -> int:
    """With its old digest a shard is the right one or refused; with a new one it is consistent."""
    path, (written, content) = work / "x.parquet", shard()
    write_with_digest(path, content)
    if rng.random() < 0.2:
        path.write_bytes(mutated(rng, content))
        if rng.random() < 0.1:
            digest_path(path).write_bytes(mutated(rng, digest_path(path).read_bytes()))
        assert_same(read_shard(path), written)
        return len(content)
    try:
        forged = rng.choice([mutated, forged_table, forged_numbers, forged_numbers])(rng, content)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError, UnicodeError):
        return 0  # Arrow does not write such a file.
    write_with_digest(path, forged)
    found = read_shard(path)
    for row in found.rows:
        assert len(row.size) == found.info.ndim
        assert row.codes.shape == (*(-(-n // found.info.hop) for n in row.size), len(found.info.codebook_sizes))
        check_codes(row.codes, found.info.codebook_sizes)
    assert len({row.id for row in found.rows}) == len(found.rows)
    return len(forged)


def coded() -> list[CodedSignal]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(9, 4), (3, 3)]
    grids = [[-(-n // 2) for n in size] for size in sizes]
    return [
        CodedSignal(f"{i}", size, torch.stack([torch.randint(n, grid, generator=generator) for n in LEVELS], -1))
        for i, (size, grid) in enumerate(zip(sizes, grids, strict=True))
    ]


@cache
def npz() -> bytes:
    with TemporaryDirectory() as folder:
        write_codes(Path(folder) / "x.npz", coded(), codebook_sizes=LEVELS)
        return (Path(folder) / "x.npz").read_bytes()


def npy(rng: random.Random, content: bytes) -> bytes:
    """An array whose header says something else."""
    header = {"descr": "<i4", "fortran_order": False, "shape": (5, 2, 2)}
    key = rng.choice(sorted(header))
    types = ["O", "|O8", "<f8", "<U9", ">i4", "<i8", "<M8[s]", "V" + "9" * 9, "<c16", "b1", "", "x", [("a", "O")]]
    shapes = [(1 << 40,), (-1,), (1 << 62, 4), (5, 2), (0,), (), (2, 2, 5), [5, 2, 2], 5, "x", (True,), (2,) * 70]
    header[key] = rng.choice([rng.choice(types), rng.choice(shapes), another(rng, header[key])])
    text = rng.choice([repr(header), repr(header)[:-1], "{" * 300, "__import__('os')", repr(header) + " " * 70_000])
    version = rng.choice([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)])
    width = 2 if version == (1, 0) else 4
    length = min(len(text), 65535).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes(version) + length + text.encode("utf-8", "replace") + content[-40:]


def hostile_zip(rng: random.Random, content: bytes) -> bytes:
    """The same members, some changed, doubled, renamed, missing, or packed in another way."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        members = {entry: old.read(entry) for entry in old.namelist()}
    name = rng.choice(sorted(members))
    pairs = list(members.items())
    match rng.randrange(6):
        case 0 | 1:
            pairs = [(n, npy(rng, c) if n == name else c) for n, c in pairs]
        case 2:
            pairs = [(n, mutated(rng, c, members[rng.choice(sorted(members))]) if n == name else c) for n, c in pairs]
        case 3:
            pairs.append((rng.choice([name, *(n for n in NAMES if n.isascii() and n.isprintable() and n)]), b"x"))
        case 4:
            pairs = [(n, c) for n, c in pairs if n != name]
        case _:
            array = rng.choice([np.array([None, 1]), np.zeros((0, 2)), np.array(["a" * 5000] * 2), np.full(2, 1 << 62)])
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=True)
            pairs = [(n, buffer.getvalue() if n == name else c) for n, c in pairs]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice([0, 8, 12, 14])) as new:
        for n, c in pairs:
            if n in new.namelist():
                continue
            new.writestr(n, c)
    return mutated(rng, out.getvalue()) if rng.random() < 0.3 else out.getvalue()


def attack_npz(rng: random.Random, work: Path) -> int:
    """A damaged file is right or refused, a forged one holds codes of the codebook on grids of its sizes."""
    path, damaged = work / "x.npz", rng.random() < 0.5
    content = (mutated if damaged else hostile_zip)(rng, npz())
    path.write_bytes(content)
    found = read_codes(path, codebook_sizes=LEVELS, hop=2, prefix=rng.random() < 0.3)
    for one in found:
        assert one.codes.shape[:-1] == tuple(-(-n // 2) for n in one.size)
        check_codes(one.codes, LEVELS)
    if damaged:
        assert [(one.name, one.size, one.codes.tolist()) for one in found] == [
            (one.name, one.size, one.codes.tolist()) for one in coded()
        ]
    return len(content)


@cache
def plain_arrays() -> dict[str, bytes]:
    """Valid files of tokens on two axes with two codes in each cell."""
    tokens = np.random.default_rng(0).integers(0, 4, (6, 4, 3, 2)).astype(np.int32)
    files = {}
    for name, write in (("x.npy", np.save), ("x.npz", np.savez_compressed)):
        out = io.BytesIO()
        write(out, tokens)
        files[name] = out.getvalue()
    return files | {"codes.npz": npz(), "x.parquet": shard()[1]}


def attack_grids(rng: random.Random, work: Path) -> int:
    """As data of a recipe, every file gives tokens in range, in crops of the right size, or is refused."""
    name = rng.choice(sorted(plain_arrays()))
    content, path = plain_arrays()[name], work / name
    match path.suffix:
        case ".npy":
            content = (npy if rng.random() < 0.5 else mutated)(rng, content)
        case ".npz":
            content = (hostile_zip if rng.random() < 0.7 else mutated)(rng, content)
        case _:
            with suppress(pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError, UnicodeError):
                content = rng.choice([mutated, forged_table, forged_numbers])(rng, content)
    path.write_bytes(content)
    if path.suffix == ".parquet":
        write_with_digest(path, content)
    values = rng.choice([None, 3, 4, 8])
    column = rng.choice([None, None, "arr_0", "x"]) if path.suffix == ".npz" else None
    config = TokensConfig(root=path, crop=(2, 2), codes=2, values=values, column=column, test_fraction=0.3)
    for split in ("train", "valid", "test"):
        data = open_dataset(config, split)  # type: ignore[arg-type]
        x = data.take(range(len(data))).x
        assert x.shape[1:] == (2, 2, 2)
        assert 0 <= int(x.min()) <= int(x.max()) < (values or 1 << 16)
        if values is None:
            assert int(x.max()) < (data.count_values() or 0)
    return len(content)


def strange_member(rng: random.Random, name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    if rng.random() < 0.15:
        kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
        member.type = rng.choice([*kinds, tarfile.XHDTYPE, tarfile.XGLTYPE])
        member.linkname = rng.choice(["/etc/passwd", "../../x.png", name])
    if rng.random() < 0.1:
        field = rng.choice(["path", "size", "GNU.sparse.map", "GNU.sparse.realsize", "x"])
        member.pax_headers = {field: str(rng.choice(VALUES))[:3000]}
    return member


def tar(rng: random.Random, valid: list[tuple[str, bytes]]) -> bytes:
    """Pictures or recordings with labels, among links, devices, sparse members, and names of any kind."""
    out = io.BytesIO()
    kind = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for i in range(rng.choice([1, 3, 6])):
            suffix, content = rng.choice(valid)
            stem = rng.choice([f"{i}", "0", f"a/{i}", rng.choice(NAMES)])
            label = (stem + rng.choice([".cls", ".json", ".txt"]), b'{"label": 1}')
            for name, body in ((stem + suffix, content), label):
                member = strange_member(rng, name)
                member.size = len(body)
                with suppress(ValueError, UnicodeError):  # tarfile does not write it.
                    archive.addfile(member, io.BytesIO(body))
    return out.getvalue()


def attack_tar(rng: random.Random, work: Path) -> int:
    """Every member is read or refused by name."""
    ndim = rng.choice([1, 2])
    config, valid = CONFIGS[ndim], sounds() if ndim == 1 else pictures()
    content = tar(rng, valid)
    if rng.random() < 0.6:
        content = mutated(rng, content, tar(rng, valid))
    path = work / "x.tar"
    path.write_bytes(content)
    items = list_items(str(path), config)
    assert len({item.id for item in items}) == len(items)
    for item in items[:4]:
        try:
            with item.open() as signal:
                for block in medium_of(config).read(signal.data, config):
                    assert 0 <= int(block.min()) <= int(block.max()) < config.values
        except CodewordError as error:
            check_refusal(error)
    return len(content)


READERS = [
    Reader("shard", attack_shard, share=0.08),
    Reader("npz", attack_npz, share=0.06),
    Reader("grids", attack_grids, share=0.1),
    Reader("tar", attack_tar, share=0.08),
]
