"""The parts of a picture besides its 8-bit colours: what reading it converts or leaves out, and how it is kept exactly.

A lossless file keeps these parts as one small PNG: its pixels are the transparency, its chunks the metadata.
"""

import io
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from codeword.errors import DataError, reason

SIDE = "png"
"""The name of the side data of a picture."""

# Pillow reads everything that files of these formats can hold, or says what is missing.
_EXACT_FORMATS = frozenset(
    {"AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF"}
    | {"WEBP"}
)
_EXACT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})

# Bytes that say the bits of a value where Pillow does not: the bytes to find, the offset of the number from them, and
# its difference from the number of bits. Source: ISO/IEC 15444-1, A.5.1, and ISO/IEC 23008-12, 6.5.6.
_BITS = {"JPEG2000": (b"\xff\x51", 40, 1), "AVIF": (b"pixi", 9, 0)}

_METADATA = {
    "icc_profile": "colour profile",
    "exif": "Exif data",
    "dpi": "resolution",
    "pnginfo": "texts and other metadata",
}
_CHUNKS = frozenset({b"cHRM", b"cICP", b"gAMA", b"iTXt", b"sRGB", b"tEXt", b"tIME", b"zTXt"})
# These texts may repeat the orientation.
_XMP, _EXIF_TEXT = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')

# Tags of TIFF that describe how the file stores its pixels, and those that are kept in other ways: orientation,
# resolution, XMP and colour profile.
_TIFF_STORAGE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 296, 297}
    | {317, 320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 529, 530, 531, 532, 700, 34675}
)


def notes(image: Image.Image, path: Path) -> tuple[str, ...]:
    """Short texts on what reading the image of a file as RGB of 8 bits converts and leaves out."""
    content = path.read_bytes()
    found = list(_conversions(image, content))
    metadata = _metadata(image, content)
    if image.has_transparency_data and image.mode in _EXACT_MODES and _transparency(image) is not None:
        found.append("transparency laid over white")
    if metadata:
        found.append(f"left out: {', '.join(_METADATA[key] for key in metadata)}")
    return tuple(found)


def exact_colours(image: Image.Image) -> Image.Image:
    """The upright colours of an image as RGB; those of transparent pixels are as they are in the file."""
    upright = ImageOps.exif_transpose(image)
    return (upright.convert("RGBA") if upright.has_transparency_data else upright).convert("RGB")


def side_data(image: Image.Image, path: Path) -> dict[str, bytes]:
    """The transparency and the metadata of the image of a file, in the form that `with_side_data` reads.

    Raises:
        DataError: the image cannot be kept exactly as 8-bit colours, transparency and metadata.
    """
    content = path.read_bytes()
    for loss in _losses(image, content):
        raise DataError(f"{path} cannot be kept exactly ({loss}); convert it first, or leave lossless out.")
    metadata = _metadata(image, content)
    transparency = _transparency(ImageOps.exif_transpose(image)) if image.has_transparency_data else None
    if transparency is None and not metadata:
        return {}
    png = io.BytesIO()
    (transparency or Image.new("1", (1, 1))).save(png, "PNG", **metadata)
    return {SIDE: png.getvalue()}


def lossless_sizes(image: Image.Image) -> dict[str, int]:
    """The size in bytes of the pixels of an image as PNG and as lossless WebP, if they can hold it."""
    upright = ImageOps.exif_transpose(image)
    picture = upright.convert("RGBA") if upright.mode == "PA" else upright
    picture.info = {key: value for key, value in picture.info.items() if key == "transparency"}
    sizes = {}
    for name, options in (("PNG", {}), ("WebP", {"lossless": True, "exact": True})):
        content = io.BytesIO()
        with suppress(OSError, ValueError):
            picture.save(content, name, **options)
            sizes[name] = content.tell()
    return sizes


def with_side_data(colours: Image.Image, side: Mapping[str, bytes]) -> tuple[Image.Image, dict[str, Any]]:
    """Colours with the transparency in `side`, and the options with which Pillow writes the metadata into a PNG.

    Raises:
        DataError: the side data is damaged, or belongs to an image of another size.
    """
    content = side.get(SIDE)
    if content is None:
        return colours, {}
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as stored:
            metadata = _metadata(stored, content)
            if stored.mode == "L":
                if stored.size != colours.size:
                    raise ValueError(f"its transparency has {stored.width} x {stored.height} pixels")
                colours.putalpha(stored)
    except Exception as error:  # As for every image, Pillow raises many kinds of errors.
        raise DataError(
            f"The side data of an image of {colours.width} x {colours.height} pixels is damaged ({reason(error)}); "
            f"fetch the file again."
        ) from error
    return colours, metadata


