"""Drawing signals of one medium for a given signal of the other, from the prior of a run for pairs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from codeword.errors import UsageError
from codeword.files import check_outputs
from codeword.files.pairs import PairModel
from codeword.media import Medium
from codeword.priors import Sampler, guided, seeded, walk
from codeword.training import Run

_SAMPLES = 8


@torch.no_grad()
def sample_given(
    place: Path,
    given: Path,
    n: int | None,
    draw: Sampler,
    *,
    guidance: float,
    seed: int,
    out: Path,
    force: bool,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Draw n signals for the file `given`, of the other medium, into the folder `out`; returns their paths.

    `guidance` is the weight of `Guided`.

    Raises:
        UsageError: the run is not one of pairs, or no medium of it reads the file.
        DataError: the file cannot be read.
    """
    run = Run.open(place)
    if run.recipe().pairs is None:
        raise UsageError(
            f"{place} is no run of pairs, so it draws nothing for {given}; give a run of pairs, or leave --given out."
        )
    model, n = PairModel.load(run), n or _SAMPLES
    medium = model.medium_number(given)
    other = 1 - medium
    # One file each, also of images, which other samples put into one picture.
    paths = Medium.sample_paths(model.media[other], out, n)
    check_outputs(paths, inputs=[given], force=force)
    codes, _ = model.read(medium, given)
    part, conditioned = model.prior.parts[other], model.prior.given(medium, codes.expand(n, *codes.shape))
    drawn = walk(
        guided(conditioned, part, guidance),
        n,
        replace(draw, generator=seeded(seed)),
        progress=lambda done: progress(done, part.symbols),
    )
    for path, one in zip(paths, drawn, strict=True):
        model.write(other, path, one, model.size(other), replace=force)
    return paths
