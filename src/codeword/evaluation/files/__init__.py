"""Real files: their sizes compared with the bits that the models predict, and with common formats."""

from codeword.evaluation.files.measure import FileMeasures, measure_files
from codeword.evaluation.files.section import files_sections, rate_distortion_figure
from codeword.evaluation.files.table import FileTable, file_table

__all__ = ["FileMeasures", "FileTable", "file_table", "files_sections", "measure_files", "rate_distortion_figure"]
