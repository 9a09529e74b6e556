"""Measure a run: what is common to all media; what is not lies in `metrics` and in `speech`."""

from collections.abc import Callable
from pathlib import Path

import torch

from codeword.data import open_dataset
from codeword.data.base import Split
from codeword.data.recordings import Recordings
from codeword.errors import UsageError
from codeword.evaluation.files import MeasuredFiles, measure_files
from codeword.evaluation.measure.images import measure_signals
from codeword.evaluation.measure.speech import measure_recordings
from codeword.evaluation.results import Evaluation
from codeword.model import Model
from codeword.store import write_json
from codeword.training.run import Run


def evaluate(
    run: Run | str | Path,
    *,
    split: Split = "test",
    files: bool = False,
    limit: int | None = None,
    device: str | torch.device | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a finished run on one split, and write `evaluation.json` into it.

    All in float32; images at the size they were trained at, recordings whole. Bits per dimension are
    `(-log2 p(codes) - log2 p(x | codes)) / numbers in x`, an upper bound on -log2 p(x); `code_bpd` is without labels,
    so that `total_bpd` is a statement about signals alone.

    Args:
        run: a run, or its folder.
        split: "train", "valid" or "test".
        files: whether to write all signals as real files too, ours and others', and read them back; slow.
        limit: at most this many signals of the split; by default what the recipe says.
        device: where to compute; by default a GPU if there is one.
        progress: called with signals done and signals in all.

    Raises:
        UsageError: there is no run, it is not finished, or it has no such split; or `limit` is below 1.
        DataError, ModelError: data or models cannot be read.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    if split not in ("train", "valid", "test"):
        raise UsageError(f"There is no split {split!r}; choose train, valid or test.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be 1 or more, not {limit}.")
    recipe = run.recipe()
    config = recipe.evaluation if limit is None else recipe.evaluation.model_copy(update={"limit": limit})
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tokenizer, prior = run.tokenizer().to(device), run.prior().to(device)
    data, train = open_dataset(recipe.data, split), open_dataset(recipe.data, "train")
    if isinstance(data, Recordings):
        assert isinstance(train, Recordings)
        measured = measure_recordings(tokenizer, prior, data, train, config, progress=progress)
    else:
        measured = measure_signals(tokenizer, prior, data, train, config, progress=progress)
    found = MeasuredFiles(())
    if files:
        found = measure_files(Model.load(run.folder), data, config, progress=progress)
    environment = run.environment()
    result = Evaluation(
        recipe=recipe.name,
        split=split,
        seed=recipe.seed,
        commit=environment["commit"],
        machine=environment["machine"],
        files=found.files,
        **measured.model_copy(update={"left_out": measured.left_out | found.left_out}).model_dump(),
    )
    write_json(run.evaluation_path, result.model_dump(mode="json"))
    return result
