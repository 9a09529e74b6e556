"""torch.compile as the recipe's option: the same training, by compiled code."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny.recipes import TINY, tiny

from codeword.training import Run, train


@pytest.mark.slow
def test_a_compiled_training_learns_the_same(tmp_path: Path) -> None:
    """The compiled one in a process of its own: the compiler forks, and a test process has threads of other tests."""
    precision = "tokenizer_training.precision='32'"
    overrides = [*TINY, precision, "tokenizer_training.compile=true"]
    command = [sys.executable, "-m", "codeword", "train", "demo-images", "--out", str(tmp_path / "compiled")]
    done = subprocess.run(
        [*command, *(word for override in overrides for word in ("--set", override))],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    runs = Run.open(tmp_path / "compiled"), train(tiny(precision), tmp_path / "plain")
    losses = [list(run.records("tokenizer", "valid"))[-1]["loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
