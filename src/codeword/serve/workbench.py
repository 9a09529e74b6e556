"""The questions that the page asks of one model: codes, bits, decoding, sampling. Nothing is kept between calls."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import log, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.arguments import check_class
from codeword.codec.layout import Blocks, block_size
from codeword.codec.redraw import redraw_codes
from codeword.coding import encode_signal
from codeword.errors import CodewordError, DataError, UnsupportedError, UsageError
from codeword.files import compress, decode, decompress
from codeword.files.paths import Outcome
from codeword.media import medium_of
from codeword.model import Model
from codeword.priors import Sampler, seeded

MOST_VALUES = {"images": 3 * 2_000_000, "audio": 16_000 * 60}
"""Largest signal in numbers, by the name of the medium; others take as many as images."""

TIME_LIMIT_S = 60.0
"""Longest time that drawing codes may take."""


@dataclass(frozen=True)
class Opened:
    """A file as the model reads it: the signal (C, *S), its codes (*G, K), and notes on what reading changed."""

    signal: Tensor
    codes: Tensor
    notes: list[str]


class Workbench:
    """One model, and the questions that the page asks of it.

    Example:
        >>> from codeword.pretrained import load_pretrained
        >>> bench = Workbench("images", load_pretrained("images"))
        >>> codes = bench.sample(label=None, temperature=1.0, seed=0)
        >>> bench.bits(codes).shape, bench.decode(codes, size=(32, 32)).shape
        (torch.Size([8, 8]), torch.Size([3, 32, 32]))
    """

    def __init__(self, name: str, model: Model) -> None:
        """`name` is that by which `load` finds the model."""
        self.name, self.model = name, model
        self.tokenizer, self.medium = model.tokenizer.eval(), medium_of(model.tokenizer.config)

    def describe(self) -> dict[str, Any]:
        """The facts on the model that the page needs, as JSON."""
        tokenizer, prior = self.tokenizer, self.model.prior
        return {
            "name": self.name,
            "medium": self.medium.name,
            "suffixes": sorted(self.medium.suffixes),
            "format": self.medium.formats[0],
            "codebook_sizes": list(tokenizer.quantizer.codebook_sizes),
            "served_codes": list(tokenizer.quantizer.served_codes),
            "hop": tokenizer.hop,
            "sample_rate": tokenizer.config.sample_rate,
            "voices": list(tokenizer.config.classes),
            "classes": prior.classes,
            "draws": self.model.draws,
            "fingerprint": self.model.fingerprint,
        }

    def open(self, content: bytes, suffix: str) -> Opened:
        """Read and encode the content of a file with this suffix.

        Raises:
            UsageError: the suffix is not one of the medium, or the signal is too large.
            DataError: the file cannot be read.
        """
        config, notes = self.tokenizer.config, list[str]()
        with self._checked(content, f"file{suffix}") as path:
            signal = torch.cat(list(self.medium.read(path, config, notes)), 1)
        return Opened(signal, encode_signal(self.tokenizer, signal), notes)

    def decode(self, codes: Tensor, *, size: tuple[int, ...], label: int | None = None) -> Tensor:
        """Codes (*G, n) to a signal (C, *S), in the voice `label` if it is given. Raises UsageError."""
        return decode(self.tokenizer, codes, size=size, label=label)

    def cell(self, codes: Tensor, label: int | None = None) -> Tensor:
        """The signal (C, hop, ...) of one cell with these codes (n,), among equal cells."""
        ndim, hop = self.tokenizer.config.ndim, self.tokenizer.hop
        cells = 5
        grid = codes.expand(*(cells,) * ndim, -1)
        middle = slice(cells // 2 * hop, (cells // 2 + 1) * hop) if ndim > 1 else slice(None)
        return self.decode(grid, size=(cells * hop,) * ndim, label=label)[(slice(None), *(middle,) * ndim)]

    def bits(self, codes: Tensor, label: int | None = None) -> Tensor:
        """The bits of each cell (*G) of codes (*G, n) in a file: by the exact prior, block for block.

        Raises:
            UnsupportedError: the prior has no exact form, or does not serve this number of codes.
            UsageError: the codes are out of range, or there is no such class.
        """
        prior = self.model.exact_prior
        codes = self.tokenizer.check_codes(codes, batched=False)
        check_class(label, prior.classes)
        if codes.shape[-1] not in prior.served_codes:
            raise UnsupportedError(
                f"The prior serves {', '.join(map(str, prior.served_codes))} codes of a cell, not {codes.shape[-1]}."
            )
        blocks = Blocks(tuple(codes.shape[:-1]), block_size(self.model, lossless=False))
        labels = None if label is None else torch.full((len(blocks),), label)
        cut = prior.cell_log_probs(blocks.cut(codes), labels) / -log(2)
        bits = torch.empty(codes.shape[:-1])
        for number, block in enumerate(cut):
            region = blocks.region(number)
            bits[region] = block[tuple(slice(0, part.stop - part.start) for part in region)]
        return bits

    def sample(self, *, label: int | None, temperature: float, seed: int, cells: int | None = None) -> Tensor:
        """Draw codes (*G, K) from the prior: of its own grid, or of `cells` cells if it walks any grid of one axis."""
        prior = self.model.prior
        grid = (cells,) if cells is not None and prior.any_grid and len(prior.grid) == 1 else prior.grid
        everything = torch.zeros(*grid, len(prior.codebook_sizes), dtype=torch.int64)
        mask = torch.ones(grid, dtype=torch.bool)
        return self.redraw(everything, mask, label=label, temperature=temperature, seed=seed)

    def redraw(self, codes: Tensor, mask: Tensor, *, label: int | None, temperature: float, seed: int) -> Tensor:
        """Codes (*G, K), of which the cells in `mask` (*G) are drawn anew, as by `redraw_codes`.

        Raises:
            UsageError: the codes are out of range, the mask is of another grid, or there is no such class.
        """
        if not self.model.draws:
            raise UnsupportedError(f"The model {self.name} has no trained prior to draw from; take another model.")
        codes = self.tokenizer.check_codes(codes, batched=False)
        check_class(label, self.model.prior.classes)
        draw, deadline = Sampler(temperature, generator=seeded(seed)), time.monotonic() + TIME_LIMIT_S

        def choose(logits: Tensor, i: int) -> Tensor:
            if time.monotonic() > deadline:
                raise UsageError(f"Drawing takes longer than {TIME_LIMIT_S:g} s; draw fewer cells.")
            return draw(logits, i)

        labels = None if label is None else torch.tensor([label])
        return redraw_codes(self.model, codes[None], mask, choose, label=labels)[0]

    # Files ------------------------------------------------------------------------------------------

    def write(self, signal: Tensor) -> bytes:
        """The signal (C, *S) as a file in the default format of its medium."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"signal.{self.medium.formats[0]}"
            self.medium.write(path, [signal], self.tokenizer.config)
            return path.read_bytes()

    def compress(self, content: bytes, name: str, *, codes: int | None = None) -> bytes:
        """The compressed file of the content of a file called `name`. Raises UsageError, DataError."""
        with self._checked(content, Path(name).name) as source:
            return _content("out.cw", lambda out: compress([source], out, model=self.model, codes=codes))

    def decompress(self, content: bytes) -> bytes:
        """The decoded file, in the default format of the medium, of a compressed file. Raises DataError, ModelError."""
        with _file(content, "in.cw") as source:
            return _content(f"out.{self.medium.formats[0]}", lambda out: decompress(source, out, model=self.model))

    @contextmanager
    def _checked(self, content: bytes, name: str) -> Iterator[Path]:
        """As `_file`, for a signal of the medium that is not too large. Raises UsageError, DataError."""
        suffix = Path(name).suffix
        if suffix.lower() not in self.medium.suffixes:
            raise UsageError(
                f"The model {self.name} reads {self.medium.plural}, and a file that ends in {suffix or 'no suffix'!r} "
                f"is none of them; choose another file or model."
            )
        with _file(content, name) as path:
            size = self.medium.size(path, self.tokenizer.config)
            most = MOST_VALUES.get(self.medium.name, MOST_VALUES["images"])
            if (numbers := self.tokenizer.config.channels * prod(size)) > most:
                raise UsageError(
                    f"This file holds {numbers:,} numbers, and the page takes {most:,}; cut it, or use "
                    f"`codeword compress`."
                )
            yield path


@contextmanager
def _file(content: bytes, name: str) -> Iterator[Path]:
    """A file of this name with this content, in a folder of its own that is deleted afterwards.

    An error that names the path becomes a DataError that says "The file": the path means nothing to the person.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            yield path
        except CodewordError as error:
            if str(path) not in str(error):
                raise
            raise DataError(str(error).replace(str(path), "The file")) from error


def _content(name: str, write: Callable[[Path], Outcome]) -> bytes:
    """The content of the file of this name that `write` makes. Raises DataError."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / name
        for message in write(target).failures.values():
            raise DataError(message)
        return target.read_bytes()
