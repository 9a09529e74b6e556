"""Everything that Codeword raises for a user: one sentence with the place, the value and the way out."""


class CodewordError(Exception):
    """Base of every error meant for the user; `exit_code` is what the command line exits with."""

    exit_code = 1


class RecipeError(CodewordError):
    """A recipe or an override says something that cannot be."""

    exit_code = 2


class UsageError(CodewordError):
    """A command was given something it cannot work with: a missing run, a name that is not there."""

    exit_code = 2


class DataError(CodewordError):
    """A data file is missing, cut short, corrupt, or not what it claims to be."""


class ModelError(CodewordError):
    """A model folder or checkpoint cannot be read, or does not fit its own description."""


class TrainingError(CodewordError):
    """Training cannot go on: the loss is not finite, or the run folder does not fit the recipe."""
