"""A run: the folder that holds one recipe's models, logs, checkpoints and results.

The modules on torch are imported where they are used, so that a run is described without torch.
"""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword.config import Recipe, validate_json
from codeword.errors import ModelError, TrainingError, UsageError, command
from codeword.store import CONFIG_FILE, RECIPE_FILE, write_atomically, write_json

if TYPE_CHECKING:
    from codeword.codec import Search
    from codeword.data.base import Split
    from codeword.model import Model
    from codeword.priors import PairPrior, Prior
    from codeword.tokenizer import Tokenizer


class Run:
    """The files of a run folder; this class reads and writes the small ones.

    `recipe.json` is the resolved recipe, `environment.json` the commit and the machine on which the run was started,
    `metrics.jsonl` has one record per line, `tokenizer/` and `prior/` are model folders, `perception/` is the network
    of a perceptual loss, `start/` the model that the training started from, and `checkpoints/` holds the state from
    which a stopped training resumes.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from codeword.config import load_recipe
        >>> with TemporaryDirectory() as folder:
        ...     run = Run.create(folder, load_recipe("demo-images"), resume=False)
        ...     Run.open(folder).recipe().name, run.holds(run.tokenizer_path)
        ('demo-images', False)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.recipe_path = self.folder / RECIPE_FILE
        self.metrics_path = self.folder / "metrics.jsonl"
        self.environment_path = self.folder / "environment.json"
        self.evaluation_path = self.folder / "evaluation.json"
        self.start_path = self.folder / "start"
        self.perception_path = self.folder / "perception"
        self.tokenizer_path = self.folder / "tokenizer"
        self.prior_path = self.folder / "prior"
        self.report_path = self.folder / "report"

    @property
    def how_to_resume(self) -> str:
        """The way out of an error where a training is not finished."""
        return f"resume its training (resume=True, or {command('resume', self.folder)})"

    def __repr__(self) -> str:
        trained = [path.name for path in (self.tokenizer_path, self.prior_path) if self.holds(path)]
        return f"Run({str(self.folder)!r}, trained: {' and '.join(trained) or 'nothing yet'})"

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run.

        Raises:
            UsageError: there is no run in `folder`.
        """
        run = cls(folder)
        if not run.recipe_path.is_file():
            raise UsageError(
                f"There is no run at {folder}: {run.recipe_path.name} is not there. "
                f"Give a folder that `codeword train` wrote."
            )
        return run

    @classmethod
    def create(cls, folder: str | Path, recipe: Recipe, *, resume: bool) -> "Run":
        """Create a run for `recipe` in a new folder; with `resume`, open an existing one.

        Raises:
            TrainingError: the folder holds another run, or one with another recipe.
        """
        run = cls(folder)
        if run.recipe_path.is_file():
            if not resume:
                raise TrainingError(f"{folder} already holds a run; {run.how_to_resume}, or choose another folder.")
            # Its description may change from one version of Codeword to the next.
            if run.recipe().model_copy(update={"description": recipe.description}) != recipe:
                raise TrainingError(
                    f"{folder} was started with another recipe; give the same recipe and overrides, continue it by "
                    f"{command('resume', folder)}, or choose another folder."
                )
        else:
            from codeword.training.environment import environment

            write_json(run.environment_path, environment())
            write_json(run.recipe_path, recipe.model_dump(mode="json"))
        return run

    def checkpoint_path(self, part: str) -> Path:
        """The file for the training state of `part` ("perception", "encoder", "tokenizer" or "prior")."""
        return self.folder / "checkpoints" / f"{part}.safetensors"

    def path_of_evaluation(
        self, split: "Split", limit: int | None, search: "Search | None" = None, *, codes: int | None = None
    ) -> Path:
        """The file for an evaluation of `split`: `evaluation_path` for the whole test split, else one of its own.

        The report and the model card read `evaluation_path`, so that no partial evaluation replaces it, and none of
        codes that a search found.
        """
        words = [f"{name}-{value}" for name, value in (("limit", limit), ("codes", codes)) if value is not None]
        for field in fields(search) if search else ():
            if (value := getattr(search, field.name)) != field.default:
                words.append(f"{field.name.replace('_', '-')}-{value:.9g}")
        if split == "test" and not words:
            return self.evaluation_path
        return self.evaluation_path.with_stem("-".join([self.evaluation_path.stem, split, *words]))

    def recipe(self) -> Recipe:
        """The recipe of the run. Raises RecipeError, ModelError."""
        try:
            text = self.recipe_path.read_bytes()
        except OSError as error:
            raise ModelError(f"Cannot read {self.recipe_path}: {error.strerror}.") from error
        return validate_json(Recipe, text, place=str(self.recipe_path))

    def environment(self) -> dict[str, str]:
        """The commit, library versions and machine at the start of the run; "unknown" if they are missing."""
        try:
            stored = json.loads(self.environment_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = {}
        return {name: str(stored.get(name, "unknown")) for name in ("commit", "codeword", "torch", "machine")}

    def start(self) -> "Model":
        """The model that the training started from. Raises ModelError if there was none."""
        from codeword.model import Model

        return Model.load(self.start_path)

    def tokenizer(self) -> "Tokenizer":
        """The trained tokenizer. Raises UsageError if its training is not finished."""
        from codeword.tokenizer import Tokenizer

        self._must_exist(self.tokenizer_path)
        return Tokenizer.from_pretrained(self.tokenizer_path)

    def prior(self) -> "Prior":
        """The trained prior. Raises UsageError if its training is not finished."""
        from codeword.priors import load_prior

        self._must_exist(self.prior_path)
        return load_prior(self.prior_path)

    def parts(self) -> tuple["Run", "Run"]:
        """The runs of the two media, in a run for pairs."""
        return Run(self.folder / "first"), Run(self.folder / "second")

    def judges(self) -> tuple["Run", "Run"]:
        """The runs of the classifiers of the two media, in a run for pairs."""
        return Run(self.folder / "first-judge"), Run(self.folder / "second-judge")

    def pair_prior(self) -> "PairPrior":
        """The trained prior of pairs. Raises UsageError if its training is not finished."""
        from codeword.priors import PairPrior

        self._must_exist(self.prior_path)
        return PairPrior.from_pretrained(self.prior_path)

    def holds(self, part: Path) -> bool:
        """True if the model folder `part` is finished: its config is written last."""
        return (part / CONFIG_FILE).is_file()

    def _must_exist(self, path: Path) -> None:
        if not self.holds(path):
            raise UsageError(f"{self.folder} has no trained {path.name} yet; {self.how_to_resume}.")

    def log(self, record: dict[str, Any]) -> None:
        """Append one record to `metrics.jsonl`."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self, part: str, split: str) -> Iterator[dict[str, Any]]:
        """The logged records of one part, named as in `checkpoint_path`, on one split ("train", "valid")."""
        yield from (r for r in self._records() if (r["part"], r["split"]) == (part, split))

    def forget_after(self, part: str, step: int) -> None:
        """Drop the records of `part` after `step`: a resumed run writes them again."""
        if not self.metrics_path.exists():
            return
        kept = [r for r in self._records() if r["part"] != part or r["step"] <= step]
        write_atomically(self.metrics_path, "".join(json.dumps(r) + "\n" for r in kept).encode())

    def _records(self) -> Iterator[dict[str, Any]]:
        if not self.metrics_path.exists():
            return
        for line in self.metrics_path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # A kill may truncate the last line; a resumed run writes it again.
