"""What the commands on files do, and what each says of every file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.cli.show import Outcome
from codeword.config import FittedPriorConfig, TokenizerConfig
from codeword.data.codes import CodedSignal, read_codes, write_codes
from codeword.errors import CodewordError, DataError, ModelError, UsageError
from codeword.media.image import IMAGE_SUFFIXES, read_image, write_image
from codeword.media.mosaic import mosaic
from codeword.priors import Draw, walk
from codeword.store import CONFIG_FILE, read_config
from codeword.tokenizer import Tokenizer
from codeword.training import Run


def load_tokenizer(model: Path) -> Tokenizer:
    """The tokenizer of a run, or of a model folder. Raises UsageError, ModelError."""
    if (model / CONFIG_FILE).is_file():
        return Tokenizer.from_pretrained(model)
    return Run.open(model).tokenizer()


def reconstruct(model: Path, inputs: list[Path], out: Path) -> Outcome:
    """Encode and decode each image, writing PNGs into `out`; results are PSNR in dB."""
    tokenizer, done, targets = load_tokenizer(model), Outcome(), _Targets(out)
    for path, name, image in _images(inputs, done):
        decoded = tokenizer.decode(tokenizer.encode(image[None]), size=tuple(image.shape[1:]))[0]
        error = ((decoded - image.long()).double() / 255).square().mean()
        with _noting(done, path):
            target = targets.write(name, decoded)
            psnr_db = round(float(-10 * error.clamp(min=1e-10).log10()), 3)
            done.results[str(path)] = {"out": str(target), "psnr_db": psnr_db}
    return done


def encode(model: Path, inputs: list[Path], out: Path) -> Outcome:
    """Write the codes of every readable image into `out`; results are the code grids."""
    tokenizer, done = load_tokenizer(model), Outcome()
    coded = []
    for path, name, image in _images(inputs, done):
        codes = tokenizer.encode(image[None])[0]
        coded.append(CodedSignal(name, tuple(image.shape[1:]), codes))
        done.results[str(path)] = {"grid": list(codes.shape)}
    if coded:
        write_codes(out, coded, levels=tokenizer.quantizer.levels)
    return done


def decode(model: Path, codes: Path, out: Path) -> Outcome:
    """Write the image of every entry of `codes` into `out`."""
    tokenizer, done, targets = load_tokenizer(model), Outcome(), _Targets(out)
    for signal in read_codes(codes, levels=tokenizer.quantizer.levels, hop=tokenizer.hop):
        image = tokenizer.decode(signal.codes[None], size=signal.size)[0]
        with _noting(done, Path(signal.name)):
            target = targets.write(signal.name, image)
            done.results[signal.name] = {"out": str(target), "size": list(signal.size)}
    return done


def sample(
    folder: Path,
    n: int,
    label: str | None,
    draw: Draw,
    *,
    seed: int,
    out: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Write one picture of n samples."""
    if n < 1:
        raise UsageError(f"-n must be 1 or more, not {n}.")
    run = Run.open(folder)
    tokenizer, prior = run.tokenizer(), run.prior()
    labels = None if label is None else torch.full((n,), _label_number(run, label, prior.classes))
    draw = replace(draw, generator=torch.Generator().manual_seed(seed))
    codes = walk(prior, n, draw, label=labels, progress=lambda done: progress(done, prior.symbols))
    write_image(out, mosaic(tokenizer.decode(codes).to(torch.uint8)))


def describe(model: Path) -> dict[str, Any]:
    """What a run or model folder holds, in plain values."""
    if (model / CONFIG_FILE).is_file():
        for config_class in (TokenizerConfig, FittedPriorConfig):
            try:
                config = read_config(model, config_class)
            except ModelError:
                continue
            return {
                "holds": config_class.__name__.removesuffix("Config").lower(),
                **config.model_dump(mode="json"),
            }
        raise ModelError(f"{model / CONFIG_FILE} describes neither a tokenizer nor a prior of ours.")
    run = Run.open(model)
    recipe = run.recipe()
    parts = {"tokenizer": run.tokenizer_path, "prior": run.prior_path}
    found: dict[str, Any] = {"holds": "run", "recipe": recipe.name, "seed": recipe.seed, **run.environment()}
    for part, path in parts.items():
        found[part] = "trained" if run.holds(path) else "not trained yet"
        if records := list(run.records(part, "valid")):
            found[f"{part}_validation"] = {k: v for k, v in records[-1].items() if k not in ("part", "split")}
    found["evaluated"] = run.evaluation_path.is_file()
    return found


def _label_number(run: Run, label: str, classes: int) -> int:
    from codeword.data import open_dataset

    if classes == 0:
        raise UsageError(f"{run.folder} has a prior without classes; leave --label out.")
    if label.isdigit() and int(label) < classes:
        return int(label)
    names = open_dataset(run.recipe().data, "valid").classes
    if label in names:
        return names.index(label)
    raise UsageError(
        f"There is no class {label!r}; there are {', '.join(names)} (or numbers 0 to {classes - 1})."
    )


def _images(inputs: list[Path], done: Outcome) -> Iterator[tuple[Path, str, Tensor]]:
    """Path, name and picture of every readable image of files and folders; what cannot be read is noted.

    The name of an image in a folder is its path below that folder.
    """
    for path in inputs:
        files = [path]
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                done.failures[str(path)] = f"{path} holds no image files."
        for file in files:
            with _noting(done, file):
                yield file, str(file.relative_to(path)) if path.is_dir() else file.name, read_image(file)


class _Targets:
    """Where pictures go: PNGs below one folder, never outside it, no two in one place."""

    def __init__(self, out: Path) -> None:
        self.out, self.taken = out, set[Path]()

    def write(self, name: str, image: Tensor) -> Path:
        """Write an image (C, H, W) of integers under its name; returns its path. Raises CodewordError."""
        below = Path(name).with_suffix(".png")
        if below.is_absolute() or ".." in below.parts:
            raise DataError(f"The name {name!r} leads out of {self.out}; it was left out.")
        if below in self.taken:
            raise UsageError(
                f"{name}: another of the inputs goes to {self.out / below} too; give them other names."
            )
        self.taken.add(below)
        write_image(self.out / below, image.to(torch.uint8))
        return self.out / below


@contextmanager
def _noting(done: Outcome, path: Path) -> Iterator[None]:
    """Turns an error of ours about one file into a note, so that the others go on."""
    try:
        yield
    except CodewordError as error:
        done.failures[str(path)] = str(error)
