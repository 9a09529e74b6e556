"""Real files: their sizes compared with the bits that the models predict, and with common formats."""

from codeword.evaluation.files.measure import FileMeasures, measure_files

__all__ = ["FileMeasures", "measure_files"]
