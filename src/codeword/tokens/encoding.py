"""Items to codes, by the rank of their signals: images of one size together, recordings as streams."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from codeword.coding.stream import block_samples, encode_stream
from codeword.errors import DataError, UnsupportedError
from codeword.media.audio import audio_length, read_audio, read_blocks
from codeword.media.images import read_image
from codeword.tokenizer import Tokenizer
from codeword.tokens.items import Item, as_text
from codeword.tokens.shards import MAX_TEXT, Skipped, TokenRow

BATCH_PIXELS = 1 << 18
"""256 images of 32 x 32, or one of 512 x 512."""


@dataclass(frozen=True)
class _Image:
    """An image that was read, (3, H, W) uint8."""

    item: Item
    label: str | None
    pixels: Tensor


def encode_items(tokenizer: Tokenizer, items: Sequence[Item], skipped: list[Skipped]) -> Iterator[TokenRow]:
    """A row for each item that can be read, in their order; what is wrong with the others is put into `skipped`.

    Which signals share a batch follows from the items alone, so that the same items have the same codes again, to the
    last one, on the same machine.
    """
    return _ENCODERS[tokenizer.config.ndim](tokenizer, items, skipped)


def encode_recording(tokenizer: Tokenizer, path: Path) -> tuple[tuple[int, ...], Tensor]:
    """The length (T,) of a recording in samples, and its codes (G, K). Raises DataError.

    It is streamed, so that hours take no more memory than minutes; but a model that needs all of it at once gets it.
    """
    rate, values = tokenizer.config.sample_rate, tokenizer.config.values
    assert rate is not None
    samples = audio_length(path, rate)
    try:
        blocks = read_blocks(path, sample_rate=rate, values=values, block_samples=block_samples(tokenizer))
        codes = torch.cat(list(encode_stream(tokenizer, blocks)))
    except UnsupportedError:
        codes = tokenizer.encode(read_audio(path, sample_rate=rate, values=values)[None])[0]
    return (samples,), codes


def _encode_images(tokenizer: Tokenizer, items: Sequence[Item], skipped: list[Skipped]) -> Iterator[TokenRow]:
    for batch in _batches(_images(items, skipped)):
        codes = tokenizer.encode(torch.stack([image.pixels for image in batch]))
        for image, mine in zip(batch, codes, strict=True):
            size = tuple(image.pixels.shape[1:])
            yield TokenRow(image.item.id, mine, size, image.label, image.item.source)


def _encode_recordings(tokenizer: Tokenizer, items: Sequence[Item], skipped: list[Skipped]) -> Iterator[TokenRow]:
    for item in items:
        try:
            with item.open() as signal:
                assert isinstance(signal.data, Path)
                size, codes = encode_recording(tokenizer, signal.data)
            label = _sound(signal.label, item)
        except DataError as error:
            skipped.append(_skip(item, error))
            continue
        yield TokenRow(item.id, codes, size, label, item.source)


_ENCODERS: dict[int, Callable[[Tokenizer, Sequence[Item], list[Skipped]], Iterator[TokenRow]]] = {
    1: _encode_recordings,
    2: _encode_images,
}


def _images(items: Iterable[Item], skipped: list[Skipped]) -> Iterator[_Image]:
    for item in items:
        try:
            with item.open() as signal:
                pixels = signal.data if isinstance(signal.data, Tensor) else read_image(signal.data)
            label = _sound(signal.label, item)
        except DataError as error:
            skipped.append(_skip(item, error))
            continue
        yield _Image(item, label, pixels)


def _batches(images: Iterable[_Image]) -> Iterator[list[_Image]]:
    """Neighbours of one size, as many as have `BATCH_PIXELS` together."""
    batch: list[_Image] = []
    for image in images:
        if batch and (
            batch[0].pixels.shape != image.pixels.shape or (len(batch) + 1) * image.pixels[0].numel() > BATCH_PIXELS
        ):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _sound(label: str | None, item: Item) -> str | None:
    """A label that a shard may hold. Raises DataError."""
    if label is not None and len(label) > MAX_TEXT:
        raise DataError(f"{item.source} has a label of {len(label):,} characters; {MAX_TEXT:,} are allowed.")
    return None if label is None else as_text(label)


def _skip(item: Item, error: DataError) -> Skipped:
    return Skipped(id=item.id, reason=as_text(str(error)))
