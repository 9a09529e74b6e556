"""Pictures of all modes and formats, made by Pillow or byte by byte, with what reading each must give."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

_GENERATOR = np.random.default_rng(0)
PIXELS = _GENERATOR.integers(0, 256, (9, 7, 3), dtype=np.uint8)
ALPHA = _GENERATOR.integers(0, 3, (9, 7), dtype=np.uint8) * 127
RGB = Image.fromarray(PIXELS)
RGBA = Image.fromarray(np.dstack([PIXELS, ALPHA]))
GREY, PALETTE = RGB.convert("L"), RGB.convert("P")
DEEP = np.arange(63, dtype=np.uint16).reshape(9, 7) * 1040
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'

OVER_WHITE = "transparency laid over white"
LEFT_OUT = "left out: "
FRAMES = "2 frames or pages, of which the first is read"
_COMMENT = f"{LEFT_OUT}texts and other metadata"
DEEP_NOTE = "16 bits per value, reduced to 8"


@dataclass(frozen=True)
class Picture:
    """A file that is tried: how it is made, the picture in it, what compression notes, and if it can be kept exactly.

    The values that are read differ from `expected`, laid over white, by at most `tolerance`. The first note of a file
    that is not exact is the reason why lossless compression refuses it.
    """

    save: Callable[[Path], Any]
    expected: Image.Image
    notes: tuple[str, ...] = ()
    exact: bool = True
    tolerance: float = 0


def exif(orientation: int | None = None) -> bytes:
    """Exif data with tags of the camera and of the photo."""
    tags = Image.Exif()
    tags[0x10F] = "Maker"
    if orientation is not None:
        tags[0x112] = orientation
    tags.get_ifd(0x8769).update({0x9003: "2020:02:02 02:02:02", 0x927C: b"maker's note"})
    return tags.tobytes()


def _text() -> PngInfo:
    text = PngInfo()
    text.add_text("Title", "a title")
    text.add_itxt("XML:com.adobe.xmp", XMP)
    text.add(b"gAMA", struct.pack(">I", 45455))
    return text


def _saved(image: Image.Image, **options: Any) -> Callable[[Path], Any]:
    return lambda path: image.save(path, **options)


def _png(colour_type: int, *, bits: int, rows: np.ndarray) -> Callable[[Path], Any]:
    """A PNG of kinds that Pillow does not write."""
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour_type, 0, 0, 0)
    content = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(content), b"IEND": b""}
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )
    return lambda path: path.write_bytes(png)


def _ppm(header: bytes, values: np.ndarray, kind: str = ">u2") -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(header + values.astype(kind).tobytes())


def _lab() -> Image.Image:
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(RGB, *profiles, outputMode="LAB")
    assert converted is not None
    return converted


def _palette_with_alpha() -> Image.Image:
    image = PALETTE.convert("PA")
    image.putalpha(Image.fromarray(ALPHA))
    return image


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _stretched(values: np.ndarray) -> Image.Image:
    return _grey((values - values.min()) * 255.0 / (values.max() - values.min()))


_WIDE = np.dstack([DEEP, DEEP[::-1], DEEP.T.reshape(9, 7)])
_FLOATS = (_GENERATOR.random((9, 7), dtype=np.float32) - 0.5) * 3
_TURNED = RGB.rotate(180)
INDICES = np.asarray(PALETTE)
_ALPHA_OF_INDEX = np.where(INDICES[0, 0] == INDICES, 0, 255).astype(np.uint8)
_KEYED = tuple(PIXELS[2, 3].tolist())
_ALPHA_OF_KEY = np.where((PIXELS[2, 3] == PIXELS).all(-1), 0, 255).astype(np.uint8)
_SMOOTH = Image.linear_gradient("L").resize((32, 24)).convert("RGB")
_SMOOTH_ALPHA = _SMOOTH.copy()
_SMOOTH_ALPHA.putalpha(Image.linear_gradient("L").resize((24, 32)).rotate(90, expand=True).resize((32, 24)))
_METADATA = {"exif": exif(), "icc_profile": PROFILE, "dpi": (300, 200)}
_TWO = {"save_all": True, "append_images": [_TURNED]}

PICTURES = {
    # Modes
    "1.png": Picture(_saved(RGB.convert("1")), RGB.convert("1")),
    "L.png": Picture(_saved(GREY), GREY),
    "L-4-bits.png": Picture(_saved(GREY.point(lambda v: v // 16 * 17), bits=4), GREY.point(lambda v: v // 16 * 17)),
    "L-key.png": Picture(
        _saved(Image.fromarray(ALPHA), transparency=127),
        Image.merge("LA", [Image.fromarray(ALPHA), Image.fromarray(((ALPHA != 127) * 255).astype(np.uint8))]),
        (OVER_WHITE,),
    ),
    "LA.png": Picture(_saved(RGBA.convert("LA")), RGBA.convert("LA"), (OVER_WHITE,), tolerance=1),
    "P.png": Picture(_saved(PALETTE), PALETTE),
    "P-alpha.png": Picture(
        _saved(PALETTE, transparency=bytes(range(256))),
        Image.merge("RGBA", [*PALETTE.convert("RGB").split(), Image.fromarray(np.asarray(PALETTE))]),
        (OVER_WHITE,),
        tolerance=1,
    ),
    "PA.tiff": Picture(_saved(_palette_with_alpha()), _palette_with_alpha(), (OVER_WHITE,), tolerance=1),
    "RGB.png": Picture(_saved(RGB), RGB),
    "RGB-key.png": Picture(
        _saved(RGB, transparency=_KEYED), Image.fromarray(np.dstack([PIXELS, _ALPHA_OF_KEY])), (OVER_WHITE,)
    ),
    "RGBA.png": Picture(_saved(RGBA), RGBA, (OVER_WHITE,), tolerance=1),
    "RGBA-opaque.png": Picture(_saved(RGB.convert("RGBA")), RGB),
    "RGBX.tiff": Picture(
        _saved(RGB.convert("RGBX")), RGB, ("a fourth channel without a meaning, left out",), exact=False
    ),
    "CMYK.tiff": Picture(
        _saved(RGB.convert("CMYK")), RGB.convert("CMYK"), ("CMYK colours, converted to RGB",), exact=False
    ),
    "YCbCr.tiff": Picture(
        _saved(RGB.convert("YCbCr")), RGB.convert("YCbCr"), ("YCbCr colours, converted to RGB",), exact=False
    ),
    "LAB.tiff": Picture(
        _saved(_lab()), _lab(), ("LAB colours, converted to RGB", f"{LEFT_OUT}colour profile"), exact=False
    ),
    "I16.png": Picture(_saved(Image.fromarray(DEEP)), _grey(DEEP / 257), (DEEP_NOTE,), exact=False),
    "I16.tiff": Picture(_saved(Image.fromarray(DEEP)), _grey(DEEP / 257), (DEEP_NOTE,), exact=False),
    "I16.pgm": Picture(_saved(Image.fromarray(DEEP)), _grey(DEEP / 257), (DEEP_NOTE,), exact=False),
    "I16.jp2": Picture(_saved(Image.fromarray(DEEP)), _grey(DEEP / 257), (DEEP_NOTE, _COMMENT), exact=False),
    "LA16.png": Picture(
        _png(4, bits=16, rows=np.dstack([DEEP, DEEP * 0 + 65535])),
        _grey(DEEP // 256),
        (DEEP_NOTE,),
        exact=False,
        tolerance=1,
    ),
    "RGB16.png": Picture(
        _png(2, bits=16, rows=_WIDE), Image.fromarray((_WIDE >> 8).astype(np.uint8)), (DEEP_NOTE,), exact=False
    ),
    "RGB16.ppm": Picture(
        _ppm(b"P6 7 9 65535\n", _WIDE),
        Image.fromarray(np.rint(_WIDE / 257).astype(np.uint8)),
        (DEEP_NOTE,),
        exact=False,
    ),
    "I.tiff": Picture(
        _saved(Image.fromarray(DEEP.astype(np.int32) * 1000 - 7)),
        _stretched(DEEP.astype(np.float64)),
        ("32 bits per value, reduced to 8",),
        exact=False,
        tolerance=1,
    ),
    "F.tiff": Picture(
        _saved(Image.fromarray(_FLOATS)), _stretched(_FLOATS), ("32 bits per value, reduced to 8",), exact=False
    ),
    "F-constant.tiff": Picture(
        _saved(Image.fromarray(np.full((9, 7), 0.3, np.float32))),
        Image.new("L", (7, 9), 0),
        ("32 bits per value, reduced to 8",),
        exact=False,
    ),
    "I-constant.tiff": Picture(
        _saved(Image.fromarray(np.full((1, 1), -5, np.int32))),
        Image.new("L", (1, 1), 0),
        ("32 bits per value, reduced to 8",),
        exact=False,
    ),
    # Formats
    "animated.png": Picture(_saved(RGB, **_TWO), RGB, (FRAMES,), exact=False),
    "small.jpg": Picture(_saved(_SMOOTH, quality=95), _SMOOTH, tolerance=4),
    "CMYK.jpg": Picture(
        _saved(_SMOOTH.convert("CMYK"), quality=95),
        _SMOOTH,
        ("CMYK colours, converted to RGB",),
        exact=False,
        tolerance=8,
    ),
    "two.mpo": Picture(
        _saved(_SMOOTH, quality=95, save_all=True, append_images=[_SMOOTH]),
        _SMOOTH,
        (FRAMES,),
        exact=False,
        tolerance=4,
    ),
    "lossy.webp": Picture(_saved(_SMOOTH, quality=95), _SMOOTH, tolerance=8),
    "lossy-alpha.webp": Picture(_saved(_SMOOTH_ALPHA, quality=95), _SMOOTH_ALPHA, (OVER_WHITE,), tolerance=8),
    "lossless.webp": Picture(_saved(RGB, lossless=True), RGB),
    "lossless-alpha.webp": Picture(_saved(RGBA, lossless=True, exact=True), RGBA, (OVER_WHITE,), tolerance=1),
    "animated.webp": Picture(_saved(RGB, lossless=True, **_TWO), RGB, (FRAMES,), exact=False),
    "plain.gif": Picture(_saved(PALETTE), PALETTE),
    "transparent.gif": Picture(
        _saved(PALETTE, transparency=int(INDICES[0, 0])),
        Image.merge("RGBA", [*PALETTE.convert("RGB").split(), Image.fromarray(_ALPHA_OF_INDEX)]),
        (OVER_WHITE,),
    ),
    "animated.gif": Picture(
        _saved(PALETTE, save_all=True, append_images=[PALETTE.rotate(180)]), PALETTE, (FRAMES,), exact=False
    ),
    "pages.tiff": Picture(_saved(RGB, **_TWO), RGB, (FRAMES,), exact=False),
    "lzw.tiff": Picture(_saved(RGB, compression="tiff_lzw"), RGB),
    "plain.bmp": Picture(_saved(RGB), RGB, (f"{LEFT_OUT}resolution",)),
    "32-bits.bmp": Picture(
        _saved(RGBA), RGB, ("a fourth channel without a meaning, left out", f"{LEFT_OUT}resolution"), exact=False
    ),
    "one.ico": Picture(
        _saved(RGBA.resize((16, 16), 0), sizes=[(16, 16)]), RGBA.resize((16, 16), 0), (OVER_WHITE,), tolerance=1
    ),
    "sizes.ico": Picture(
        _saved(RGB.resize((32, 32), 0), sizes=[(16, 16), (32, 32)]),
        RGB.resize((32, 32), 0),
        ("2 sizes, of which the largest is read",),
        exact=False,
    ),
    "RGB.tga": Picture(_saved(RGB), RGB),
    "RGBA.tga": Picture(_saved(RGBA), RGBA, (OVER_WHITE,), tolerance=1),
    "100-values.ppm": Picture(
        _ppm(b"P6 7 9 100\n", PIXELS // 3, "u1"),
        Image.fromarray(np.rint(PIXELS // 3 * 2.55 - 1e-6).astype(np.uint8)),
        tolerance=1,
    ),
    "RGB.ppm": Picture(_saved(RGB), RGB),
    "L.pgm": Picture(_saved(GREY), GREY),
    "1.pbm": Picture(_saved(RGB.convert("1")), RGB.convert("1")),
    "RGBA.qoi": Picture(_saved(RGBA), RGBA, (OVER_WHITE,), tolerance=1),
    "RGB.pcx": Picture(_saved(RGB), RGB, (f"{LEFT_OUT}resolution",)),
    "RGB.jp2": Picture(_saved(RGB), RGB, (_COMMENT,)),
    "RGB.sgi": Picture(_saved(RGB), RGB, exact=False),
    "lossless.avif": Picture(_saved(_SMOOTH, quality=100), _SMOOTH, tolerance=8),
    # Metadata
    "metadata.png": Picture(
        _saved(RGB, pnginfo=_text(), **_METADATA),
        RGB,
        (f"{LEFT_OUT}colour profile, Exif data, resolution, texts and other metadata",),
    ),
    "metadata.jpg": Picture(
        _saved(_SMOOTH, comment=b"a comment", xmp=XMP, quality=95, **_METADATA),
        _SMOOTH,
        (f"{LEFT_OUT}colour profile, Exif data, resolution, texts and other metadata",),
        tolerance=4,
    ),
    "metadata.webp": Picture(
        _saved(RGBA, lossless=True, exact=True, xmp=XMP, **_METADATA),
        RGBA,
        (OVER_WHITE, f"{LEFT_OUT}colour profile, Exif data, texts and other metadata"),
        tolerance=1,
    ),
    "metadata.tiff": Picture(_saved(RGB, **_METADATA), RGB, (f"{LEFT_OUT}colour profile, Exif data, resolution",)),
}
