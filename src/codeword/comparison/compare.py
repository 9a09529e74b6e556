"""Train and measure each combination of settings; a comparison that was stopped goes on where it was."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from codeword.comparison.page import write_page
from codeword.comparison.plan import Setting, combinations, folder_name
from codeword.comparison.results import (
    PEAK_MIB,
    STEP_MS,
    Comparison,
    Trial,
    check_measure,
    find_best,
    measures_of,
    peak_mib,
    step_ms,
)
from codeword.config import Config, Recipe, load_recipe, validate_json
from codeword.engines import check_engine, run_jobs
from codeword.errors import CodewordError, Interrupted, UsageError, command
from codeword.evaluation import evaluate
from codeword.store import locked, write_json
from codeword.training import Run, train
from codeword.training.environment import cores

PLAN_FILE, RESULT_FILE, TRIAL_FILE = "plan.json", "comparison.json", "trial.json"

_log = logging.getLogger("codeword")


class Plan(Config):
    """The recipe of a comparison before the trials change it, and the values of each trial."""

    recipe: Recipe
    trials: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class _Job:
    """The values of a trial, its recipe, and the folder of its run."""

    values: dict[str, str]
    recipe: Recipe
    folder: Path
    objective: str | None


def compare(
    recipe: str | Path,
    settings: Sequence[Setting],
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    one_at_a_time: bool = False,
    objective: str | None = None,
    test: bool = False,
    workers: int | None = None,
    engine: str = "local",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Train a recipe with each combination of settings, measure all on the validation split, and compare them.

    The folder `out` gets a run for each trial in `runs/`, `comparison.json`, `comparison.csv` and the page
    `index.html`. The same comparison started again keeps finished runs and resumes unfinished ones; a run that diverged
    is listed as failed, and the others go on.

    Args:
        recipe: the name of a shipped recipe, or the path of a TOML file.
        settings: the fields that vary, with their values.
        out: a new folder, or that of the same comparison.
        overrides: changes of the recipe that hold for all trials, as in `load_recipe`.
        one_at_a_time: change one setting at a time, and leave the others as in the recipe, rather than combine all;
            the unchanged recipe is trained too, so a value that the recipe has is not trained again.
        objective: the measure whose mean over seeds decides which trials are best; by default total bits for images,
            bits for tokens, and the log-mel distance for audio. If it is one of the judges, every trial is measured by
            them, which takes longer than a short training.
        test: also measure the best trials on the test split, by the judges too.
        workers: trainings at a time, of one thread each, so that they do not slow each other; by default one for each
            core.
        engine: "local", or "ray" for a cluster.
        progress: called with the numbers of finished and of all trials.

    Raises:
        RecipeError: the recipe is invalid with one of the values.
        UsageError: the settings cannot be combined, the folder holds another comparison, or there is no such
            `objective`.
        CodewordError: a worker was killed.
    """
    out, workers = Path(out), cores() if workers is None else workers
    check_engine(engine, workers)
    check_measure(objective)
    trials = combinations(settings, one_at_a_time=one_at_a_time)
    base = load_recipe(recipe, overrides=overrides)
    jobs: list[_Job] = []
    for values in trials:
        changed = load_recipe(recipe, overrides=[*overrides, *(f"{path}={value}" for path, value in values.items())])
        if not one_at_a_time or all(job.recipe != changed for job in jobs):
            jobs.append(_Job(values, changed, out / "runs" / folder_name(len(jobs), values), objective))
    with locked(out):
        _open_folder(out, Plan(recipe=base, trials=tuple(job.values for job in jobs)))
        finished = {trial.folder: trial for job in jobs if (trial := _finished(job)) is not None}
        left = [job for job in jobs if job.folder.name not in finished]
        progress(len(finished), len(jobs))
        # A process for each trial: its memory is then that of the trial.
        for trial in run_jobs(_finish, left, workers=workers, engine=engine, own_processes=True):
            finished[trial.folder] = trial
            progress(len(finished), len(jobs))
        ordered = tuple(finished[job.folder.name] for job in jobs)
        chosen, best = find_best(ordered, objective)
        on_test = {}
        if test:
            folders = [trial.folder for trial in best.trials if not trial.error]
            on_test = {folder: measures_of(evaluate(out / "runs" / folder)) for folder in folders}
        result = Comparison(recipe=base.name, objective=chosen, trials=ordered, best=best.values, test=on_test)
        write_json(out / RESULT_FILE, result.model_dump(mode="json"))
        write_page(result, out, recipe=base)
    return result


def _open_folder(out: Path, plan: Plan) -> None:
    """Write the plan to a new folder, or compare it with that of an existing one. Raises UsageError."""
    path = out / PLAN_FILE
    if not path.exists():
        if (out / "runs").exists():
            raise UsageError(f"{out} holds runs, but no {PLAN_FILE}; choose another folder.")
        write_json(path, plan.model_dump(mode="json"))
    elif validate_json(Plan, path.read_bytes(), place=str(path)) != plan:
        raise UsageError(f"{out} holds another comparison; start it with the same arguments, or choose another folder.")


def _finished(job: _Job) -> Trial | None:
    """The trial of a job if it is finished, and has the measure that decides."""
    path = job.folder / TRIAL_FILE
    trial: Trial | None = validate_json(Trial, path.read_bytes(), place=str(path)) if path.exists() else None
    return trial if trial is not None and job.objective in (None, *trial.measures) else None


def _finish(job: _Job) -> Trial:
    """Train and measure one trial; an unfinished run is resumed."""
    name = job.folder.name
    torch.set_num_threads(1)
    try:
        run = train(job.recipe, job.folder, resume=Run(job.folder).recipe_path.exists())
        measures = measures_of(evaluate(run, split="valid", quick=True))
        if job.objective is not None and job.objective not in measures:
            measures |= measures_of(evaluate(run, split="valid"))
    except Interrupted:
        raise
    except CodewordError as error:
        _log.warning(f"{name} failed: {error}")
        return Trial(folder=name, values=job.values, error=f"{error} See {command('resume', job.folder)}.")
    costs = {STEP_MS: step_ms(run), PEAK_MIB: peak_mib()}
    measures |= {cost: value for cost, value in costs.items() if value is not None}
    trial = Trial(folder=name, values=job.values, measures=measures)
    write_json(job.folder / TRIAL_FILE, trial.model_dump(mode="json"))
    return trial
