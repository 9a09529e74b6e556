"""Real files: their sizes beside the bits that theory promises, and well-known formats beside ours."""

from codeword.evaluation.files.measure import MeasuredFiles, measure_files
from codeword.evaluation.files.section import files_sections, rate_distortion_figure
from codeword.evaluation.files.table import FileTable, file_table

__all__ = ["FileTable", "MeasuredFiles", "file_table", "files_sections", "measure_files", "rate_distortion_figure"]
