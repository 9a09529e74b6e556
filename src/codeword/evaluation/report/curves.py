"""Curves of the logged metrics of a run."""

from codeword.evaluation.report.figures import BLUE, GREEN, GREY, Line
from codeword.training.run import Run


def train_and_valid(run: Run, part: str, metric: str) -> list[Line]:
    """A metric of one part of a run, on training batches and on the validation split."""
    return [line(run, part, "train", metric, "training batches"), line(run, part, "valid", metric, "validation split")]


def line(run: Run, part: str, split: str, metric: str, label: str, *, conditional: bool = False) -> Line:
    """A metric of one part of a run on one split, faint for the many points of training, dashed if `conditional`."""
    records = [record for record in run.records(part, split) if metric in record]
    faint = split == "train"
    steps, values = ([record[name] for record in records] for name in ("step", metric))
    colour = GREEN if conditional else GREY if faint else BLUE
    step_s = records[-1]["elapsed_s"] / records[-1]["step"] if records else 0
    return Line(label, steps, values, colour, faint=faint, dashed=conditional, step_s=step_s)
