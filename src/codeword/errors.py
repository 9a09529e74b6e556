"""Errors raised for users: each message is one sentence with the place, the value and the way out.

CodewordError
├── UsageError         the caller asked for something wrongly: a missing run, a name that does not exist
├── UnsupportedError   the model cannot do what was asked: lossless files, streams, another sample rate
├── RecipeError        a recipe or an override is invalid
├── DataError          a data file is missing, cut short, corrupt, or not what it claims to be
├── ModelError         a model folder, checkpoint or compressed file does not fit
└── TrainingError      training cannot continue: the run folder does not fit
    ├── Diverged       the loss or a weight is not finite
    └── Interrupted    a signal asked training to stop; its state has been saved
"""

import shlex
from os import PathLike


class CodewordError(Exception):
    """Base of every error meant for the user."""


class UsageError(CodewordError):
    """The caller asked for something wrongly: a missing run, a name that does not exist."""


class UnsupportedError(CodewordError):
    """The model cannot do what was asked, whatever the arguments."""


class RecipeError(CodewordError):
    """A recipe or an override is invalid."""


class DataError(CodewordError):
    """A data file is missing, cut short, corrupt, or not what it claims to be."""


class ModelError(CodewordError):
    """A model folder or checkpoint cannot be read or does not fit its own config, or a file needs another model."""


class TrainingError(CodewordError):
    """Training cannot continue: the loss is not finite, or the run folder does not fit the recipe."""


class Diverged(TrainingError):
    """The loss or a weight is not finite; `overrides` are changes of the recipe that may help."""

    def __init__(self, message: str, *, overrides: tuple[str, ...]) -> None:
        super().__init__(message)
        self.overrides = overrides


class Interrupted(TrainingError):
    """Ctrl-C or a termination signal stopped training; its state has been saved."""


def reason(error: BaseException) -> str:
    """The message of another library's error, on one line of at most 200 characters, to quote it in one of ours."""
    return " ".join(str(error).split())[:200]


def command(*words: str | PathLike[str]) -> str:
    """A command to show to a user, such as `codeword evaluate 'my run'`; it works when it is pasted into a shell."""
    return f"`{shlex.join(['codeword', *map(str, words)])}`"
