"""Common formats of images, written and read by Pillow, and JPEG XL by its own programs where they are installed."""

import io
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

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


_JPEG_XL = OtherFormat("JPEG XL lossless", "effort 7", True, {"effort": 7}, together=True)
_HAS_JPEG_XL = shutil.which("cjxl") is not None and shutil.which("djxl") is not None

LADDER = (*_formats(together=False), *_formats(together=True), *([_JPEG_XL] if _HAS_JPEG_XL else []))
"""Every format and setting, with one image a file and with all images side by side; the lossy ones at 12 qualities.

JPEG XL is side by side only, because its programs start anew for each file.
"""


def images_a_file(size: tuple[int, ...]) -> int:
    """Number of images of `size` pixels that fit side by side into one square file."""
    return max(1, MAX_SIDE // max(size)) ** 2


def round_trip(images: Tensor, form: OtherFormat) -> tuple[list[int], Tensor]:
    """Write images (N, C, H, W) uint8 to files in memory; returns the files' sizes in bytes and the decoded images."""
    count, channels, height, width = images.shape
    sizes, decoded = [], []
    for part in images.split(images_a_file((height, width)) if form.together else 1):
        array = mosaic(part, gap=0).movedim(0, -1).numpy()
        write = _by_programs if form is _JPEG_XL else _by_pillow
        size, image = write(Image.fromarray(array[..., 0] if channels == 1 else array), form)
        sizes.append(size)
        array = np.array(image.convert("L" if channels == 1 else "RGB"))
        sheet = torch.from_numpy(array).view(*array.shape[:2], channels).movedim(-1, 0)
        tiles = sheet.unfold(1, height, height).unfold(2, width, width)
        decoded.append(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1)[: len(part)])
    result = torch.cat(decoded)
    assert len(result) == count
    assert not form.lossless or torch.equal(result, images), f"{form.title} is not lossless."
    return sizes, result


def _by_pillow(image: Image.Image, form: OtherFormat) -> tuple[int, Image.Image]:
    content = io.BytesIO()
    image.save(content, **form.options)
    return len(content.getvalue()), Image.open(content)


def _by_programs(image: Image.Image, form: OtherFormat) -> tuple[int, Image.Image]:
    with TemporaryDirectory() as folder:
        plain, coded, decoded = (Path(folder, name) for name in ("plain.png", "coded.jxl", "decoded.png"))
        image.save(plain)
        encode = ["cjxl", "-d", "0", "-e", str(form.options["effort"]), str(plain), str(coded)]
        for command in (encode, ["djxl", str(coded), str(decoded)]):
            subprocess.run(command, check=True, capture_output=True)
        with Image.open(decoded) as result:
            return coded.stat().st_size, result.copy()


def psnr_db(decoded: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each 8-bit image (N,)."""
    mse = ((decoded.float() - images.float()) / 255).square().flatten(1).mean(1)
    return -10 * torch.log10(mse.clamp(min=1e-10))
