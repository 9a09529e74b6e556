"""The command line: one function for each command. Heavy libraries are imported inside them."""

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType

from cyclopts import CycloptsError

from codeword.cli import files_app, models_app, show
from codeword.cli.app import app
from codeword.errors import CodewordError, Interrupted, RecipeError, UnsupportedError, UsageError

__all__ = ["app", "files_app", "main", "models_app"]

EXIT_CODES = {Interrupted: 130, RecipeError: 2, UsageError: 2, UnsupportedError: 2, CodewordError: 1}
"""Exit code of each class of error, the first that fits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 misused, 130 interrupted, 143 terminated, 141 if the
    reader of the output, such as `head`, has ended.

    An error is one sentence on stderr; `--json` puts it on stdout as an object too, and `--debug` adds the traceback.
    """
    options = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in options
    # Standard output carries nothing but the data of a pipe.
    as_json = "--json" in options and "--out=-" not in options and ("--out", "-") not in pairwise(options)
    # The parser takes a single hyphen for an option, and ./- is the same path.
    options = ["./-" if option == "-" else option for option in options if option != "--debug"]
    _be_quiet()
    try:
        with _termination_as_exit(), _flushed():
            code = app(options, exit_on_error=False, print_error=False, result_action="return_value")
    except BrokenPipeError:
        _discard_output()
        code = 141
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, code = _explain(error)
        show.error(message, as_json=as_json)
    except KeyboardInterrupt:
        show.error("Interrupted.", as_json=as_json)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that temporary files are removed; training has its own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _flushed() -> Iterator[None]:
    """Write what is buffered for standard output, so that an error of writing it appears here."""
    try:
        yield
    finally:
        if sys.stdout:
            sys.stdout.flush()


def _discard_output() -> None:
    """Redirect standard output to the null device, because Python writes its buffer once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _explain(error: Exception) -> tuple[str, int]:
    """The sentence for a person, and the exit code."""
    match error:
        case CodewordError():
            # The library names an argument; at the command line it is an option.
            sentence = re.sub(r"set `(\w+)`", r"give --\1", str(error))
            return sentence, next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        case CycloptsError():
            return f"{error} `codeword --help` lists the commands and their options.", 2
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            return f"{error.strerror or error}{where}; run again with --debug to see where.", 1
        case _:
            return (
                f"something unexpected happened ({type(error).__name__}: {error}). "
                f"Please report it with what --debug prints.",
                1,
            )


def _be_quiet() -> None:
    """Silence the warnings and logs of other libraries, and print those that are left without control characters."""
    import logging
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The logger below that of Fabric, because importing Fabric sets the level of its own logger.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    logging.lastResort = show.LogHandler(logging.WARNING)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module="lightning_fabric|torch|torchmetrics")
