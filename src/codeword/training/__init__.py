"""Training: one loop for every task, and the run folder that it fills."""

from codeword.training.recipe import train
from codeword.training.run import Run

__all__ = ["Run", "train"]
