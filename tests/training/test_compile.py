"""torch.compile as the recipe's option: the same training, by compiled code."""

from pathlib import Path

import pytest
from tiny.recipes import tiny

from codeword.training import train


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # The compiler warns of its own internals.
def test_a_compiled_training_learns_the_same(tmp_path: Path) -> None:
    losses = []
    for compiled in ("false", "true"):
        recipe = tiny(f"tokenizer_training.compile={compiled}", "tokenizer_training.precision='32'")
        run = train(recipe, tmp_path / compiled)
        losses.append(list(run.records("tokenizer", "valid"))[-1]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
