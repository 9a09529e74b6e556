"""A model folder whose config claims too much is refused, soon and in little memory."""

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny.codec_models import model, speech

from codeword.config import (
    ConvTrunkConfig,
    FiniteScalarQuantizerConfig,
    InterleavedConfig,
    SamplesConfig,
    SpectrogramConfig,
    TokenizerConfig,
    WaveNetDecoderConfig,
)
from codeword.errors import CodewordError, ModelError
from codeword.model import Model
from codeword.store import CONFIG_FILE, WEIGHTS_FILE
from codeword.tokenizer import Tokenizer

MOST_GROWTH_MIB = 256
Place = tuple[str | int, ...]

FSQ = TokenizerConfig(
    trunk=ConvTrunkConfig(width=4, residual_width=2, residual_blocks=1),
    quantizer=FiniteScalarQuantizerConfig(channel_levels=(3, 3), dim=4),
)
SPEECH = speech().tokenizer.config
SPECTROGRAM = SPEECH.model_copy(
    update={"head": SamplesConfig(), "likelihood": SpectrogramConfig(n_fft=64, hop=16, mels=8, iterations=2)}
)
INTERLEAVED = FSQ.model_copy(update={"likelihood": InterleavedConfig(width=4, hidden=4, blocks=1, features=4)})
WAVENET = FSQ.model_copy(
    update={
        "ndim": 1,
        "channels": 1,
        "likelihood": WaveNetDecoderConfig(dilations=(1, 2), width=4, skip_width=4, features=4),
    }
)


def save(name: str, folder: Path) -> None:
    match name:
        case "images":
            model(2, rates=True, classes=3).save_pretrained(folder)
        case "speech":
            speech().save_pretrained(folder)
        case _:
            torch.manual_seed(0)
            configs = {"fsq": FSQ, "spectrogram": SPECTROGRAM, "interleaved": INTERLEAVED, "wavenet": WAVENET}
            Tokenizer(configs[name]).save_pretrained(folder)


def integers(tree: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all integers of a tree."""
    if isinstance(tree, dict | list):
        for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from integers(branch, (*place, key))
    elif type(tree) is int:
        yield place


def put(folder: Path, place: Place, value: Any) -> None:
    path = folder / CONFIG_FILE
    tree = json.loads(path.read_text())
    branch = tree
    for key in place[:-1]:
        branch = branch[key]
    branch[place[-1]] = value
    path.write_text(json.dumps(tree))


def growth_mib(before: int) -> float:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize("name", ["images", "speech", "fsq", "spectrogram", "interleaved", "wavenet"])
def test_every_huge_integer_of_a_config_is_refused(name: str, tmp_path: Path) -> None:
    save(name, tmp_path)
    Model.load(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for folder in (tmp_path, tmp_path / "prior"):
        if not folder.is_dir():
            continue
        right = (folder / CONFIG_FILE).read_text()
        for place in integers(json.loads(right)):
            for huge in (1 << 20, 1 << 31, 1 << 62):
                put(folder, place, huge)
                with pytest.raises(CodewordError):
                    Model.load(tmp_path)
            put(folder, place, "2")
            with pytest.raises(CodewordError, match=r"should be|found '2'|format"):
                Model.load(tmp_path)
            (folder / CONFIG_FILE).write_text(right)
    Model.load(tmp_path)
    assert growth_mib(before) < MOST_GROWTH_MIB


@pytest.mark.parametrize(
    ("name", "part", "place", "value", "says"),
    [
        ("images", "prior", ("grid",), [4000, 4000], "a grid of 16000000 cells is too large"),
        ("images", "prior", ("grid",), [1 << 14, 2], "a grid of 32768 cells"),
        ("speech", "prior", ("architecture", "dilations"), [1, 2, 1 << 14], "dilations add up to 16387"),
        ("wavenet", "", ("likelihood", "dilations"), [9000, 9000], "dilations add up to 18000"),
        ("speech", "", ("frontend", "n_fft"), 8192, "n_fft may be at most 32 times hop, 512, not 8192"),
        ("spectrogram", "", ("likelihood", "n_fft"), 8192, "n_fft may be at most 32 times hop"),
        (
            "spectrogram",
            "",
            ("likelihood",),
            {"kind": "spectrogram", "n_fft": 512, "hop": 16, "iterations": 999},
            "512000",
        ),
        ("fsq", "", ("trunk", "strides"), [16, 16, 2], "cells of 512 values along each of 2 axes"),
        (
            "fsq",
            "",
            ("quantizer", "channel_levels"),
            [1000, 1000],
            r"levels \[3, 3\], but the config has \[1000, 1000\]",
        ),
        ("speech", "", ("quantizer", "served_codes"), [1] * 65, "at most 64"),
    ],
)
def test_sizes_that_no_weight_confirms_are_bounded(
    name: str, part: str, place: Place, value: Any, says: str, tmp_path: Path
) -> None:
    save(name, tmp_path)
    put(tmp_path / part, place, value)
    with pytest.raises(ModelError, match=says):
        Model.load(tmp_path)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(number: float, tmp_path: Path) -> None:
    save("fsq", tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.ndim > 1)
    tensors[name].view(-1)[-1] = number
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ModelError, match=f"{name} holds numbers that are not finite"):
        Tokenizer.from_pretrained(tmp_path)