def _losses(image: Image.Image, content: bytes) -> Iterator[str]:
    if image.format not in _EXACT_FORMATS:
        yield f"files of the format {image.format} may hold more than is read"
    yield from _conversions(image, content)
    if len(image.info.get("icc_profile") or b"") > MAX_TEXT_CHUNK:
        yield "a colour profile of more than a megabyte"


def _conversions(image: Image.Image, content: bytes) -> Iterator[str]:
    """The changes of reading that cannot be taken back."""
    info = image.info
    pictures = getattr(image, "n_frames", 1) + len(info.get("depth_images", ())) + len(info.get("aux", ()))
    if pictures > 1:
        yield f"{pictures} frames or pages, of which the first is read"
    if len(info.get("sizes", ())) > 1:
        yield f"{len(info['sizes'])} sizes, of which the largest is read"
    bits = _bits_per_value(image, content)
    if bits > 8:
        yield f"{bits} bits per value, reduced to 8"
    if image.mode not in _EXACT_MODES and bits <= 8:
        yield f"{image.mode} colours, converted to RGB"
    if image.mode == "RGB" and any("X" in layout for layout in _layouts(image)):
        yield "a fourth channel without a meaning, left out"


def _bits_per_value(image: Image.Image, content: bytes) -> int:
    if image.mode.startswith("I;16") or any(";16" in layout for layout in _layouts(image)):
        return 16
    if image.mode in ("I", "F"):
        return 32
    if image.format == "PPM" and any(int(n) > 255 for layout in _layouts(image) for n in re.findall(r"\d+", layout)):
        return 16  # The layout holds the largest value if that is not 255.
    marker, offset, difference = _BITS.get(image.format or "", (b"", 0, 0))
    if marker and 0 <= (found := content.find(marker)) < len(content) - offset:
        return content[found + offset] % 128 + difference
    return int(image.info.get("bit_depth", 8))


def _layouts(image: Image.Image) -> list[str]:
    """Pillow's names of the order and the bits of the values in the file."""
    return [str(tile.args) for tile in image.tile] if isinstance(image, ImageFile) else []


def _transparency(image: Image.Image) -> Image.Image | None:
    """The transparency of an image, 255 for opaque pixels, or None if all are opaque."""
    alpha = image.convert("RGBA").getchannel("A")
    alpha.info = {}
    return None if alpha.getextrema() == (255, 255) else alpha


def _metadata(image: Image.Image, content: bytes) -> dict[str, Any]:
    """The options with which Pillow writes the metadata of an image into a PNG of its upright pixels."""
    info, metadata = image.info, dict[str, Any]()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if profile := info.get("icc_profile"):
        metadata["icc_profile"] = profile
    if exif := _exif(image):
        metadata["exif"] = exif
    resolution = tuple(map(float, info.get("dpi", ())))
    # Pillow reports one dot per inch for a TIFF without resolution.
    if len(resolution) == 2 and all(1 < dots < 1e6 for dots in resolution):
        metadata["dpi"] = resolution if orientation < 5 else resolution[::-1]
    texts = PngInfo()
    for kind, data in _chunks(content) if image.format == "PNG" else ():
        if kind in _CHUNKS and not data.startswith((_XMP, _EXIF_TEXT)):
            texts.add(kind, data)
    if xmp := info.get("xmp"):
        texts.add(b"iTXt", _XMP + b"\0\0\0\0" + _XMP_ORIENTATION.sub(rb"\g<1>1", xmp))
    if isinstance(comment := info.get("comment"), bytes):
        texts.add_text("Comment", comment)
    if texts.chunks:
        metadata["pnginfo"] = texts
    return metadata


def _exif(image: Image.Image) -> bytes:
    """The Exif data of an image, or the tags of a TIFF as such, with the orientation of upright pixels."""
    stored = image.info.get("exif")
    if isinstance(stored, bytes):
        return _upright(stored)
    tags, kept = image.getexif(), Image.Exif()
    for tag in tags.keys() - _TIFF_STORAGE:
        kept[tag] = tags.get_ifd(tag) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else tags[tag]
    return kept.tobytes() if kept else b""


def _upright(exif: bytes) -> bytes:
    """Exif data with orientation 1; all other bytes are as they were, because maker's notes hold offsets."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = "<" if exif[start : start + 2] == b"II" else ">"
    try:
        (offset,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + offset)
        for entry in range(start + offset + 2, start + offset + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}HHI", exif, entry) == (ExifTags.Base.Orientation, 3, 1):
                return exif[: entry + 8] + struct.pack(f"{order}H", 1) + exif[entry + 10 :]
    except struct.error:  # Damaged Exif data has no orientation either.
        pass
    return exif


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and data of each chunk of a PNG file."""
    position = 8
    while position + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += length + 12
