"""Evaluation: measures of a whole split with intervals, and the report that shows them."""

from codeword.evaluation.evaluate import evaluate
from codeword.evaluation.report.page import report
from codeword.evaluation.results import Evaluation, Metric

__all__ = ["Evaluation", "Metric", "evaluate", "report"]
