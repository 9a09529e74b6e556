"""A photo next to its versions by Codeword, JPEG and WebP of the same size in bytes.

`python examples/photo.py photo.jpg` writes comparison.png; `--out` names another file, and `--box` a part of the photo.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from codeword import Codec
from codeword.media.images import read_image
from codeword.pretrained import load_pretrained

GAP, CAPTION = 10, 26


def main(source: Path, out: Path, box: tuple[int, ...] | None) -> None:
    """Write a picture of the four, with their sizes and PSNR; of each only what lies in `box`, if there is one."""
    photo = read_image(source)
    codec = Codec(load_pretrained("images"))
    compressed = codec.compress(photo)
    original = as_image(photo.numpy())
    shown = [("original", original)]
    shown.append(captioned("Codeword", len(compressed), as_image(codec.decompress(compressed).numpy()), original))
    for name in ("JPEG", "WebP"):
        shown.append(captioned(name, *closest(original, name, len(compressed)), original))
    shown = [(caption, image.crop(box)) for caption, image in shown]
    width, height = shown[0][1].size
    page = Image.new("RGB", (4 * width + 3 * GAP, height + CAPTION), "white")
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 16)
    for i, (caption, image) in enumerate(shown):
        page.paste(image, (i * (width + GAP), CAPTION))
        ImageDraw.Draw(page).text((i * (width + GAP), 3), caption, fill="black", font=font)
    page.save(out)


def as_image(x: np.ndarray) -> Image.Image:
    """(3, H, W) to a picture."""
    return Image.fromarray(x.astype(np.uint8).transpose(1, 2, 0))


def captioned(name: str, size: int, image: Image.Image, original: Image.Image) -> tuple[str, Image.Image]:
    """A picture with its name, size and peak signal-to-noise ratio."""
    error = np.asarray(image, np.float64) - np.asarray(original, np.float64)
    psnr_db = 10 * np.log10(255**2 / np.square(error).mean())
    return f"{name} {size / 1000:.1f} kB, {psnr_db:.1f} dB", image


def closest(original: Image.Image, name: str, size: int) -> tuple[int, Image.Image]:
    """The largest file of a format within `size` bytes, or its smallest file, with the picture it decodes to."""
    files = []
    for quality in range(1, 96):
        file = io.BytesIO()
        original.save(file, name, quality=quality)
        files.append(file)
    fitting = [file for file in files if len(file.getvalue()) <= size]
    best = max(fitting or [min(files, key=lambda f: len(f.getvalue()))], key=lambda f: len(f.getvalue()))
    return len(best.getvalue()), Image.open(best).convert("RGB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", type=Path, default=Path("comparison.png"))
    parser.add_argument("--box", type=int, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="in pixels")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists already; give another --out")
    main(arguments.photo, arguments.out, arguments.box and tuple(arguments.box))
