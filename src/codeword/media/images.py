"""Image files: every format of Pillow is read as uint8 RGB; the size in the header is checked before decoding."""

import io
from collections.abc import Callable, Iterable, Iterator
from math import log10
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from codeword.config import TokenizerConfig
from codeword.errors import DataError, UsageError
from codeword.media import extras
from codeword.media.base import EMPTY, Medium, Side, numbers_in
from codeword.media.facts import AXES, MAX_PIXELS
from codeword.media.mosaic import mosaic
from codeword.store import write_atomically

T = TypeVar("T")

# Orientations of Exif with a rotation by 90 degrees.
_ROTATED = {5, 6, 7, 8}

# Pillow detects these formats but decodes them only with plugins, or, for EPS, by running Ghostscript.
_NOT_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}

try:
    import pillow_heif
except ImportError:
    pass
else:
    pillow_heif.register_heif_opener()

Image.init()
_FORMATS = sorted(Image.OPEN.keys() - _NOT_PIXELS)

IMAGE_SUFFIXES = frozenset(
    suffix for suffix, name in Image.registered_extensions().items() if name in _FORMATS or name == "MPO"
)
"""Lower-case suffixes, with the dot, of the files that `read_image` can read."""

_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
_HEIF = (".heic", ".heics", ".heif", ".heifs", ".hif")
_UNREADABLE = {
    ".exr": "OpenEXR",
    ".jxl": "JPEG XL",
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    # Pillow takes the small preview of some of them for the picture.
    **dict.fromkeys(_RAW, "the raw data of a camera"),
    **dict.fromkeys(_HEIF if "HEIF" not in _FORMATS else (), "HEIC"),
}
_HEIF_BRANDS = (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")


def read_image(path: str | Path) -> Tensor:
    """Read the (first) picture of a file as uint8 RGB (3, H, W).

    The Exif orientation is applied, and transparent pixels are composed with white. 16-bit greyscale is scaled to 8
    bits. Other integers and floats have no standard range, so their minimum becomes 0 and their maximum 255.

    Raises:
        DataError: the file is missing, empty, cut short, no image, or has more than `MAX_PIXELS` pixels.
    """
    return _open(Path(path), lambda image: _to_tensor(_to_rgb(ImageOps.exif_transpose(image))))


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of the result of `read_image`, from the header of the file.

    Raises:
        DataError: as `read_image`, but damage after the header is not detected.
    """
    return _open(Path(path), _upright_size)


def write_image(path: str | Path, image: Tensor, *, replace: bool = True, side: Side = EMPTY) -> None:
    """Write a uint8 (3, H, W) or (1, H, W) image atomically; the suffix decides on the format.

    `side` is the side data of a PNG: transparency and metadata.

    Raises:
        UsageError: no writable format has this suffix, or the tensor is no image.
        DataError: the side data is damaged, or that of another image.
        CodewordError: the disk is full, or the path cannot be written to.
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
    picture, metadata = extras.with_side_data(_to_pillow(image), side)
    encoded = io.BytesIO()
    try:
        picture.save(encoded, name, **metadata)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: {name} cannot hold an image of {image.shape[2]} x {image.shape[1]} ({error}); try .png."
        ) from error
    write_atomically(path, encoded.getvalue(), replace=replace)


