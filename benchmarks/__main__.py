"""The command line: `python -m benchmarks [part ...] [--json] [--quick]`, from the root of the repository."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console

from benchmarks import codec, gemm, nearest, pixelcnn, quantizers, speech, train, transformer, wavenet
from benchmarks.report import Report, as_json, as_tables
from benchmarks.timing import say
from codeword.training.environment import machine

PARTS: dict[str, Callable[..., Report]] = {
    "train": train.measure,
    "nearest": nearest.measure,
    "quantizers": quantizers.measure,
    "pixelcnn": pixelcnn.measure,
    "wavenet": wavenet.measure,
    "transformer": transformer.measure,
    "codec": codec.measure,
    "speech": speech.measure,
    "gemm": gemm.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed against named peers.")
    parser.add_argument("part", nargs="*", help=f"one of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument(
        "--model", default="speech", help="the speech codec to time: a model folder; else the shipped one"
    )
    chosen = parser.parse_args(arguments)
    unknown = [part for part in chosen.part if part not in PARTS]
    if unknown:
        say(f"There is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}.")
        return 2
    parts = PARTS | {"speech": partial(speech.measure, model=chosen.model)}
    reports = []
    for part in chosen.part or PARTS:
        say(f"{part} ...")
        # Output that a library prints must not end up in the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            reports.append(parts[part](quick=chosen.quick))
    where = machine() + (" (--quick: tiny sizes, the ratios mean nothing)" if chosen.quick else "")
    if chosen.json:
        print(as_json(reports, where))
    else:
        for table in as_tables(reports, where):
            Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
