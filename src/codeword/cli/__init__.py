"""The command line: one function for each command. Heavy libraries are imported inside them."""

import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError

from codeword.cli import files_app
from codeword.cli.app import app
from codeword.errors import CodewordError, Interrupted, RecipeError, UnsupportedError, UsageError

__all__ = ["app", "files_app", "main"]

EXIT_CODES = {Interrupted: 130, RecipeError: 2, UsageError: 2, UnsupportedError: 2, CodewordError: 1}
"""Exit code of each class of error, the first that fits."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 misused, 130 interrupted.

    An error is one sentence on stderr; `--debug` anywhere adds the traceback.
    """
    options = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in options
    options = [option for option in options if option != "--debug"]
    _be_quiet()
    try:
        code = app(options, exit_on_error=False, print_error=False, result_action="return_value")
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = _explain(error)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: Exception) -> int:
    match error:
        case CodewordError():
            print(f"Error: {error}", file=sys.stderr)
            return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        case CycloptsError():
            print(f"Error: {error} `codeword --help` lists the commands and their options.", file=sys.stderr)
            return 2
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            print(f"Error: {error.strerror or error}{where}; run again with --debug to see where.", file=sys.stderr)
            return 1
        case _:
            print(
                f"Error: something unexpected happened ({type(error).__name__}: {error}). "
                f"Please report it with what --debug prints.",
                file=sys.stderr,
            )
            return 1


def _be_quiet() -> None:
    """Silence the warnings and logs of other libraries."""
    import logging
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The logger below that of Fabric, because importing Fabric sets the level of its own logger.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module="lightning_fabric|torch|torchmetrics")
