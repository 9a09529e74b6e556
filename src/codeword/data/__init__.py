"""Data sets: each split is a sequence of integer signals with labels, read by index."""

from codeword.data.base import Batch, Dataset, evaluation_batches, open_dataset

__all__ = ["Batch", "Dataset", "evaluation_batches", "open_dataset"]
