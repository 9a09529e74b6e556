"""Files of images and recordings: compressed, reconstructed, encoded to codes and decoded again, many at a time.

A file that cannot be used is named in the outcome, and the work continues with the others.
"""

import io
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.codec import Codec, CompressOptions, Container, Signal, UnreadableSignal
from codeword.coding import decode_signal, encode_signal
from codeword.data.files.tree import names_below
from codeword.errors import CodewordError, DataError, UnsupportedError, UsageError
from codeword.media import MEDIA, Medium, medium_of, medium_of_files
from codeword.model import Model
from codeword.pretrained import load, load_pretrained, pretrained_with
from codeword.store import write_atomically
from codeword.tokenizer import Tokenizer
from codeword.tokens.npz import CodedSignal, read_codes, write_codes

Place = str | Path
Progress = Callable[[int, int], None]


@dataclass
class Outcome:
    """Results by name, and one sentence for each input that failed."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def noting(self, name: object, error_class: type[CodewordError] = CodewordError) -> Iterator[None]:
        """Turn an error about one file into a failure, so that the work continues with the others."""
        try:
            yield
        except error_class as error:
            self.failures[str(name)] = str(error)


def read(path: Place, model: Place | None = None) -> Tensor:
    """A file's signal (C, *S) as integers, as `model` takes it; by default the model in the package for its medium.

    Raises:
        UsageError: the suffix is of no medium.
        DataError: the file cannot be read.
    """
    config = load(model or medium_of_files([Path(path)]).pretrained).tokenizer.config
    return torch.cat(list(medium_of(config).read(Path(path), config)), -1)


def encode(model: Model | Tokenizer, x: Tensor) -> Tensor:
    """A signal (C, *S) of any size to codes (*G, K) int64, in bounded memory."""
    return encode_signal(_tokenizer(model), x)


def decode(model: Model | Tokenizer, codes: Tensor, *, size: Sequence[int], label: int | None = None) -> Tensor:
    """Codes (*G, K) to the signal (C, *S) of this size, conditioned on the class `label`. Raises UsageError."""
    return torch.cat(list(decode_signal(_tokenizer(model), codes, size=tuple(size), label=label)), -1)


def compress(
    paths: Place | Sequence[Place],
    out: Place,
    *,
    model: Place | None = None,
    lossless: bool = False,
    portable: bool = False,
    codes: int | None = None,
    speaker: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Compress every readable file, of files and folders, into the one file `out`.

    Args:
        paths: images or recordings, or folders of these.
        out: the compressed file.
        model: a run, a model folder, a repository of the Hugging Face Hub or the name of a model in the package; by
            default the one in the package for the medium of the files.
        lossless: keep the signal itself, given its codes.
        portable: leave out the prior's network: larger, but readable on every machine.
        codes: keep only the first so many codes of each cell.
        speaker: the class that conditions prior and decoder, by name.
        progress: called with blocks done and blocks in all.

    Returns:
        The bytes before and after, and the files that could not be read.

    Raises:
        UsageError, UnsupportedError, ModelError: an argument is wrong, or the model cannot do what it asks.
    """
    done, out = Outcome(), Path(out)
    inputs = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    chosen = load(model) if model is not None else load_pretrained(medium_of_files(_files_below(inputs)).pretrained)
    config = chosen.tokenizer.config
    medium = medium_of(config)
    label = None if speaker is None else class_number(chosen.tokenizer, model, speaker)
    options = CompressOptions(portable, lossless, codes, label)
    found: list[tuple[Path, Signal]] = []
    for path, name in media_files(inputs, done, medium):
        must_not_overwrite(out, path)
        with done.noting(path, DataError):
            size = medium.size(path, config)
            found.append((path, Signal(name, size, lambda path=path: medium.read(path, config))))  # type: ignore[misc]
    while found:
        content = io.BytesIO()
        try:
            written = Codec(chosen).write(content, [signal for _, signal in found], options, progress=progress)
        except UnreadableSignal as error:
            # Its header was readable, but not the rest: the file is written again without it.
            done.failures[str(found.pop(error.number)[0])] = str(error)
            continue
        write_atomically(out, content.getvalue())
        done.results[str(out)] = {
            "signals": len(found),
            "original_bytes": sum(path.stat().st_size for path, _ in found),
            **written._asdict(),
            "lossless": lossless,
        }
        break
    return done


