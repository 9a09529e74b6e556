"""Evaluation of a run on one split: the part that all media share."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from codeword.codec.search import PLAIN, Search
from codeword.config import EvaluationConfig, Recipe, validate_json
from codeword.data import Dataset, open_dataset
from codeword.data.base import Split
from codeword.errors import RecipeError, UsageError
from codeword.evaluation.files import FileMeasures, measure_files
from codeword.evaluation.measure.class_probes import Splits, measure_probes
from codeword.evaluation.measure.classes import measure_by_judge, open_judge
from codeword.evaluation.measure.images import measure_signals
from codeword.evaluation.measure.pairs import measure_pairs
from codeword.evaluation.measure.searching import OF_THE_ENCODER, searched_codes
from codeword.evaluation.measure.speech import measure_recordings
from codeword.evaluation.measure.tokens import measure_tokens
from codeword.evaluation.medium import medium_name
from codeword.evaluation.results import Evaluation, Measures, Metric
from codeword.model import Model
from codeword.priors.base import listed
from codeword.store import write_json
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run

_log = logging.getLogger("codeword")

_LEAVE_OUT = "leave out effort, rate_weight and refine"

# By the name of the medium; every other medium has signals of one size, like images.
_MEASURES: dict[str, Callable[..., Measures]] = {"audio": measure_recordings, "tokens": measure_tokens}


def evaluate(
    run: Run | str | Path,
    *,
    split: Split = "test",
    files: bool = False,
    limit: int | None = None,
    judge: str | Path | None = None,
    no_codes: str | Path | None = None,
    quick: bool = False,
    search: Search = PLAIN,
    codes: int | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a finished run on one split, and write the result to its folder.

    The evaluation of the test split without `limit`, `search` and `codes` is `evaluation.json`, which the report
    and the model card read; it replaces an earlier one. Every other has a file of its own, such as
    `evaluation-test-limit-50.json`.

    Everything is computed in float32, on images of the size of training and on complete recordings. Bits per dimension
    are `(-log2 p(codes) - log2 p(x | codes)) / (number of values in x)`, an upper bound on -log2 p(x).
    `code_bpd` is unconditional, so `total_bpd` is that of signals without their labels.

    Args:
        run: a run, or its folder.
        split: "train", "valid" or "test".
        files: also write all signals to files in our format and in others, and decode them; slow. By default, those of
            an earlier evaluation are kept if all other measures are equal.
        limit: at most this many signals of the split; by default the recipe's.
        judge: a classifier of the classes of the data, the run that trained it or its folder; by default the one in the
            package, of CIFAR-10, where it fits.
        no_codes: a run of the same recipe with `tokenizer.quantizer.kind = "none"`, whose bits show how many the codes
            save: `no_codes_bpd` and `codes_save_bpd`, for signals of one size.
        quick: leave out `judges` and `baselines` of the recipe's evaluation, which take most of the time.
        search: how the codes that are measured are found, by default as `Tokenizer.encode` does. With another search,
            measures that need the codes of training signals are left out.
        codes: measure recordings with this number of codes a cell alone, by default with each that the model serves.
        device: the device to compute on; by default a GPU if there is one.
        progress: called with the number of signals that are done and the number of all signals.

    Raises:
        UsageError: there is no run, it is not finished, or it has no such split; or `limit` is below 1; or the judge is
            not for this data; or the run `no_codes` has codes or other data; or `search` or `codes` are not
            for this run.
        UnsupportedError: the models do not support the search.
        DataError, ModelError: data or models cannot be read.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if split not in ("train", "valid", "test"):
        raise UsageError(f"There is no split {split!r}; choose train, valid or test.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be 1 or more, not {limit}.")
    recipe = run.recipe()
    changes = ({"limit": limit} if limit else {}) | ({"judges": False, "baselines": False} if quick else {})
    config = recipe.evaluation.model_copy(update=changes)
    _check_search(run, recipe, search, files=files)
    if codes is not None:
        _check_codes(run, recipe, codes)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    data = open_dataset(recipe.data, split)
    if recipe.pairs:
        if files or judge is not None or no_codes is not None:
            raise UsageError(f"{run.folder} is a run of pairs, which has its own judges and no files; leave these out.")
        measures = measure_pairs(run, data, config, progress=progress)
    else:
        measures = _measure(
            run,
            data,
            config,
            judge=judge,
            no_codes=no_codes,
            search=search,
            codes=codes,
            device=device,
            progress=progress,
        )
    path, environment = run.path_of_evaluation(split, limit, search, codes=codes), run.environment()
    if files:
        written = measure_files(Model.load(run.folder), data, config, progress=progress)
    else:
        written = _files_of_earlier(path, measures)
    result = Evaluation(
        **measures.model_copy(update={"left_out": measures.left_out | written.left_out}).model_dump(),
        recipe=recipe.name,
        split=split,
        seed=recipe.seed,
        commit=environment["commit"],
        machine=environment["machine"],
        search=search,
        files=written.files,
    )
    write_json(path, result.model_dump(mode="json"))
    return result


def _measure(
    run: Run,
    data: Dataset,
    config: EvaluationConfig,
    *,
    judge: str | Path | None,
    no_codes: str | Path | None,
    search: Search,
    codes: int | None,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> Measures:
    """Measure a run of one medium."""
    recipe = run.recipe()
    tokenizer, prior, train = run.tokenizer().to(device), run.prior().to(device), open_dataset(recipe.data, "train")
    measure = _MEASURES.get(medium_name(tokenizer.config), measure_signals)
    one_size = measure is measure_signals
    tells_classes = bool(data.classes) and one_size and config.judges
    # A judge that does not fit is refused before anything is measured.
    network = open_judge(judge, data, values=tokenizer.config.values) if tells_classes or judge is not None else None
    if no_codes is not None:
        measure = partial(measure, no_codes=_without_codes(Run.open(no_codes), recipe).to(device))
    found = None
    if one_size:
        found = searched_codes(tokenizer, prior, data, config, search, progress=progress)
        measure = partial(measure, codes=found)
    elif search != PLAIN or codes is not None:
        measure = partial(measure, search=search, codes=codes)
    measures = measure(tokenizer, prior, data, train, config, progress=progress)
    if tells_classes:
        metrics, left_out = dict[str, Metric](), {"probe_accuracy": OF_THE_ENCODER}
        if found is None:
            splits = Splits(train, open_dataset(recipe.data, "valid"), data)
            metrics, left_out = measure_probes(tokenizer, splits, config)
        if network is not None:
            judged, not_judged = measure_by_judge(
                network, tokenizer, prior, data, config, codes=found, progress=progress
            )
            metrics, left_out = metrics | judged, left_out | not_judged
        measures = measures.model_copy(
            update={"metrics": measures.metrics | metrics, "left_out": measures.left_out | left_out}
        )
    return measures


def _check_search(run: Run, recipe: Recipe, search: Search, *, files: bool) -> None:
    """Raise UsageError if an evaluation of this run, or of its files, has no search."""
    if search == PLAIN:
        return
    if recipe.pairs or recipe.tokenizer.holds_tokens:
        what = "pairs" if recipe.pairs else "tokens"
        raise UsageError(f"{run.folder} is a run of {what}, whose codes have no search; {_LEAVE_OUT}.")
    if files:
        raise UsageError(f"An evaluation writes files without a search of codes; leave files out, or {_LEAVE_OUT}.")


def _check_codes(run: Run, recipe: Recipe, codes: int) -> None:
    """Raise UsageError if this run is not measured with this number of codes alone."""
    if recipe.pairs or medium_name(recipe.tokenizer) != "audio":
        raise UsageError(f"{run.folder} is no run of recordings, so all its codes are measured; leave codes out.")
    served = run.tokenizer().quantizer.served_codes
    if codes not in served:
        raise UsageError(f"{run.folder} serves {listed(served)} codes a cell, not {codes!r}; choose one of these.")


def _without_codes(run: Run, recipe: Recipe) -> Tokenizer:
    """The tokenizer of a run without codes. Raises UsageError if it is not comparable with the recipe."""
    other = run.recipe()
    if medium_name(recipe.tokenizer) in _MEASURES:
        raise UsageError("Only signals of one size, such as pictures, are compared with those of a run without codes.")
    if other.tokenizer.quantizer.kind != "none" or other.data != recipe.data:
        raise UsageError(
            f"{run.folder} is no run without codes on the same data; train the same recipe with "
            "tokenizer.quantizer.kind = 'none' and prior.kind = 'uniform'."
        )
    return run.tokenizer()


def _files_of_earlier(path: Path, measures: Measures) -> FileMeasures:
    """The files of the evaluation at `path`, which is replaced, if its models and data give the same measures."""
    try:
        earlier: Evaluation = validate_json(Evaluation, path.read_bytes(), place=str(path))
    except (OSError, RecipeError):  # There is none, or it is damaged.
        return FileMeasures(())
    if not earlier.files:
        return FileMeasures(())
    if earlier.metrics != measures.metrics:
        _log.warning(f"The sizes of files in {path} belong to other measures and are left out; measure them again.")
        return FileMeasures(())
    return FileMeasures(earlier.files, earlier.left_out)
