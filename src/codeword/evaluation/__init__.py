"""Evaluation: honest numbers over a whole split, with intervals, and the report that shows them."""

from codeword.evaluation.metrics import Evaluation, Metric, evaluate
from codeword.evaluation.report import report

__all__ = ["Evaluation", "Metric", "evaluate", "report"]