def decompress(
    file: Place,
    out: Place,
    *,
    model: Place | None = None,
    salvage: bool = False,
    format: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Write the signals of a compressed file into the file `out`, or, if that has no suffix, into this folder.

    Args:
        file: a file that `compress` wrote.
        out: a file, if there is one signal, or a folder.
        model: as for `compress`; by default the model in the package that the file names.
        salvage: replace damaged blocks by silence (or grey) and list them; otherwise they are errors.
        format: the format of files in a folder, by suffix without dot; by default that of the medium.
        progress: called with blocks done and blocks in all.

    Raises:
        UsageError: `out` or `format` does not suit the medium.
        DataError, ModelError: the file is damaged, or was made with another model.
    """
    done, out = Outcome(), Path(out)
    with opened(Path(file)) as container:
        header = container.header
        chosen = pretrained_with(header.fingerprint) if model is None else load(model)
        medium = medium_of(chosen.tokenizer.config)
        one = _one_file(out, medium, len(header.entries), format)
        targets = Targets(out, f".{format or medium.formats[0]}")
        for found in Codec(chosen).read(container, salvage=salvage, progress=progress):
            name = found.entry.name
            with done.noting(name, UsageError):
                target = out if one else targets.path(name)
                medium.write(target, found.blocks, chosen.tokenizer.config, grey=found.entry.grey)
                done.results[name] = {"out": str(target), "size": list(found.entry.size)}
                if found.damaged:
                    lost = {"damaged_blocks": found.damaged, "block_size": list(found.block_size)}
                    done.results[name] |= lost
    return done


def describe_compressed(path: Path) -> dict[str, Any]:
    """Contents of a compressed file's header, in plain values. Raises DataError."""
    with opened(path) as container:
        header = container.header
        return {
            "holds": "compressed signals",
            "bytes": len(container.content),
            "model": header.fingerprint.hex(),
            "coder": header.coder,
            "lossless": header.lossless,
            "codes_of_a_cell": header.codes,
            "sample_rate": header.sample_rate,
            "signals": {entry.name: list(entry.size) for entry in header.entries},
        }


@dataclass(frozen=True)
class DecodeOptions:
    """Options of decoding to files, None for the default of model and medium.

    The first `codes` of each cell, the speaker (or other class) by name, and the format of files by suffix without dot.
    """

    codes: int | None = None
    speaker: str | None = None
    format: str | None = None


def reconstruct(model: Place, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Encode and decode each file into the folder `out`; results are distances from the original."""
    coder, done = _FileCoder(model, options), Outcome()
    targets = Targets(out, f".{coder.format}")
    for path, name in media_files(inputs, done, coder.medium):
        with done.noting(path):
            target = targets.path(name, source=path)
            coder.transcode(path, target)
            distances = coder.medium.compare(path, target, coder.tokenizer.config)
            done.results[str(path)] = {"out": str(target), **distances}
    return done


def convert(model: Place, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Decode each file in the voice of another speaker, into the file or folder `out`."""
    coder, done = _FileCoder(model, options), Outcome()
    files = list(media_files(inputs, done, coder.medium))
    one = _one_file(out, coder.medium, len(files) + len(done.failures), options.format)
    targets = Targets(out, f".{coder.format}")
    for path, name in files:
        with done.noting(path):
            target = out if one else targets.path(name, source=path)
            must_not_overwrite(target, path)
            coder.transcode(path, target)
            done.results[str(path)] = {"out": str(target), "speaker": options.speaker}
    return done


def encode_files(model: Place, inputs: list[Path], out: Path, options: DecodeOptions) -> Outcome:
    """Write the codes of every readable file into the .npz file `out`; results are the shapes of the codes."""
    coder, done = _FileCoder(model, options), Outcome()
    coded = []
    for path, name in media_files(inputs, done, coder.medium):
        with done.noting(path):
            size, codes = coder.encode(path)
            coded.append(CodedSignal(name, size, codes))
            done.results[str(path)] = {"grid": list(codes.shape)}
    if coded:
        write_codes(out, coded, codebook_sizes=coder.tokenizer.quantizer.codebook_sizes[: coder.codes])
    return done


def decode_files(model: Place, codes_file: Path, out: Path, options: DecodeOptions) -> Outcome:
    """Write the signal of every entry of a .npz file of codes into the folder `out`."""
    coder, done = _FileCoder(model, options), Outcome()
    targets, tokenizer = Targets(out, f".{coder.format}"), coder.tokenizer
    quantizer = tokenizer.quantizer
    signals = read_codes(
        codes_file, codebook_sizes=quantizer.codebook_sizes, hop=tokenizer.hop, prefix=len(quantizer.served_codes) > 1
    )
    for signal in signals:
        with done.noting(signal.name):
            if len(signal.size) != tokenizer.config.ndim:
                raise DataError(
                    f"{codes_file}: {signal.name} has rank {len(signal.size)}, but this model codes "
                    f"{coder.medium.many}."
                )
            if options.codes is not None and options.codes > signal.codes.shape[-1]:
                raise UsageError(
                    f"{codes_file} holds {signal.codes.shape[-1]} codes a cell, fewer than the "
                    f"{options.codes} asked for."
                )
            target = targets.path(signal.name)
            coder.decode(signal.codes, target, signal.size)
            done.results[signal.name] = {"out": str(target), "size": list(signal.size)}
    return done


class _FileCoder:
    """A model's tokenizer and its medium, with the options of decoding. Raises UsageError, UnsupportedError."""

    def __init__(self, model: Place, options: DecodeOptions) -> None:
        self.tokenizer = load(model).tokenizer
        self.medium: Medium = medium_of(self.tokenizer.config)
        self.codes = _codes_of_cell(self.tokenizer, options.codes)
        self.label = None if options.speaker is None else class_number(self.tokenizer, model, options.speaker)
        self.format = options.format or self.medium.formats[0]
        _must_be_format(self.medium, self.format)

    def encode(self, path: Path) -> tuple[tuple[int, ...], Tensor]:
        """The size of the signal, and the first codes of its cells."""
        config = self.tokenizer.config
        size = self.medium.size(path, config)
        codes = encode_signal(self.tokenizer, self.medium.read(path, config))
        return size, codes[..., : self.codes]

    def decode(self, codes: Tensor, target: Path, size: tuple[int, ...]) -> None:
        blocks = decode_signal(self.tokenizer, codes[..., : self.codes], size=size, label=self.label)
        self.medium.write(target, blocks, self.tokenizer.config)

    def transcode(self, path: Path, target: Path) -> None:
        size, codes = self.encode(path)
        self.decode(codes, target, size)


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """A compressed file, mapped into memory. Raises DataError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield Container(content, str(path))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except ValueError as error:  # A file of no bytes cannot be mapped.
        raise DataError(f"{path} is empty; copy it again.") from error


def media_files(inputs: Sequence[Path], done: Outcome, medium: Medium) -> Iterator[tuple[Path, str]]:
    """Path and name of every file of a medium among files and folders; those of other media are noted.

    The name of a file in a folder is its path below that folder. In folders only files with the suffixes of the medium
    count; a folder without any is noted.
    """
    others = {suffix: other.one for other in MEDIA.values() if other is not medium for suffix in other.suffixes}
    for path in inputs:
        if path.is_dir():
            names = sorted(names_below(path, medium.suffixes))
            if not names:
                done.failures[str(path)] = f"{path} holds no {medium.many}."
            yield from ((path / name, name) for name in names)
        elif (found := others.get(path.suffix.lower())) and path.suffix.lower() not in medium.suffixes:
            done.failures[str(path)] = f"{path} is {found} by its suffix, but this is for {medium.many}; leave it out."
        else:
            yield path, path.name


class Targets:
    """Places of written files: below one folder, never outside it, no two files in one place, none over its source."""

    def __init__(self, out: Path, suffix: str) -> None:
        self.out, self.suffix, self.taken = out, suffix, set[Path]()

    def path(self, name: str, *, source: Path | None = None) -> Path:
        """The place for the file of this name, with the suffix of the format. Raises DataError, UsageError."""
        below = Path(name)
        if below.is_absolute() or ".." in below.parts or not below.name or "\0" in name:
            raise DataError(f"The name {name!r} leads out of {self.out}, or nowhere; it was left out.")
        below = below.with_suffix(self.suffix)
        target = self.out / below
        if below in self.taken:
            raise UsageError(f"{name}: another of the inputs goes to {target} too; give them other names.")
        self.taken.add(below)
        must_not_overwrite(target, source)
        return target


def must_not_overwrite(target: Path, source: Path | None) -> None:
    """Raises UsageError where writing `target` would destroy the input it is made from."""
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{source} would be overwritten by its own result; write to another place.")


def class_number(tokenizer: Tokenizer, model: Place | None, speaker: str) -> int:
    """The class of a speaker in the decoder of `model`. Raises UsageError, UnsupportedError."""
    place = "the model" if model is None else str(model)
    names = tokenizer.config.classes
    if not names:
        raise UnsupportedError(
            f"The decoder of {place} is not conditioned on speakers, so none can be chosen; use a model trained with "
            f"tokenizer.conditional=true."
        )
    if speaker not in names:
        raise UsageError(f"{place} knows no speaker {speaker!r}; there are {listed(names)}.")
    return names.index(speaker)


def listed(names: Sequence[str], *, most: int = 20) -> str:
    """The first `most` names with commas between, and the number of the rest."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _tokenizer(model: Model | Tokenizer) -> Tokenizer:
    return model.tokenizer if isinstance(model, Model) else model


def _files_below(inputs: Sequence[Path]) -> Iterator[Path]:
    suffixes = frozenset().union(*(medium.suffixes for medium in MEDIA.values()))
    for path in inputs:
        yield from (Path(name) for name in names_below(path, suffixes)) if path.is_dir() else [path]


def _one_file(out: Path, medium: Medium, count: int, format: str | None) -> bool:
    """True if `out` is a file rather than a folder. Raises UsageError where it suits neither medium nor `count`."""
    one = out.suffix.removeprefix(".").lower() if not out.is_dir() else ""
    _must_be_format(medium, one or format or medium.formats[0], out)
    if one and count > 1:
        raise UsageError(f"{out} is one file, but there are {count} {medium.many}; give a folder.")
    if one and (format or one) != one:
        raise UsageError(f"{out} is not {format}; leave the format out, or change the suffix.")
    return bool(one)


def _must_be_format(medium: Medium, format: str, out: Path | None = None) -> None:
    if format not in medium.formats:
        to = f" to {out}" if out is not None else ""
        raise UsageError(
            f"{medium.many.capitalize()} are not written as {format!r}{to}; use {' or '.join(medium.formats)}."
        )


def _codes_of_cell(tokenizer: Tokenizer, wanted: int | None) -> int:
    available = len(tokenizer.quantizer.codebook_sizes)
    if wanted is None or wanted == available:
        return available
    if not 1 <= wanted <= available:
        raise UsageError(f"The codes of a cell are 1 to {available}, not {wanted}.")
    if len(tokenizer.quantizer.served_codes) == 1:
        raise UnsupportedError(
            f"This model serves one rate only, all {available} codes of a cell; use all of them, or train one with "
            f"tokenizer.quantizer.served_codes."
        )
    return wanted
