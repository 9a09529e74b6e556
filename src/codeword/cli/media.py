"""What differs between media for the commands on files: a table, looked up by the rank of a tokenizer's signals."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import log10
from pathlib import Path

import torch
from torch import Tensor

from codeword.codec import Signal
from codeword.coding.stream import WINDOW_SAMPLES, block_samples, decode_stream
from codeword.coding.tiles import decode_tiles, encode_tiles
from codeword.config import TokenizerConfig
from codeword.errors import UnsupportedError, UsageError
from codeword.media.audio import AUDIO_SUFFIXES, dequantise, read_blocks, write_blocks
from codeword.media.images import IMAGE_SUFFIXES, read_image, write_image
from codeword.media.mosaic import mosaic
from codeword.tokenizer import Tokenizer
from codeword.tokens.encoding import encode_recording

_DIGITS = 3


class Medium(ABC):
    """Files of one kind and a tokenizer's codes of them.

    `one` and `many` name them, `suffixes` are those of the files that can be read, `formats` the suffixes, without the
    dot, that decoded ones are written with, the usual one first; `samples` is how many are drawn unless told.
    """

    one: str
    many: str
    suffixes: frozenset[str]
    formats: tuple[str, ...]
    samples: int

    @abstractmethod
    def fits(self, config: TokenizerConfig) -> bool:
        """Whether this tokenizer's signals are what the files hold."""

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, path: Path) -> tuple[tuple[int, ...], Tensor]:
        """The size *S of a file's signal, and its codes (*G, K). Raises DataError."""

    @abstractmethod
    def decode(
        self, tokenizer: Tokenizer, codes: Tensor, path: Path, *, size: tuple[int, ...], label: int | None
    ) -> None:
        """Write the signal of codes (*G, K) to `path`. Raises CodewordError."""

    @abstractmethod
    def signal(self, tokenizer: Tokenizer, path: Path, name: str) -> Signal:
        """A file as what the codec compresses, read through once to see that it is whole. Raises DataError."""

    @abstractmethod
    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool) -> None:
        """Write what the codec gives back to `path`. Raises CodewordError."""

    @abstractmethod
    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """How far a file that `decode` wrote is from its original, by name and unit."""

    @abstractmethod
    def write_samples(
        self, tokenizer: Tokenizer, codes: Tensor, out: Path, *, size: tuple[int, ...], label: int | None
    ) -> list[Path]:
        """Decode drawn codes (N, *G, K) to what `codeword sample` writes at `out`; returns the paths."""

    @abstractmethod
    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        """The size *S of a signal of this length. Raises UsageError."""


class Images(Medium):
    """RGB images of any size, large ones in tiles; samples go side by side into one picture."""

    one, many = "an image", "images"
    suffixes, formats = IMAGE_SUFFIXES, ("png",)
    samples = 64

    def fits(self, config: TokenizerConfig) -> bool:
        return (config.channels, config.values) == (3, 256)

    def encode(self, tokenizer: Tokenizer, path: Path) -> tuple[tuple[int, ...], Tensor]:
        image = read_image(path)
        return tuple(image.shape[1:]), encode_tiles(tokenizer, image)

    def decode(
        self, tokenizer: Tokenizer, codes: Tensor, path: Path, *, size: tuple[int, ...], label: int | None
    ) -> None:
        write_image(path, decode_tiles(tokenizer, codes, size=size, label=label))

    def signal(self, tokenizer: Tokenizer, path: Path, name: str) -> Signal:
        image = read_image(path)
        return Signal(name, tuple(image.shape[1:]), lambda: [read_image(path)])

    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool) -> None:
        image = torch.cat(list(blocks), -1)
        if grey:
            image = image.float().mean(0, keepdim=True).round()
        write_image(path, image.to(torch.uint8))

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        ours, theirs = read_image(reconstruction), read_image(original)
        # Row by row, for a large photo in wider numbers is half a gigabyte each time.
        rows = zip(ours.unbind(1), theirs.unbind(1), strict=True)
        error = sum(int((a.int() - b.int()).square().sum()) for a, b in rows) / (ours.numel() * 255**2)
        return {"psnr_db": round(-10 * log10(max(error, 1e-10)), _DIGITS)}

    def write_samples(
        self, tokenizer: Tokenizer, codes: Tensor, out: Path, *, size: tuple[int, ...], label: int | None
    ) -> list[Path]:
        images = tokenizer.decode(codes, _labels(label, len(codes)), size=size)
        write_image(out, mosaic(images.to(torch.uint8)))
        return [out]

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        raise UsageError("Images have no length; leave --seconds out.")


