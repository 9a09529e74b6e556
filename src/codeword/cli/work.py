"""What the commands on files do, and what each says of every file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from codeword.cli.files import Targets, files_of, must_not_overwrite, noting
from codeword.cli.media import MEDIA, Medium, medium_of
from codeword.cli.show import Outcome, listed
from codeword.config import PriorModelConfig, TokenizerConfig
from codeword.errors import DataError, ModelError, UsageError
from codeword.store import CONFIG_FILE, read_config
from codeword.tokenizer import Tokenizer
from codeword.tokens.npz import CodedSignal, read_codes, write_codes
from codeword.training import Run


@dataclass(frozen=True)
class DecodeOptions:
    """What a person may ask of decoding, None where it is left to the model and the medium.

    The first `codes` of each cell, the voice (or other class) by name, and the files' format by suffix without dot.
    """

    codes: int | None = None
    speaker: str | None = None
    format: str | None = None


def load_tokenizer(model: Path) -> Tokenizer:
    """The tokenizer of a run, or of a model folder. Raises UsageError, ModelError."""
    if (model / CONFIG_FILE).is_file():
        return Tokenizer.from_pretrained(model)
    return Run.open(model).tokenizer()


def reconstruct(model: Path, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Encode and decode each file into the folder `out`; results say how far it is from the original."""
    decoder, done = _Decoder(model, options), Outcome()
    targets = decoder.targets(out)
    for path, name in decoder.files(inputs, done):
        with noting(done, path):
            target = targets.path(name, source=path)
            decoder.transcode(path, target)
            figures = decoder.medium.compare(path, target, decoder.tokenizer.config)
            done.results[str(path)] = {"out": str(target), **figures}
    return done


