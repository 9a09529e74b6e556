"""Training: one loop for every task, and the run folder that it fills."""

from codeword.training.run import Run
from codeword.training.stages import train

__all__ = ["Run", "train"]