class Recordings(Medium):
    """Audio of any length, rate and number of channels, as one channel at the tokenizer's rate.

    Files are streamed, so that hours take no more memory than minutes; but a model that needs the whole of a recording
    at once gets it.
    """

    one, many = "a recording", "recordings"
    suffixes, formats = AUDIO_SUFFIXES, ("wav", "flac")
    samples = 8

    def fits(self, config: TokenizerConfig) -> bool:
        return config.channels == 1 and config.values in (256, 65536) and config.sample_rate is not None

    def encode(self, tokenizer: Tokenizer, path: Path) -> tuple[tuple[int, ...], Tensor]:
        return encode_recording(tokenizer, path)

    def decode(
        self, tokenizer: Tokenizer, codes: Tensor, path: Path, *, size: tuple[int, ...], label: int | None
    ) -> None:
        blocks: Iterable[Tensor]
        try:
            blocks = decode_stream(tokenizer, [codes], label=label, size=size[0])
        except UnsupportedError:
            blocks = [tokenizer.decode(codes[None], _labels(label, 1), size=size)[0]]
        write_blocks(path, blocks, sample_rate=_rate(tokenizer.config), values=tokenizer.config.values)

    def signal(self, tokenizer: Tokenizer, path: Path, name: str) -> Signal:
        samples = sum(block.shape[1] for block in _blocks(tokenizer, path))
        return Signal(name, (samples,), lambda: _blocks(tokenizer, path))

    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool) -> None:
        write_blocks(path, blocks, sample_rate=_rate(config), values=config.values)

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """The log-mel distance, in windows of some 10 s, each weighing as much as it is long."""
        from codeword.evaluation.measure.distances import log_mel_distance

        rate, total, samples = _rate(config), 0.0, 0
        pairs = (
            read_blocks(path, sample_rate=rate, values=65536, block_samples=WINDOW_SAMPLES)
            for path in (reconstruction, original)
        )
        for ours, theirs in zip(*pairs, strict=True):
            distance = log_mel_distance(dequantise(ours[0], 65536), dequantise(theirs[0], 65536), sample_rate=rate)
            total += distance * theirs.shape[1]
            samples += theirs.shape[1]
        return {"log_mel_distance": round(total / samples, _DIGITS)}

    def write_samples(
        self, tokenizer: Tokenizer, codes: Tensor, out: Path, *, size: tuple[int, ...], label: int | None
    ) -> list[Path]:
        if out.suffix.lower() in self.suffixes:
            raise UsageError(f"{out} names one recording, but each sample is one; give a folder as --out.")
        paths = [out / f"sample-{i:04}.{self.formats[0]}" for i in range(1, len(codes) + 1)]
        for path, drawn in zip(paths, codes, strict=True):
            self.decode(tokenizer, drawn, path, size=size, label=label)
        return paths

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        samples = round(seconds * _rate(config)) if 0 < seconds < float("inf") else 0
        if samples < 1:
            raise UsageError(f"--seconds must be a length above 0, not {seconds:g}.")
        return (samples,)


MEDIA: dict[int, Medium] = {1: Recordings(), 2: Images()}
"""By the rank of a signal."""


def medium_of(tokenizer: Tokenizer) -> Medium:
    """The medium whose files this tokenizer codes. Raises UsageError where there is none."""
    config = tokenizer.config
    medium = MEDIA[config.ndim]
    if not medium.fits(config):
        raise UsageError(
            f"This tokenizer's signals (rank {config.ndim}, {config.channels} channels of {config.values} values, "
            f"sample rate {config.sample_rate}) are in no file that can be read; use it from Python."
        )
    return medium


def _labels(label: int | None, count: int) -> Tensor | None:
    return None if label is None else torch.full((count,), label)


def _blocks(tokenizer: Tokenizer, path: Path) -> Iterable[Tensor]:
    config = tokenizer.config
    return read_blocks(path, sample_rate=_rate(config), values=config.values, block_samples=block_samples(tokenizer))


def _rate(config: TokenizerConfig) -> int:
    assert config.sample_rate is not None
    return config.sample_rate
