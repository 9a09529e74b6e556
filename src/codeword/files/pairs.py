"""A pair of files, such as a picture and a recording, in one compressed file and back, by a run of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from codeword.codec.pair_format import MAX_PAIR_BYTES
from codeword.codec.pairs import PairCodec
from codeword.coding import decode_signal
from codeword.errors import DataError, UsageError
from codeword.files.describing import describe_size, open_bytes
from codeword.files.paths import Outcome, check_outputs
from codeword.media import Medium, medium_of
from codeword.priors import PairPrior
from codeword.store import distinct, escape_name, unescape_name, write_atomically
from codeword.tokenizer import Tokenizer
from codeword.training.run import Run


@dataclass(frozen=True)
class PairModel:
    """The prior of a run of pairs with the tokenizers and the media of both parts."""

    prior: PairPrior
    tokenizers: tuple[Tokenizer, Tokenizer]
    media: tuple[Medium, Medium]

    @classmethod
    def load(cls, run: Run) -> "PairModel":
        """Load a trained run of pairs. Raises UsageError, ModelError."""
        first, second = (part.tokenizer() for part in run.parts())
        return cls(run.pair_prior(), (first, second), (medium_of(first.config), medium_of(second.config)))

    def medium_number(self, path: Path) -> int:
        """The number, 0 or 1, of the medium that reads a file, by its suffix. Raises UsageError."""
        for number, medium in enumerate(self.media):
            if path.suffix.lower() in medium.suffixes:
                return number
        first, second = self.media
        raise UsageError(f"{path} is neither {first.singular} nor {second.singular}, by its suffix; give one of these.")

    def size(self, number: int) -> tuple[int, ...]:
        """The size *S of the signals of a medium."""
        return tuple(cells * self.tokenizers[number].hop for cells in self.prior.parts[number].grid)

    def read(self, number: int, path: Path) -> tuple[Tensor, tuple[int, ...]]:
        """The codes (*G, K) of a file, and the size *S of its signal.

        A signal of a single axis that is shorter than those of training ends in silence.

        Raises:
            UsageError: the signal has another size.
            DataError: the file cannot be read.
        """
        tokenizer, size = self.tokenizers[number], self.size(number)
        x = torch.cat(list(self.media[number].read(path, tokenizer.config)), 1)
        own = tuple(x.shape[1:])
        if len(own) == 1 and own < size:
            x = F.pad(x, (0, size[0] - own[0]), value=tokenizer.config.values // 2)
        if tuple(x.shape[1:]) != size:
            found, wanted = (" x ".join(map(str, sides)) for sides in (own, size))
            raise UsageError(f"{path} has {found} values, but those of the pairs have {wanted}; cut or resize it.")
        return tokenizer.encode(x[None])[0], own

    def write(self, number: int, path: Path, codes: Tensor, size: tuple[int, ...], *, replace: bool) -> None:
        """Decode codes (*G, K), and write the part of `size` of the signal. Raises CodewordError."""
        tokenizer = self.tokenizers[number]
        x = torch.cat(list(decode_signal(tokenizer, codes, size=self.size(number))), 1)
        for axis, n in enumerate(size, start=1):
            x = x.narrow(axis, 0, n)
        self.media[number].write(path, [x], tokenizer.config, replace=replace)


def compress_pair(paths: Sequence[Path], out: Path, run: Run, *, force: bool = False) -> Outcome:
    """Compress a file of each medium of a run of pairs into the file `out`.

    Raises:
        UsageError: there are not two files, one of each medium, or they have another size; or `out` exists.
        DataError, ModelError: a file or the run cannot be read.
    """
    model = PairModel.load(run)
    if len(paths) != 2 or {model.medium_number(path) for path in paths} != {0, 1}:
        first, second = (medium.singular for medium in model.media)
        raise UsageError(f"{run.folder} is a run of pairs, which takes two files, {first} and {second}; give these.")
    check_outputs([out], inputs=paths, force=force)
    ordered = sorted(paths, key=model.medium_number)
    (codes, size), (other_codes, other_size) = (model.read(n, path) for n, path in enumerate(ordered))
    names = (escape_name(ordered[0].name), escape_name(ordered[1].name))
    content = PairCodec(model.prior, model.tokenizers).compress((codes, other_codes), names, (size, other_size))
    write_atomically(out, content, replace=force)
    sizes = zip(ordered, (size, other_size), model.tokenizers, strict=True)
    outcome = Outcome()
    outcome.results[str(out)] = {
        "signals": 2,
        "medium": "signals of a pair",
        "inputs": {str(path): describe_size(of, tokenizer.config.sample_rate) for path, of, tokenizer in sizes},
        "original_bytes": sum(path.stat().st_size for path in ordered),
        "bytes": len(content),
        "notes": {},
    }
    return outcome


def decompress_pair(file: Path, out: Path, run: Run, *, force: bool = False) -> Outcome:
    """Restore both files of a pair into the folder `out`, under their names with the suffixes that are written.

    Raises:
        UsageError: a file exists.
        DataError, ModelError: the file is damaged, or was made with another run.
    """
    model = PairModel.load(run)
    with open_bytes(file) as content:
        pair = PairCodec(model.prior, model.tokenizers).decompress(content[: MAX_PAIR_BYTES + 1], str(file))
    stems = [Path(unescape_name(name)).stem for name in pair.header.names]
    names = distinct(f"{stem}.{medium.formats[0]}" for stem, medium in zip(stems, model.media, strict=True))
    targets = [out / name for name in names]
    check_outputs(targets, inputs=[file], force=force)
    outcome = Outcome()
    for number, (target, codes, size) in enumerate(zip(targets, pair.codes, pair.header.sizes, strict=True)):
        most = model.size(number)
        if len(size) != len(most) or any(n > m for n, m in zip(size, most, strict=True)):
            raise DataError(f"{file} claims a signal larger than those of the pairs; Codeword did not write it.")
        model.write(number, target, codes, size, replace=force)
        shown = describe_size(size, model.tokenizers[number].config.sample_rate)
        outcome.results[pair.header.names[number]] = {"out": str(target), **cast(dict[str, object], shown)}
    return outcome
