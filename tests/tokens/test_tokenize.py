"""Data sets to shards: the tokenizer's codes, and equal bytes after every interruption."""

import multiprocessing
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny.tokens import CONFIGS, contents, save_tokenizer, write_files

from codeword.codec import Search, search_codes
from codeword.config import LogMelConfig
from codeword.data.items import list_items
from codeword.engines import ENGINES, run_jobs
from codeword.errors import ModelError, UnsupportedError, UsageError
from codeword.media.images import read_image
from codeword.media.waves import read_audio
from codeword.model import Model
from codeword.store import LOCK_FILE, locked
from codeword.store.shards import Skipped, read_shard, shard_paths
from codeword.tokenizer import Tokenizer
from codeword.tokens import encoding as encoding_module
from codeword.tokens import run as run_module
from codeword.tokens import tokenize
from codeword.tokens.encoding import encode_items
from codeword.tokens.run import MANIFEST_FILE, Job, divide, info_of, make_shard

COUNT = 23


@pytest.fixture
def place(tmp_path: Path, ndim: int) -> Path:
    save_tokenizer(tmp_path / "model", ndim)
    return tmp_path / "model"


@pytest.fixture
def files(tmp_path: Path, ndim: int) -> Path:
    """Readable files, and two unreadable ones."""
    write_files(tmp_path / "files", ndim, COUNT)
    suffix = ".wav" if ndim == 1 else ".png"
    (tmp_path / "files" / "a" / f"broken{suffix}").write_bytes(b"nothing of the kind")
    (tmp_path / "files" / "b" / f"empty{suffix}").write_bytes(b"")
    return tmp_path / "files"


def read(path: Path, tokenizer: Tokenizer) -> torch.Tensor:
    config = tokenizer.config
    if config.sample_rate is None:
        return read_image(path)
    return read_audio(path, sample_rate=config.sample_rate, values=config.values)


