"""Images: every format that Pillow reads becomes uint8 RGB; the header of a file is checked before its pixels."""

import io
from collections.abc import Callable, Iterable, Iterator
from math import log10
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import DataError, UsageError
from codeword.media.base import Medium
from codeword.media.mosaic import mosaic
from codeword.store import write_atomically

T = TypeVar("T")

# The largest cameras stay below this; decoded as RGB it is 192 MB, which several threads at once can hold.
MAX_PIXELS = 64_000_000

# Orientations of Exif that turn the picture by a quarter.
_TURNED = {5, 6, 7, 8}

# Pillow recognises these but cannot decode them by itself, or, for EPS, starts Ghostscript on the file.
_NOT_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}

Image.init()
_FORMATS = sorted(Image.OPEN.keys() - _NOT_PIXELS)

IMAGE_SUFFIXES = frozenset(
    suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS or name == "MPO"
)
"""Lower-case suffixes, with the dot, of the files that `read_image` can read."""


def read_image(path: str | Path) -> Tensor:
    """The (first) picture of a file as uint8 RGB (3, H, W).

    Orientation is applied and transparency lies over white. 16-bit greyscale is scaled, not clipped;
    wider integers and floats have no agreed range, so their own lowest and highest become 0 and 255.

    Raises:
        DataError: the file is missing, empty, cut short, no image, or has more than `MAX_PIXELS`.
    """
    return _open(Path(path), lambda image: _to_tensor(_to_rgb(ImageOps.exif_transpose(image))))


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the picture that `read_image` gives, from the header alone.

    Raises:
        DataError: as `read_image`, but damage after the header goes unnoticed.
    """
    return _open(Path(path), _upright_size)


def write_image(path: str | Path, image: Tensor) -> None:
    """Write a uint8 (3, H, W) or (1, H, W) image in the format of the path's suffix, whole or not at all.

    Raises:
        UsageError: the suffix names no format that can be written, or the tensor is no image.
        CodewordError: the disk is full, or the place cannot be written to.
    """
    path = Path(path)
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3) or not image.numel():
        raise UsageError(
            f"{path}: an image is a uint8 tensor of shape (3, H, W) or (1, H, W), "
            f"not {image.dtype} of shape {tuple(image.shape)}."
        )
    name = Image.registered_extensions().get(path.suffix.lower())
    if name not in Image.SAVE or name in _NOT_PIXELS:
        raise UsageError(f"{path}: images cannot be written as {path.suffix or 'a file without suffix'!r}; try .png.")
    encoded = io.BytesIO()
    try:
        _to_pillow(image).save(encoded, name)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: {name} cannot hold an image of {image.shape[2]} x {image.shape[1]} ({error}); try .png."
        ) from error
    write_atomically(path, encoded.getvalue())


class Images(Medium):
    """RGB images of any size; samples go into one picture, side by side."""

    name, singular, plural, ndim = "images", "an image", "images", 2
    axes, cell_axes = ("height", "width"), ("rows", "columns")
    suffixes, formats = IMAGE_SUFFIXES, ("png",)
    pretrained, hub_feature = "images", "Image"

    def fits(self, config: TokenizerConfig) -> bool:
        return (config.channels, config.values) == (3, 256)

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return read_image_size(path)

    def read(self, path: Path, config: TokenizerConfig) -> Iterator[Tensor]:
        yield read_image(path)

    def write(self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, grey: bool = False) -> None:
        image = torch.cat(list(blocks), -1)
        if grey:
            image = image.float().mean(0, keepdim=True).round()
        write_image(path, image.to(torch.uint8))

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        found, wanted = read_image(reconstruction), read_image(original)
        # Row by row: in wider integers a large photo takes half a gigabyte each time.
        rows = zip(found.unbind(1), wanted.unbind(1), strict=True)
        error = sum(int((a.int() - b.int()).square().sum()) for a, b in rows) / (found.numel() * 255**2)
        return {"psnr_db": round(-10 * log10(max(error, 1e-10)), 3)}

    def write_samples(self, out: Path, signals: list[Tensor], config: TokenizerConfig) -> list[Path]:
        write_image(out, mosaic(torch.stack(signals).to(torch.uint8)))
        return [out]


def fit(image: Tensor, size: int, *, generator: torch.Generator | None = None) -> Tensor:
    """(C, H, W) uint8 to (C, size, size): the largest square, resized with Lanczos (antialiased).

    The square is the central one; with a generator its place along the longer side is random.
    """
    height, width = image.shape[1:]
    side = min(height, width)
    spare = max(height, width) - side
    start = spare // 2 if generator is None else int(torch.randint(spare + 1, (), generator=generator))
    square = image.narrow(1 if height > width else 2, start, side)
    if side == size:
        return square.contiguous()
    return _to_tensor(_to_pillow(square).resize((size, size), Image.Resampling.LANCZOS))


def _open(path: Path, use: Callable[[Image.Image], T]) -> T:
    """Open a file, check its header and pass it to `use`; every error becomes a DataError of one sentence."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; remove it or fetch it again.")
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width} x {image.height} pixels")
            return use(image)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit comes first for the very largest (the warning, where warnings are errors).
        raise _too_large(path, "far too many pixels") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image, whatever its name says; remove it or fetch it again.") from error
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:
        # Pillow raises whatever the broken bytes led to: OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{path} cannot be read as an image ({error}); remove it or fetch it again.") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width once the orientation in the header is applied."""
    size = (image.height, image.width)
    return size[::-1] if image.getexif().get(ExifTags.Base.Orientation) in _TURNED else size


def _too_large(path: Path, found: str) -> DataError:
    return DataError(f"{path} has {found}, more than the {MAX_PIXELS:,} that are allowed; shrink it first.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _to_8_bit(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite(low + high):
        raise ValueError("it holds values that are not finite")
    if image.mode != "F" and low >= 0 and high <= 65535:  # Pillow's mode I is 32-bit but usually holds 16-bit data.
        low, high = 0, 65535
    scaled = (values - low) * (255 / max(high - low, np.finfo(np.float64).tiny))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))  # A copy: Pillow's own memory is read-only.
    return (pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]).contiguous()


def _to_pillow(image: Tensor) -> Image.Image:
    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
