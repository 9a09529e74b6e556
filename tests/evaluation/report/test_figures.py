"""Figures of a report."""

import pytest

from codeword.evaluation.report.figures import BLUE, Line, Panel, panels_figure, png


@pytest.mark.parametrize(("step_s", "unit", "at_the_end"), [(0.1, "minutes", 5), (6.0, "hours", 5)])
def test_curves_have_the_time_of_their_steps_above(step_s: float, unit: str, at_the_end: float) -> None:
    lines = [Line("validation split", [1000, 3000], [2.0, 1.0], BLUE, step_s=step_s)]
    figure = panels_figure(
        [Panel("Tokenizer", "loss", lines), Panel("Size", "codewords", [Line("size", [1], [1], BLUE)])]
    )
    png(figure)
    timed, plain = figure.axes
    (above,) = timed.child_axes
    assert above.get_xlabel() == unit
    steps, times = timed.get_xlim(), above.get_xlim()
    assert at_the_end == pytest.approx(times[1] * 3000 / steps[1])
    assert not plain.child_axes
