"""Drawing new signals from a model's prior."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path

import torch

from codeword.cli import show
from codeword.coding import decode_signal, leading_codes
from codeword.data.files.tree import abbreviate
from codeword.errors import DataError, UsageError
from codeword.files import Redrawing, check_outputs, redraw_file
from codeword.media import medium_of
from codeword.pretrained import load
from codeword.priors import Sampler, guided, seeded, walk
from codeword.tokenizer import Tokenizer
from codeword.training import Run


def sample(
    place: Path,
    n: int | None,
    label: str | None,
    draw: Sampler,
    *,
    seconds: float | None,
    codes: int | None,
    guidance: float,
    seed: int,
    out: Path,
    force: bool,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Write n samples, of class `label` and of length `seconds` if these are given; returns the paths of the files.

    `codes` is the number of leading codes to draw for each cell, by default all; `guidance` is the weight of `Guided`.
    With `force` existing files are replaced.
    """
    model = load(place)
    tokenizer, prior = model.tokenizer, model.prior
    if not model.draws:
        raise UsageError(f"{place} has no trained prior to draw from; train one, or give another model.")
    medium = medium_of(tokenizer.config)
    n = n or medium.samples
    paths = medium.sample_paths(out, n)
    check_outputs(paths, force=force)
    if seconds is None:
        size = tuple(cells * tokenizer.hop for cells in prior.grid)
    else:
        size = medium.size_of(seconds, tokenizer.config)
    grid = tokenizer.grid(size)
    number = None if label is None else _class_number(place, tokenizer, label, prior.classes)
    codes = leading_codes(tokenizer, codes)
    symbols = prod(grid) * codes
    labels = torch.full((n,), number) if number is not None and prior.classes else None
    if guidance != 1 and labels is None:
        raise UsageError("--guidance needs a class of the prior; give --label too, or leave --guidance out.")
    drawn = walk(
        guided(prior, prior, guidance),
        n,
        replace(draw, generator=seeded(seed)),
        label=labels,
        grid=grid,
        codes=codes,
        progress=lambda done: progress(done, symbols),
    )
    # The decoder is conditioned on the same class, if it has classes.
    label_of_decoder = number if tokenizer.classes else None
    signals = [torch.cat(list(decode_signal(tokenizer, one, size=size, label=label_of_decoder)), 1) for one in drawn]
    medium.write_samples(paths, signals, tokenizer.config, replace=force)
    return paths


def redraw_part(
    place: Path,
    source: Path,
    out: Path,
    n: int,
    draw: Sampler,
    *,
    mask: str | None,
    seconds: float | None,
    label: str | None,
    codes: int | None,
    guidance: float,
    seed: int,
    force: bool,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Draw the part `mask` of the file `source` n times anew, or `seconds` that follow it; returns the paths."""
    model = load(place)
    number = None if label is None else _class_number(place, model.tokenizer, label, model.prior.classes)
    asked = Redrawing(mask=mask, seconds=seconds, count=n, label=number, codes=codes, guidance=guidance)
    choose = replace(draw, generator=seeded(seed))
    return redraw_file(model, source, out, asked, choose, force=force, progress=progress)


def _class_number(place: Path, tokenizer: Tokenizer, label: str, classes: int) -> int:
    """The number of the class with the name `label`, or, if no class has this name, the number that `label` is."""
    if classes == tokenizer.classes == 0:
        raise UsageError(f"{place} has no classes, neither in its prior nor its decoder; leave --label out.")
    names, count = tokenizer.config.classes, max(classes, tokenizer.classes)
    numbered = label.isdecimal() and int(label) < count
    if not names and Run(place).recipe_path.is_file():
        from codeword.data import open_dataset

        try:
            names = open_dataset(Run(place).recipe().data, "valid").classes
        except DataError:
            if not numbered:
                raise
            show.say(f"The data that names the classes is missing, so {label} is taken as the number of a class.")
    if label in names:
        return names.index(label)
    if numbered:
        return int(label)
    known = f"{abbreviate(names, most=20)} (or numbers 0 to {count - 1})" if names else f"numbers 0 to {count - 1}"
    raise UsageError(f"There is no class {label!r}; there are {known}.")
