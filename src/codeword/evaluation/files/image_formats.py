"""Common formats of images, written and read by Pillow."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from codeword.evaluation.files.amounts import OtherFormat
from codeword.media.mosaic import mosaic

MAX_SIDE = 4096
"""Largest side in pixels of a file with many images side by side: as large as a photo, so headers are negligible."""

_QUALITIES = (1, 3, 5, 8, 11, 15, 20, 27, 35, 50, 75, 90)


def _formats(*, together: bool) -> list[OtherFormat]:
    webp = {"format": "WEBP", "method": 6}
    return [
        OtherFormat("PNG", "optimize", True, {"format": "PNG", "optimize": True}, together),
        OtherFormat("WebP lossless", "method 6", True, webp | {"lossless": True, "quality": 100}, together),
        *(
            OtherFormat(name, f"quality {quality}", False, options | {"quality": quality}, together)
            for name, options in (("JPEG", {"format": "JPEG", "optimize": True}), ("WebP", webp))
            for quality in _QUALITIES
        ),
    ]


LADDER = (*_formats(together=False), *_formats(together=True))
"""Every format and setting, with one image a file and with all images side by side; the lossy ones at 12 qualities."""


def images_a_file(size: tuple[int, ...]) -> int:
    """Number of images of `size` pixels that fit side by side into one square file."""
    return max(1, MAX_SIDE // max(size)) ** 2


def round_trip(images: Tensor, form: OtherFormat) -> tuple[list[int], Tensor]:
    """Write images (N, C, H, W) uint8 to files in memory; returns the files' sizes in bytes and the decoded images."""
    count, channels, height, width = images.shape
    sizes, decoded = [], []
    for part in images.split(images_a_file((height, width)) if form.together else 1):
        content = io.BytesIO()
        array = mosaic(part, gap=0).movedim(0, -1).numpy()
        Image.fromarray(array[..., 0] if channels == 1 else array).save(content, **form.options)
        sizes.append(len(content.getvalue()))
        with Image.open(content) as image:
            array = np.array(image.convert("L" if channels == 1 else "RGB"))
        sheet = torch.from_numpy(array).view(*array.shape[:2], channels).movedim(-1, 0)
        tiles = sheet.unfold(1, height, height).unfold(2, width, width)
        decoded.append(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1)[: len(part)])
    result = torch.cat(decoded)
    assert len(result) == count
    assert not form.lossless or torch.equal(result, images), f"{form.title} is not lossless."
    return sizes, result


def psnr_db(decoded: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each 8-bit image (N,)."""
    mse = ((decoded.float() - images.float()) / 255).square().flatten(1).mean(1)
    return -10 * torch.log10(mse.clamp(min=1e-10))
