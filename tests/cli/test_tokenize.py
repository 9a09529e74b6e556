"""The commands that write and read shards: their output and their files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny.cli import run_cli
from tiny.tokens import save_tokenizer, write_files

from codeword.cli.detokenizing import detokenize
from codeword.errors import UsageError
from codeword.files import Outcome
from codeword.media.images import read_image
from codeword.media.waves import read_audio
from codeword.store.shards import read_shard, shard_paths, write_shard
from codeword.tokenizer import Tokenizer


def ignore(done: int, total: int) -> None:
    """No bar."""


@pytest.fixture
def tokens(tmp_path: Path, ndim: int) -> Path:
    """Three shards and their tiny model, in one folder each."""
    save_tokenizer(tmp_path / "model", ndim)
    write_files(tmp_path / "files", ndim, 6)
    places = tmp_path / "model", tmp_path / "files", "--out", tmp_path / "tokens"
    assert run_cli("tokenize", *places, "--shard-items", "2") == 0
    assert len(shard_paths(tmp_path / "tokens")) == 3
    return tmp_path / "tokens"


def decoded(tokens: Path, out: str = "out") -> Outcome:
    return detokenize(tokens.parent / "model", tokens, tokens.parent / out, format_=None, progress=ignore)


def test_tokens_become_files_again(tokens: Path, ndim: int) -> None:
    done = decoded(tokens)
    tokenizer = Tokenizer.from_pretrained(tokens.parent / "model")
    assert len(done.results) == 6
    assert not done.failures
    for name, result in done.results.items():
        path = tokens.parent / "out" / Path(name)
        assert result["out"] == str(path)
        if ndim == 1:
            config = tokenizer.config
            assert config.sample_rate is not None
            original, found = (
                read_audio(p, sample_rate=config.sample_rate, values=config.values)
                for p in (tokens.parent / "files" / name, path)
            )
        else:
            original, found = read_image(tokens.parent / "files" / name), read_image(path)
        expected = tokenizer.decode(tokenizer.encode(original[None]), size=tuple(original.shape[1:]))[0]
        assert (found.long() - expected).abs().max() <= (2 if ndim == 1 else 0)  # Streams round otherwise.


def test_finished_shards_are_counted_again(tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    places = tmp_path / "model", tmp_path / "files", "--out", tokens
    assert run_cli("tokenize", *places, "--shard-items", "2", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    codes = sum(row.codes.numel() for path in shard_paths(tokens) for row in read_shard(path).rows)
    assert done == {"results": {"shards": 3, "signals": 6, "codes": codes}, "failures": {}}


def test_what_is_broken_is_named_and_the_rest_goes_on(tokens: Path) -> None:
    first, second, third = shard_paths(tokens)
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    shard = read_shard(third)
    write_shard(third, replace(shard, rows=(replace(shard.rows[0], id="../../up"), shard.rows[1])))
    done = decoded(tokens)
    assert list(done.results) == [shard.rows[1].id]
    assert "damaged" in done.failures[str(first)]
    assert "is missing" in done.failures[str(second)]
    assert "is not a path inside" in done.failures["../../up"]
    assert not (tokens.parent.parent / "up.png").exists()
    write_shard(first, shard)
    assert "another shard holds too" in decoded(tokens, "again").failures[shard.rows[1].id]


def test_another_model_is_named(tokens: Path, ndim: int) -> None:
    ours = read_shard(shard_paths(tokens)[0]).info.fingerprint
    save_tokenizer(tokens.parent / "model", ndim, seed=1)
    done = decoded(tokens)
    assert not done.results
    assert len(done.failures) == 3
    assert all(ours in sentence and "use that model" in sentence for sentence in done.failures.values())


def test_wishes_that_cannot_be(tokens: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("tokenize", tmp_path / "model", tmp_path / "files", "--out", tokens, "--limit", "0") == 2
    assert "--limit must be 1 or more" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not written as 'gif'"):
        detokenize(tmp_path / "model", tokens, tmp_path / "out", format_="gif", progress=ignore)
    torch.manual_seed(0)
    config = Tokenizer.from_pretrained(tmp_path / "model").config.model_copy(update={"values": 200})
    Tokenizer(config).save_pretrained(tmp_path / "odd")
    assert run_cli("tokenize", tmp_path / "odd", tmp_path / "files", "--out", tokens) == 2
    assert "have no file format here" in capsys.readouterr().err
