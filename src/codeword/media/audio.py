"""Recordings as a medium: what their files hold, what reading them changes, and how far two are apart."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import UsageError
from codeword.media.audio_files import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES, check_channel, opened, read_header
from codeword.media.base import EMPTY, Medium, Side, numbers_in
from codeword.media.channels import Mono
from codeword.media.cut_files import lacks_end
from codeword.media.facts import AXES
from codeword.media.waves import dequantise, read_blocks, samples_in, write_blocks
from codeword.spectra.losses import log_mel_distance

# Kinds of samples with more than 8 bits.
_WIDTHS = {f"{kind}_{bits}": f"{bits} bits" for kind in ("PCM", "ALAC") for bits in (16, 20, 24, 32)} | {
    "FLOAT": "32-bit floats",
    "DOUBLE": "64-bit floats",
}


class Audio(Medium):
    """Recordings of any length, sample rate and number of channels, read in blocks of one channel."""

    name, singular, plural, ndim = "audio", "a recording", "recordings", 1
    axes, cell_axes, dimension = AXES[1], ("cells",), "sample"
    suffixes, formats = AUDIO_SUFFIXES, ("wav", "flac")
    unreadable = UNREADABLE_SUFFIXES
    pretrained, hub_feature = "speech", "Audio"
    samples, shard_items = 8, 200

    def __init__(self, channel: int | None = None) -> None:
        """`channel` is the number, from 1 on, of the only channel that is read; None mixes all."""
        self.channel = channel

    def with_channel(self, channel: int | None) -> Medium:
        if channel is not None and channel < 1:
            raise UsageError(f"The channels are numbered from 1 on, so there is no channel {channel}.")
        return Audio(channel)

    def fits(self, config: TokenizerConfig) -> bool:
        return config.channels == 1 and config.values in (256, 65536) and config.sample_rate is not None

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        header = read_header(path)
        check_channel(path, header, self.channel)
        return (samples_in(path, header, _rate(config)),)

    def describe(self, path: Path) -> dict[str, Any]:
        header = read_header(path)
        return {
            "format": header.format,
            "encoding": header.subtype,
            "channels": header.channels,
            "sample_rate": header.sample_rate,
            "seconds": header.frames / header.sample_rate,
            "size": {"samples": header.frames},
        }

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        rate, values = _rate(config), config.values
        yield from read_blocks(path, sample_rate=rate, values=values, channel=self.channel, notes=notes)
        if notes is not None:
            notes[:0] = self._conversions(path, config)

    def _conversions(self, path: Path, config: TokenizerConfig) -> list[str]:
        """The changes of sample rate, channels and bits, and a missing end."""
        with opened(path) as (_, header):
            rate = _rate(config)
        mono = Mono(header.channels, container=header.format, channel=self.channel)
        before, after, notes = list[str](), list[str](), list[str]()
        if header.sample_rate != rate:
            before.append(f"{header.sample_rate / 1000:g} kHz")
            after.append(f"{rate / 1000:g} kHz")
        if header.channels > 1:
            chosen = f"channel {self.channel} of {header.channels}"
            before.append(f"{header.channels} channels" if self.channel is None else chosen)
            after.append("mono")
        if before:
            notes.append(f"{', '.join(before)} -> {' '.join(after)}")
        if mono.left_out:
            notes.append(f"taken as {header.channels - 1}.1, without channel {mono.left_out}, the low frequencies")
        width, values_width = _WIDTHS.get(header.subtype), "16 bits" if config.values == 65536 else "8 bits (mu-law)"
        if width and width != values_width:
            notes.append(f"{width} -> {values_width}")
        if lacks_end(path):
            notes.append("its end is not marked, so a part may be missing")
        return notes

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        write_blocks(path, blocks, sample_rate=_rate(config), values=config.values, replace=replace)

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        """The log-mel distance in nepers, in blocks of about 10 s, each weighted by its length."""
        rate, total, samples = _rate(config), 0.0, 0
        read = partial(read_blocks, sample_rate=rate, values=65536)
        for decoded, expected in zip(read(reconstruction), read(original, channel=self.channel), strict=True):
            waves = (dequantise(x[0], 65536) for x in (decoded, expected))
            total += log_mel_distance(*waves, sample_rate=rate) * expected.shape[1]
            samples += expected.shape[1]
        return {"log_mel_distance": round(total / samples, 3)}

    def size_of(self, seconds: float, config: TokenizerConfig) -> tuple[int, ...]:
        samples = round(seconds * _rate(config)) if 0 < seconds < float("inf") else 0
        if samples < 1:
            raise UsageError(f"The length must be above 0 seconds, not {seconds:g}.")
        return (samples,)

    def mask(self, text: str, size: tuple[int, ...], config: TokenizerConfig) -> Tensor:
        """START,STOP in seconds."""
        if not (seconds := numbers_in(text, 2)):
            raise UsageError(f"The mask {text} is not START,STOP in seconds, as in 1.5,2.25.")
        start, stop = (max(0, round(second * _rate(config))) for second in seconds)
        mask = torch.zeros(size, dtype=torch.bool)
        mask[start:stop] = True
        return mask


def _rate(config: TokenizerConfig) -> int:
    assert config.sample_rate is not None
    return config.sample_rate
