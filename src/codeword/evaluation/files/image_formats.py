"""Common formats of images, written and read by Pillow."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from codeword.media.mosaic import mosaic

MOST_PIXELS = 4096
"""Largest side of many images side by side: as large as a photo, so that headers are negligible."""


@dataclass(frozen=True)
class ImageFormat:
    """A format of images with its options; with `together`, one file has many images side by side."""

    name: str
    setting: str
    lossless: bool
    format: str
    together: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of the format, with a note if images share a file."""
        return f"{self.name}, side by side" if self.together else self.name


_QUALITIES = (1, 3, 5, 8, 11, 15, 20, 27, 35, 50, 75, 90)


def _ladder() -> Iterator[ImageFormat]:
    for together in (False, True):
        yield ImageFormat("PNG", "optimize", True, "PNG", together, {"optimize": True})
        webp = {"lossless": True, "quality": 100, "method": 6}
        yield ImageFormat("WebP lossless", "method 6", True, "WEBP", together, webp)
        for name, options in (("JPEG", {"optimize": True}), ("WebP", {"method": 6})):
            for quality in _QUALITIES:
                chosen = {**options, "quality": quality}
                yield ImageFormat(name, f"quality {quality}", False, name.upper(), together, chosen)


LADDER = tuple(_ladder())
"""Every format, with one image a file and with all images side by side; the lossy ones at many qualities."""


def images_a_file(size: tuple[int, ...]) -> int:
    """Number of images of this size that fit side by side into one square file."""
    return max(1, MOST_PIXELS // max(size)) ** 2


def written(images: Tensor, form: ImageFormat) -> tuple[list[int], Tensor]:
    """Images (N, C, H, W) uint8 as files: the bytes of each, and the images read from them, of the same shape."""
    count, channels, height, width = images.shape
    parts = images.split(images_a_file((height, width)) if form.together else 1)
    sizes, found = [], []
    for part in parts:
        content = _encode(mosaic(part, gap=0), form)
        sizes.append(len(content))
        sheet = _decode(content, channels)
        tiles = sheet.unfold(1, height, height).unfold(2, width, width)
        found.append(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1)[: len(part)])
    decoded = torch.cat(found)
    assert len(decoded) == count
    assert not form.lossless or torch.equal(decoded, images), f"{form.title} is not lossless."
    return sizes, decoded


def psnr_db(found: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each 8-bit image (N,)."""
    mse = ((found.float() - images.float()) / 255).square().flatten(1).mean(1)
    return -10 * torch.log10(mse.clamp(min=1e-10))


def _encode(image: Tensor, form: ImageFormat) -> bytes:
    content = io.BytesIO()
    array = image.movedim(0, -1).numpy()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(content, form.format, **form.options)
    return content.getvalue()


def _decode(content: bytes, channels: int) -> Tensor:
    with Image.open(io.BytesIO(content)) as image:
        array = np.array(image.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(array).view(*array.shape[:2], channels).movedim(-1, 0)