class Images(Medium):
    """RGB images of any size; samples are written side by side into one picture."""

    name, singular, plural, ndim = "images", "an image", "images", 2
    axes, cell_axes = AXES[2], ("rows", "columns")
    suffixes, formats, unreadable = IMAGE_SUFFIXES, ("png",), _UNREADABLE
    pretrained, hub_feature = "images", "Image"

    def fits(self, config: TokenizerConfig) -> bool:
        return (config.channels, config.values) == (3, 256)

    def size(self, path: Path, config: TokenizerConfig) -> tuple[int, ...]:
        return read_image_size(path)

    def describe(self, path: Path) -> dict[str, Any]:
        size = dict(zip(self.axes, read_image_size(path), strict=True))
        return {"format": _open(path, lambda image: image.format), "size": size}

    def read(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        if notes is not None:
            try:
                notes[:] = _open(path, lambda image: extras.notes(image, path))
            except DataError:  # The first picture can be good in spite of it.
                notes[:] = ["left out: other parts of the file, which are damaged"]
        yield read_image(path)

    def read_lossless(self, path: Path, config: TokenizerConfig, notes: list[str] | None = None) -> Iterator[Tensor]:
        # Without notes, because all that an image holds is stored or refused.
        yield _open(path, lambda image: _to_tensor(extras.exact_colours(image)))

    def mask(self, text: str, size: tuple[int, ...], config: TokenizerConfig) -> Tensor:
        """LEFT,TOP,RIGHT,BOTTOM in pixels, or a picture of the same size, which marks the part white or transparent."""
        if box := numbers_in(text, 4):
            left, top, right, bottom = (max(0, round(n)) for n in box)
            mask = torch.zeros(size, dtype=torch.bool)
            mask[top:bottom, left:right] = True
            return mask
        if not Path(text).is_file():
            raise UsageError(f"The mask {text} is neither a picture nor LEFT,TOP,RIGHT,BOTTOM in pixels; give one.")
        picture = read_image(text)
        if tuple(picture.shape[1:]) != size:
            found, wanted = (" x ".join(map(str, sides[::-1])) for sides in (picture.shape[1:], size))
            raise UsageError(f"The mask {text} has {found} pixels, but the picture {wanted}; resize the mask.")
        return picture.float().mean(0) >= 128

    def side(self, path: Path, config: TokenizerConfig) -> dict[str, bytes]:
        return _open(path, lambda image: extras.side_data(image, path))

    def lossless_sizes(self, path: Path, config: TokenizerConfig) -> dict[str, int]:
        return _open(path, extras.lossless_sizes)

    def write(
        self, path: Path, blocks: Iterable[Tensor], config: TokenizerConfig, *, replace: bool = True, side: Side = EMPTY
    ) -> None:
        write_image(path, torch.cat(list(blocks), 1).to(torch.uint8), replace=replace, side=side)

    def compare(self, original: Path, reconstruction: Path, config: TokenizerConfig) -> dict[str, float]:
        decoded, expected = read_image(reconstruction), read_image(original)
        # Row by row, because a large photo in wider integers takes half a gigabyte.
        rows = zip(decoded.unbind(1), expected.unbind(1), strict=True)
        error = sum(int((a.int() - b.int()).square().sum()) for a, b in rows) / (decoded.numel() * 255**2)
        return {"psnr_db": round(-10 * log10(max(error, 1e-10)), 3)}

    def sample_paths(self, out: Path, count: int) -> list[Path]:
        return [out]

    def write_samples(
        self, paths: list[Path], signals: list[Tensor], config: TokenizerConfig, *, replace: bool = True
    ) -> None:
        write_image(paths[0], mosaic(torch.stack(signals)), replace=replace)


def fit(image: Tensor, size: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Crop the largest square of an image (C, H, W) uint8 and resize it to (C, size, size) with a Lanczos filter.

    The square is in the centre; with a generator its position along the longer side is random.
    """
    height, width = image.shape[1:]
    side = min(height, width)
    spare = max(height, width) - side
    start = spare // 2 if generator is None else int(torch.randint(spare + 1, (), generator=generator))
    square = image.narrow(1 if height > width else 2, start, side)
    if side == size:
        return square.contiguous()
    return _to_tensor(_to_pillow(square).resize((size, size), Image.Resampling.LANCZOS))


def _open(path: Path, decode: Callable[[Image.Image], T]) -> T:
    """Open a file, check its header and return `decode(image)`; every error becomes a DataError."""
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; remove it or fetch it again.")
        if name := _UNREADABLE.get(path.suffix.lower()):
            raise _unreadable(path, name)
        # Not by its path: Pillow would map the file into memory, which mixes up the rows of turned TIFF files.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width} x {image.height} pixels")
            return decode(image)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Opening raises these if Pillow's own limit is exceeded (the warning if warnings are errors).
        raise _too_large(path, "far too many pixels") from error
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            if "HEIF" not in _FORMATS and file.read(12)[4:].startswith(_HEIF_BRANDS):  # Some phones name them .jpg.
                raise _unreadable(path, "HEIC") from error
        spite = ", in spite of its suffix" if path.suffix.lower() in IMAGE_SUFFIXES else ""
        raise DataError(f"{path} is not an image{spite}; remove it or fetch it again.") from error
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}; check the path.") from error
    except Exception as error:
        # Pillow raises many kinds of errors on invalid bytes: OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{path} cannot be read as an image ({error}); remove it or fetch it again.") from error


def _unreadable(path: Path, format: str) -> DataError:
    install = ", or `pip install 'codeword[heic]'`" if format == "HEIC" else ""
    return DataError(
        f"{path} is {format}, which cannot be read; convert it, for example to PNG{install} (PNG, JPEG, WebP, AVIF, "
        f"GIF, TIFF, BMP and other formats of Pillow are read)."
    )


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width after the Exif orientation is applied."""
    size = (image.height, image.width)
    # Pillow itself turns the size of a TIFF.
    rotated = image.getexif().get(ExifTags.Base.Orientation) in _ROTATED and image.format != "TIFF"
    return size[::-1] if rotated else size


def _too_large(path: Path, size: str) -> DataError:
    return DataError(f"{path} has {size}, more than the {MAX_PIXELS:,} that are allowed; shrink it first.")


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
    scaled = (values - low) * (255 / ((high - low) or 1))  # All values may be equal.
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))  # A copy: Pillow's own memory is read-only.
    return (pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]).contiguous()


def _to_pillow(image: Tensor) -> Image.Image:
    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
