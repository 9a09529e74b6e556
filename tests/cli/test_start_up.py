"""The modules that a command loads. Modules are counted, because a clock would test the machine."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from codeword.config import load_recipe
from codeword.pretrained import pretrained_folder
from codeword.training import Run

TRAINING = {"lightning_fabric", "torchmetrics", "matplotlib", "tensorboard", "pandas", "scipy", "sympy", "jinja2"}
"""Libraries that only training and evaluation need; torch imports sympy with its compiler."""

SCRIPT = """
import json, sys
from codeword.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        assert end.code == int(sys.argv[2]), (words, end.code)
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(*commands: list[str], code: int = 0) -> set[str]:
    """The modules that a new process has loaded after these commands, each of which ends with the exit code."""
    script = [sys.executable, "-c", SCRIPT, json.dumps(commands), str(code)]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    return set(json.loads(printed.splitlines()[-1]))


def heavy(modules: set[str], libraries: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} & libraries


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start") / "a.png"
    Image.fromarray(np.zeros((16, 20, 3), np.uint8)).save(path)
    return path


def test_commands_on_files_load_nothing_of_training(picture: Path) -> None:
    folder = picture.parent
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    loaded = modules_after(
        ["compress", str(picture), "--out", str(folder / "a.cw")],
        ["decompress", str(folder / "a.cw"), "--out", str(folder / "b.png")],
        ["reconstruct", "images", str(picture), "--out", str(folder / "out")],
        ["encode", "speech", str(folder / "a.wav"), "--out", str(folder / "a.npz")],
    )
    assert "torch" in loaded
    assert not heavy(loaded, {*TRAINING, "pyarrow", "huggingface_hub"})
    assert not {name for name in loaded if name.startswith(("codeword.training", "codeword.evaluation"))}
    # A file, a model and a run are described without torch.
    run = Run.create(folder / "run", load_recipe("demo-images"), resume=False)
    loaded = modules_after(*(["info", str(p)] for p in (folder / "a.cw", pretrained_folder("images"), run.folder)))
    assert not heavy(loaded, {*TRAINING, "torch", "PIL"})


def test_lists_and_misuse_load_no_torch() -> None:
    assert not heavy(modules_after(["recipes"]), {*TRAINING, "torch", "PIL", "numpy"})
    misused = modules_after(["compress"], ["info", "nowhere"], ["frobnicate"], code=2)
    assert not heavy(misused, {*TRAINING, "torch", "PIL", "numpy"})
