"""Model folders: what is saved is what is loaded, and nothing hostile gets further than its header."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from codeword.config import ConvTrunkConfig, FiniteScalarQuantizerConfig, TokenizerConfig, UniformPriorConfig
from codeword.errors import CodewordError, ModelError
from codeword.priors import PixelCNN, Prior, Uniform, load_prior
from codeword.store import COMPACT_FROM, CONFIG_FILE, WEIGHTS_FILE, compacted, restore, write_atomically
from codeword.tokenizer import Tokenizer

SMALL = TokenizerConfig(
    trunk=ConvTrunkConfig(width=4, residual_width=2, residual_blocks=1),
    quantizer=FiniteScalarQuantizerConfig(channel_levels=(3, 3), dim=4),
)


COMPACT = SMALL.model_copy(update={"trunk": ConvTrunkConfig(width=16, residual_width=2, residual_blocks=1)})


def test_a_tokenizer_comes_back_equal(tokenizer: Tokenizer, size: tuple[int, ...], tmp_path: Path) -> None:
    x = torch.randint(256, (3, 3, *size), generator=torch.Generator().manual_seed(0))
    tokenizer(x)
    tokenizer.eval().save_pretrained(tmp_path / "model")
    loaded = Tokenizer.from_pretrained(tmp_path / "model")
    assert loaded.config == tokenizer.config
    assert torch.equal(loaded.encode(x), tokenizer.encode(x))
    assert torch.equal(loaded.log_prob(x), tokenizer.log_prob(x))
    assert sorted(os.listdir(tmp_path / "model")) == [CONFIG_FILE, WEIGHTS_FILE]


def test_a_prior_comes_back_equal_and_as_what_it_was(prior: PixelCNN, tmp_path: Path) -> None:
    codes = torch.stack([torch.randint(n, (2, *prior.grid)) for n in prior.codebook_sizes], -1)
    uniform = Uniform(prior._config.model_copy(update={"architecture": UniformPriorConfig()}))  # type: ignore[arg-type]
    for model in (prior, uniform):
        model.save_pretrained(tmp_path / "prior")
        loaded: Prior = load_prior(tmp_path / "prior")
        assert type(loaded) is type(model)
        assert torch.equal(loaded.log_prob(codes), model.log_prob(codes))


def test_loading_leaves_the_random_state_and_file_alone(tmp_path: Path) -> None:
    Tokenizer(SMALL).save_pretrained(tmp_path)
    state = torch.random.get_rng_state()
    loaded = Tokenizer.from_pretrained(tmp_path)
    assert torch.equal(state, torch.random.get_rng_state())
    before = (tmp_path / WEIGHTS_FILE).read_bytes()
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == before


def edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text())
    config.update(changes)
    (folder / CONFIG_FILE).write_text(json.dumps(config))


def test_damaged_and_hostile_folders_are_refused(tmp_path: Path) -> None:
    def fresh() -> Path:
        Tokenizer(SMALL).save_pretrained(tmp_path)
        return tmp_path

    with pytest.raises(ModelError, match="no model folder"):
        Tokenizer.from_pretrained(tmp_path / "gone")
    folder = fresh()
    (folder / CONFIG_FILE).write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        Tokenizer.from_pretrained(folder)
    edit(fresh(), surprise=1)
    with pytest.raises(ModelError, match="surprise is not a known field"):
        Tokenizer.from_pretrained(folder)
    edit(fresh(), trunk={"kind": "conv", "width": 8192, "residual_width": 8192, "residual_blocks": 200})
    with pytest.raises(ModelError, match=r"lacks|shape"):  # Terabytes, were they allocated.
        Tokenizer.from_pretrained(folder)
    edit(fresh(), trunk={"kind": "conv", "width": 6, "residual_width": 2, "residual_blocks": 1})
    with pytest.raises(ModelError, match="has shape"):
        Tokenizer.from_pretrained(folder)
    (fresh() / CONFIG_FILE).write_text("[" * 100_000)
    with pytest.raises(ModelError, match="JSON"):
        Tokenizer.from_pretrained(folder)
    (fresh() / CONFIG_FILE).write_text(" " * (2 << 20))
    with pytest.raises(ModelError, match="larger than any config"):
        Tokenizer.from_pretrained(folder)
    (fresh() / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match="does not exist"):
        Tokenizer.from_pretrained(folder)
    (fresh() / WEIGHTS_FILE).write_bytes(struct.pack("<Q", 1 << 62))
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        Tokenizer.from_pretrained(folder)


STRANGE = [0.0, 1e-45, 1e-38, 1e-30, 1.0, -1.0, 127.0, 3.4e38, -torch.finfo(torch.float32).max]


@given(data=st.data(), axis=st.sampled_from([0, 1]))
def test_compact_numbers_are_near_and_stay(data: st.DataObject, axis: int) -> None:
    rows = data.draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1 << 20)))
    weights = torch.randn(rows, -(-COMPACT_FROM // rows), generator=generator)
    weights *= 10.0 ** torch.randint(-42, 38, (rows, 1), generator=generator).float()
    for number in data.draw(st.lists(st.sampled_from(STRANGE), max_size=5)):
        weights[int(torch.randint(rows, (1,), generator=generator))] = number
    axes = {"w": axis}
    stored = compacted({"w": weights}, axes)
    assert stored["w"].dtype == torch.int8
    restored = restore(stored["w"], stored["w.scale"], "here")
    step = weights.abs().amax(1 - axis, keepdim=True) / 127
    assert bool(((restored - weights).abs() <= step * 0.51 + 1e-30).all())
    again = compacted({"w": restored}, axes)
    assert all(torch.equal(again[name], stored[name]) for name in stored)
    assert torch.equal(restore(again["w"], again["w.scale"], "here"), restored)


def test_damaged_compact_files_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Tokenizer(COMPACT).save_pretrained(tmp_path, compact=True)
    good = load_file(tmp_path / WEIGHTS_FILE)
    name = next(name for name, tensor in good.items() if tensor.dtype == torch.int8)
    scale = good[name + ".scale"]

    def must_be_refused(match: str, **changes: torch.Tensor) -> None:
        changed = {n: changes.get(n.removeprefix(name), t) for n, t in good.items()}
        save_file({n: t for n, t in changed.items() if t.numel()}, tmp_path / WEIGHTS_FILE)
        with pytest.raises(ModelError, match=match):
            Tokenizer.from_pretrained(tmp_path)

    must_be_refused("I8, but F32 is needed", **{".scale": torch.empty(0)})
    must_be_refused("F64, but F32 is needed", **{".scale": scale.double()})
    must_be_refused("F32, but I8 is needed", **{"": good[name].float()})
    must_be_refused("has shape", **{".scale": scale.flatten()})
    must_be_refused("has shape", **{".scale": torch.cat([scale, scale])})
    must_be_refused("lacks", **{"": torch.empty(0)})
    must_be_refused("negative or not finite", **{".scale": scale * float("nan")})
    must_be_refused("negative or not finite", **{".scale": -scale})
    save_file(good | {"surprise.scale": scale.clone()}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ModelError, match=r"surprise\.scale, which its config does not describe"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """The device that is always full stands for the disk."""
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(CodewordError, match="Could not write"):
        write_atomically(Path("/dev/full/file"), b"new")
    (tmp_path / "locked").write_text("a file where a folder is needed")
    with pytest.raises(CodewordError, match="Could not write"):
        write_atomically(tmp_path / "locked" / "file", b"new")
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["file", "locked"]