def convert(model: Path, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Decode each file in the voice of another speaker: into the file `out`, or the folder where it has no suffix."""
    decoder, done = _Decoder(model, options), Outcome()
    files = list(decoder.files(inputs, done))
    one = out.suffix.removeprefix(".").lower() if not out.is_dir() else ""
    if one and len(files) + len(done.failures) > 1:
        raise UsageError(f"{out} is one file, but there are {len(files)} inputs; give a folder as --out.")
    if one and (options.format or one) != one:
        raise UsageError(f"{out} is not {options.format}; leave --format out, or change the suffix.")
    targets = decoder.targets(out)
    for path, name in files:
        with noting(done, path):
            target = out if one else targets.path(name, source=path)
            must_not_overwrite(target, path)
            decoder.transcode(path, target)
            done.results[str(path)] = {"out": str(target), "speaker": options.speaker}
    return done


def encode(model: Path, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Write the codes of every readable file into `out`; results are the code grids."""
    decoder, done = _Decoder(model, options), Outcome()
    coded = []
    for path, name in decoder.files(inputs, done):
        with noting(done, path):
            size, codes = decoder.encode(path)
            coded.append(CodedSignal(name, size, codes))
            done.results[str(path)] = {"grid": list(codes.shape)}
    if coded:
        write_codes(out, coded, codebook_sizes=decoder.tokenizer.quantizer.codebook_sizes[: decoder.codes])
    return done


def decode(model: Path, codes: Path, out: Path, options: DecodeOptions) -> Outcome:
    """Write the signal of every entry of `codes` into the folder `out`."""
    decoder, done = _Decoder(model, options), Outcome()
    targets, tokenizer = decoder.targets(out), decoder.tokenizer
    signals = read_codes(
        codes, codebook_sizes=tokenizer.quantizer.codebook_sizes, hop=tokenizer.hop, prefix=_serves_prefixes(tokenizer)
    )
    for signal in signals:
        with noting(done, Path(signal.name)):
            if len(signal.size) != tokenizer.config.ndim:
                raise DataError(
                    f"{codes}: {signal.name} has rank {len(signal.size)}, but this model codes {decoder.medium.many}."
                )
            if options.codes is not None and options.codes > signal.codes.shape[-1]:
                raise UsageError(
                    f"{codes} holds {signal.codes.shape[-1]} codes a cell, fewer than the {options.codes} of --codes."
                )
            target = targets.path(signal.name)
            decoder.decode(signal.codes, target, signal.size)
            done.results[signal.name] = {"out": str(target), "size": list(signal.size)}
    return done


def describe(model: Path) -> dict[str, Any]:
    """What a run or model folder holds, in plain values."""
    if (model / CONFIG_FILE).is_file():
        for part, config_class in (("tokenizer", TokenizerConfig), ("prior", PriorModelConfig)):
            try:
                config = read_config(model, config_class)
            except ModelError:
                continue
            return {"holds": part, **config.model_dump(mode="json")}
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


class _Decoder:
    """A model's tokenizer and its medium, with what is asked of decoding. Raises UsageError where it cannot be had."""

    def __init__(self, model: Path, options: DecodeOptions) -> None:
        self.tokenizer = load_tokenizer(model)
        self.medium: Medium = medium_of(self.tokenizer)
        self.codes = _codes_of_cell(self.tokenizer, options.codes)
        self.label = None if options.speaker is None else class_number(self.tokenizer, model, options.speaker)
        self.format = options.format or self.medium.formats[0]
        if self.format not in self.medium.formats:
            raise UsageError(
                f"{self.medium.many.capitalize()} are not written as {self.format!r}; "
                f"--format may be {' or '.join(self.medium.formats)}."
            )

    def targets(self, out: Path) -> Targets:
        return Targets(out, f".{self.format}")

    def files(self, inputs: list[Path], done: Outcome) -> Iterator[tuple[Path, str]]:
        """Path and name of every file that the medium may read; others are noted."""
        return media_files(inputs, done, self.medium)

    def encode(self, path: Path) -> tuple[tuple[int, ...], Tensor]:
        """The size of the signal, and as many codes of its cells as are asked for."""
        size, codes = self.medium.encode(self.tokenizer, path)
        return size, codes[..., : self.codes]

    def decode(self, codes: Tensor, target: Path, size: tuple[int, ...]) -> None:
        self.medium.decode(self.tokenizer, codes[..., : self.codes], target, size=size, label=self.label)

    def transcode(self, path: Path, target: Path) -> None:
        size, codes = self.encode(path)
        self.decode(codes, target, size)


def media_files(inputs: list[Path], done: Outcome, medium: Medium) -> Iterator[tuple[Path, str]]:
    """Path and name of every file that the medium may read; files of other media are noted."""
    others = {suffix: m.one for m in MEDIA.values() if m is not medium for suffix in m.suffixes}
    return files_of(inputs, done, suffixes=medium.suffixes, kind=medium.many, others=others)


def _serves_prefixes(tokenizer: Tokenizer) -> bool:
    return len(tokenizer.quantizer.served_codes) > 1


def _codes_of_cell(tokenizer: Tokenizer, wanted: int | None) -> int:
    available = len(tokenizer.quantizer.codebook_sizes)
    if wanted is None or wanted == available:
        return available
    if not 1 <= wanted <= available:
        raise UsageError(f"--codes must be 1 to {available}, the codes of a cell, not {wanted}.")
    if not _serves_prefixes(tokenizer):
        raise UsageError(
            f"This model serves one rate only, all {available} codes of a cell; leave --codes out, or train one with "
            f"tokenizer.quantizer.served_codes."
        )
    return wanted


def class_number(tokenizer: Tokenizer, model: Path | None, speaker: str) -> int:
    """The class that the decoder of `model` knows a speaker by. Raises UsageError."""
    place = "the model" if model is None else str(model)
    names = tokenizer.config.classes
    if not names:
        raise UsageError(
            f"The decoder of {place} is not told who speaks, so no --speaker can be chosen; use a model trained with "
            f"tokenizer.conditional=true."
        )
    if speaker not in names:
        raise UsageError(f"{place} knows no speaker {speaker!r}; there are {listed(names)}.")
    return names.index(speaker)
