"""An evaluation that measured nothing, for tests of the tables made from one."""

from codeword.evaluation.results import Evaluation


def tiny_evaluation(**parts: object) -> Evaluation:
    """All required fields have short values; `parts` replace some of them."""
    fields = {"recipe": "r", "split": "test", "signals": 1, "seed": 0, "commit": "c", "machine": "m", "metrics": {}}
    return Evaluation(**fields | parts)