def test_rows_are_what_the_tokenizer_gives(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items = list_items(str(files), CONFIGS[ndim])
    reported: list[tuple[int, int]] = []
    summary = tokenize(
        place, items, tmp_path / "out", shard_items=5, progress=lambda done, total: reported.append((done, total))
    )
    shards = [read_shard(path) for path in shard_paths(tmp_path / "out")]
    rows = [row for shard in shards for row in shard.rows]
    tokenizer = Tokenizer.from_pretrained(place)
    assert (summary.shards, summary.signals) == (len(shards), len(rows)) == (5, COUNT)
    assert summary.codes == sum(row.codes.numel() for row in rows)
    assert reported == [(n, len(items)) for n in (5, 10, 15, 20, 25)]
    broken = [item.id for item in items if "/broken" in item.id or "/empty" in item.id]
    assert list(summary.skipped) == broken
    assert all(str(files / name) in summary.skipped[name] for name in broken)
    assert [row.id for row in rows] == [item.id for item in items if item.id not in broken]
    for row in rows:
        x = read(files / row.id, tokenizer)
        assert (row.size, row.label, row.source) == (tuple(x.shape[1:]), row.id[0], str(files / row.id))
        assert torch.equal(row.codes, tokenizer.encode(x[None])[0])
    assert {shard.info.fingerprint for shard in shards} == {Model.load(place).fingerprint}
    assert len({int(code) for row in rows for code in row.codes.flatten()}) > 3


def test_tokens_of_a_search_are_the_codes_that_it_finds(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, tokenizer = list_items(str(files), CONFIGS[ndim]), Tokenizer.from_pretrained(place)
    if ndim == 1:
        with pytest.raises(UnsupportedError, match="leave refine out"):
            tokenize(place, items, tmp_path / "out", refine=1)
        return
    tokenize(place, items, tmp_path / "out", refine=1)
    rows = [row for path in shard_paths(tmp_path / "out") for row in read_shard(path).rows]
    xs = [read(files / row.id, tokenizer) for row in rows]
    for row, x in zip(rows, xs, strict=True):
        assert torch.equal(row.codes, search_codes(tokenizer, x[None], Search(refine=1))[0])
    assert any(not torch.equal(row.codes, tokenizer.encode(x[None])[0]) for row, x in zip(rows, xs, strict=True))


def test_it_is_finished_from_wherever_it_was(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, out = list_items(str(files), CONFIGS[ndim]), tmp_path / "out"
    first = tokenize(place, items, out, shard_items=5)
    clean = contents(out)
    shards = shard_paths(out)
    untouched = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    shards[2].write_bytes(clean[shards[2].name][:-100])
    shards[3].write_bytes(clean[shards[4].name])
    (out / f".{shards[1].name}.x7").write_bytes(b"half")
    assert tokenize(place, items, out, shard_items=5) == first
    assert contents(out) == clean
    assert shards[0].stat().st_mtime_ns == untouched


def test_a_folder_of_something_else_is_left_alone(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, out = list_items(str(files), CONFIGS[ndim]), tmp_path / "out"
    tokenize(place, items, out, shard_items=5)
    clean = contents(out)
    save_tokenizer(tmp_path / "other", ndim, seed=1)
    with pytest.raises(UsageError, match=f"fingerprint {Model.load(place).fingerprint}, but this one's is"):
        tokenize(tmp_path / "other", items, out, shard_items=5)
    with pytest.raises(UsageError, match="started with 5 items in a shard, not 6"):
        tokenize(place, items, out, shard_items=6)
    with pytest.raises(UsageError, match="was started with effort 1, not 4"):
        tokenize(place, items, out, shard_items=5, effort=4)
    with pytest.raises(UsageError, match="was started with refine 0, not 1"):
        tokenize(place, items, out, shard_items=5, refine=1)
    with pytest.raises(UsageError, match="another listing"):
        tokenize(place, items[:-1], out, shard_items=5)
    (files / items[0].id).write_bytes(b"changed")
    with pytest.raises(UsageError, match="another listing"):
        tokenize(place, list_items(str(files), CONFIGS[ndim]), out, shard_items=5)
    assert contents(out) == clean
    (out / MANIFEST_FILE).unlink()
    with pytest.raises(UsageError, match=f"no {MANIFEST_FILE}"):
        tokenize(place, items, out, shard_items=5)


def test_wishes_out_of_range_are_refused(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items = list_items(str(files), CONFIGS[ndim])
    for wish, reason in (
        ({"shard_items": 0}, "`shard_items`"),
        ({"workers": 0}, "number of workers"),
        ({"engine": "x"}, "'x'"),
    ):
        with pytest.raises(UsageError, match=reason):
            tokenize(place, items, tmp_path / "out", **wish)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_shard_is_bounded(
    place: Path, files: Path, tmp_path: Path, ndim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list_items(str(files), CONFIGS[ndim])
    monkeypatch.setattr(run_module, "PART_BYTES", 3 * max(item.size_bytes for item in items))
    parts = divide(items, shard_items=1000)
    assert [item for part in parts for item in part.items] == items
    assert 1 < len(parts) < len(items)
    monkeypatch.setattr(run_module, "MAX_CODES", 40)
    with pytest.raises(UsageError, match="more than 40 codes"):
        tokenize(place, items, tmp_path / "out")


def test_a_model_that_changes_meanwhile_is_noticed(
    place: Path, files: Path, tmp_path: Path, ndim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list_items(str(files), CONFIGS[ndim])

    def replace_model(*arguments: object) -> object:
        save_tokenizer(place, ndim, seed=1)
        return ENGINES["local"](*arguments)

    monkeypatch.setitem(ENGINES, "late", replace_model)
    with pytest.raises(ModelError, match="another model"):
        tokenize(place, items, tmp_path / "out", engine="late")


@pytest.mark.parametrize(("ndim", "normalise"), [(1, True), (1, False), (2, False)])
def test_large_signals_are_encoded_alone_and_in_blocks(
    tmp_path: Path, ndim: int, normalise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIGS[ndim]
    if isinstance(config.frontend, LogMelConfig):
        frontend = config.frontend.model_copy(update={"normalise": normalise})
        config = config.model_copy(update={"frontend": frontend})
    torch.manual_seed(0)
    tokenizer = Tokenizer(config).eval()
    names = write_files(tmp_path, ndim, 3)
    (tmp_path / names[1]).write_bytes(b"broken")
    monkeypatch.setattr(encoding_module, "BATCH_POSITIONS", 100)
    skipped: list[Skipped] = []
    rows = list(encode_items(tokenizer, list_items(str(tmp_path), config), skipped))
    assert [signal.id for signal in skipped] == [names[1]]
    assert [row.id for row in rows] == [names[0], names[2]]
    for row in rows:
        x = read(tmp_path / row.id, tokenizer)
        assert row.size == tuple(x.shape[1:])
        assert torch.equal(row.codes, tokenizer.encode(x[None])[0])


# Kills: the child process is killed at random times, until a run finishes.

Kill = Callable[[random.Random], int | None]
"""Waits for a random time, kills a process and returns its exit code, None if it still ran."""


def run_and_kill(start: Callable[[], Kill], *, kills: int) -> None:
    """`start` starts a process and returns what kills it."""
    draw = random.Random(0)
    done = 0
    while done < kills:
        code = start()(draw)
        assert code in (None, 0)
        done += code is None


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_kills_leave_no_gap_and_nothing_twice(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, out = list_items(str(files), CONFIGS[ndim]), tmp_path / "out"
    begun = time.monotonic()
    tokenize(place, items, tmp_path / "clean", shard_items=1)
    clean_s = time.monotonic() - begun
    # A fork, because to import all anew would take seconds each time.
    context = multiprocessing.get_context("fork")

    def start() -> Kill:
        process = context.Process(target=tokenize, args=(place, items, out), kwargs={"shard_items": 1})
        process.start()

        def kill(draw: random.Random) -> int | None:
            time.sleep(draw.uniform(0, clean_s / 2))
            code = process.exitcode
            process.kill()
            process.join()
            return code

        return kill

    run_and_kill(start, kills=3)
    tokenize(place, items, out, shard_items=1)
    assert contents(out) == contents(tmp_path / "clean")


def test_what_a_kill_left_half_written_goes(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, out = list_items(str(files), CONFIGS[ndim])[:2], tmp_path / "out"
    out.mkdir()
    for name in (".tokens.json.abc", ".shard-000000.parquet.abc"):
        (out / name).write_bytes(b"half")
    tokenize(place, items, out, shard_items=1)
    assert set(contents(out)) == {
        LOCK_FILE,
        "tokens.json",
        *(f"shard-00000{i}.parquet{suffix}" for i in range(2) for suffix in ("", ".sha256")),
    }


def test_two_runs_into_one_folder_are_refused(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    items, out = list_items(str(files), CONFIGS[ndim])[:2], tmp_path / "out"
    with locked(out), pytest.raises(UsageError, match="Another process is writing to"):
        tokenize(place, items, out)
    assert set(contents(out)) == {LOCK_FILE}
    assert tokenize(place, items, out).signals == 2


SCRIPT = """
import sys
from pathlib import Path
from codeword.model import Model
from codeword.data.items import list_items
from codeword.tokens import tokenize

if __name__ == "__main__":
    place, files, out, workers = sys.argv[1:]
    items = list_items(files, Model.load(place).tokenizer.config)
    print("begun", flush=True)
    tokenize(place, items, Path(out), shard_items=1, workers=int(workers))
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("kills", "workers"), [(20, 1), (5, 2)])
def test_many_kills_of_whole_processes(
    place: Path, files: Path, tmp_path: Path, ndim: int, kills: int, workers: int
) -> None:
    items, out = list_items(str(files), CONFIGS[ndim]), tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    begun = time.monotonic()
    tokenize(place, items, tmp_path / "clean", shard_items=1)
    shard_s = (time.monotonic() - begun) / len(items)

    def finished() -> int:
        return len(list(out.glob("shard-*.parquet")))

    def start() -> Kill:
        process = subprocess.Popen([sys.executable, script, place, files, out, str(workers)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"

        def kill(draw: random.Random) -> int | None:
            # Within one of the next shards, not by the clock: it takes seconds until workers begin.
            goal = min(finished() + draw.randrange(4), len(items) - 1)
            while finished() < goal and process.poll() is None:
                time.sleep(shard_s / 20)
            time.sleep(draw.uniform(0, shard_s))
            code = process.poll()
            process.kill()
            process.communicate()
            if code == 0:  # Nothing is left to be killed; begin again.
                for path in out.iterdir():
                    path.unlink()
            return code

        return kill

    run_and_kill(start, kills=kills)
    tokenize(place, items, out, shard_items=1)
    assert contents(out) == contents(tmp_path / "clean")


@pytest.mark.slow
def test_processes_make_the_shards_that_one_makes(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    assert_equal(place, files, tmp_path, ndim, "local")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own.
def test_ray_makes_the_shards_that_one_process_makes(place: Path, files: Path, tmp_path: Path, ndim: int) -> None:
    ray = pytest.importorskip("ray", reason="needs codeword[ray]")
    try:
        assert_equal(place, files, tmp_path, ndim, "ray")
    finally:
        ray.shutdown()


def assert_equal(place: Path, files: Path, tmp_path: Path, ndim: int, engine: str) -> None:
    items = list_items(str(files), CONFIGS[ndim])
    one = tokenize(place, items, tmp_path / "one", shard_items=4)
    two = tokenize(place, items, tmp_path / "two", shard_items=4, workers=2, engine=engine)
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    info = info_of(Model.load(place)).model_copy(update={"fingerprint": "0" * 64})
    job = Job(str(place), str(tmp_path / "three"), info)
    with pytest.raises(ModelError, match="another model"):
        list(run_jobs(partial(make_shard, job), divide(items, shard_items=9), workers=2, engine=engine))
