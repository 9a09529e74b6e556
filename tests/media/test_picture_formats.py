"""Pictures of every mode and format: what is read of them, what compression notes, and what a lossless file keeps."""

import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from tiny.codec_models import model
from tiny.pictures import ALPHA, PICTURES, PIXELS, PROFILE, RGB, RGBA, XMP, exif

from codeword.errors import DataError
from codeword.media import MEDIA, extras, images, medium_of_files
from codeword.media.images import read_image, read_image_size

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x[::-1].swapaxes(0, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x[:, ::-1].swapaxes(0, 1),
}
"""The upright picture of one stored with an orientation of Exif."""

MEDIUM = MEDIA["images"]
CONFIG = model(2, "uniform").tokenizer.config


def restored(path: Path) -> Image.Image:
    """The picture that a lossless file of this picture gives."""
    side = MEDIUM.side(path, CONFIG)
    out = path.with_name("restored.png")
    found = list[str]()
    MEDIUM.write(out, MEDIUM.read_lossless(path, CONFIG, found), CONFIG, side=side)
    assert not found, "nothing is lost"
    with Image.open(out) as image:
        image.load()
    return image


@pytest.mark.parametrize("name", PICTURES)
def test_reading_gives_the_picture_and_says_what_it_leaves_out(name: str, tmp_path: Path) -> None:
    picture, path = PICTURES[name], tmp_path / name
    picture.save(path)
    white = Image.new("RGBA", picture.expected.size, "white")
    expected = np.asarray(Image.alpha_composite(white, picture.expected.convert("RGBA")).convert("RGB"), int)
    found = ["of an earlier reading"]
    (read,) = MEDIUM.read(path, CONFIG, found)
    assert read_image_size(path) == read.shape[1:] == expected.shape[:2]
    assert np.abs(read.permute(1, 2, 0).numpy() - expected).max() <= picture.tolerance
    assert tuple(found) == picture.notes


def test_damage_after_the_first_page_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    RGB.save(path, save_all=True, append_images=[RGB])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - RGB.width * RGB.height * 3 - 20])
    found = list[str]()
    (read,) = MEDIUM.read(path, CONFIG, found)
    assert np.array_equal(read.permute(1, 2, 0).numpy(), PIXELS)
    assert found == ["left out: other parts of the file, which are damaged"]


@pytest.mark.parametrize("name", [name for name, picture in PICTURES.items() if picture.exact])
def test_lossless_keeps_colours_and_transparency(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    PICTURES[name].save(path)
    with Image.open(path) as original:
        expected = np.asarray(ImageOps.exif_transpose(original).convert("RGBA"))
    assert np.array_equal(np.asarray(restored(path).convert("RGBA")), expected)


@pytest.mark.parametrize("name", [name for name, picture in PICTURES.items() if not picture.exact])
def test_lossless_refuses_by_name_what_it_cannot_keep(name: str, tmp_path: Path) -> None:
    picture, path = PICTURES[name], tmp_path / name
    picture.save(path)
    with pytest.raises(DataError) as error:
        MEDIUM.side(path, CONFIG)
    assert str(error.value).startswith(f"{path} cannot be kept exactly (")
    assert (picture.notes[0] if picture.notes else "files of the format SGI may hold more than is read") in str(
        error.value
    )


def test_lossless_refuses_a_colour_profile_that_no_png_is_read_with(tmp_path: Path) -> None:
    RGB.save(tmp_path / "large.jpg", icc_profile=bytes(2_000_000))
    with pytest.raises(DataError, match="a colour profile of more than a megabyte"):
        MEDIUM.side(tmp_path / "large.jpg", CONFIG)


def test_the_bits_of_avif_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    RGB.save(path)
    content = path.read_bytes()
    for bits in (8, 10, 12):
        # The property "pixi": its version, the number of channels, and the bits of each.
        path.write_bytes(content.replace(b"pixi\0\0\0\0\3\10\10\10", b"pixi\0\0\0\0\3" + bytes([bits] * 3)))
        with Image.open(io.BytesIO(content)) as image:
            assert extras.notes(image, path) == ((f"{bits} bits per value, reduced to 8",) if bits > 8 else ())


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("metadata.png", {"icc_profile", "exif", "dpi", "xmp", "gamma", "Title"}),
        ("metadata.jpg", {"icc_profile", "exif", "dpi", "xmp", "Comment"}),
        ("metadata.webp", {"icc_profile", "exif", "xmp"}),
        ("metadata.tiff", {"icc_profile", "exif", "dpi"}),
    ],
)
def test_lossless_keeps_metadata(name: str, has: set[str], tmp_path: Path) -> None:
    path = tmp_path / name
    PICTURES[name].save(path)
    info = restored(path).info
    assert set(info) - {"XML:com.adobe.xmp"} == has
    expected: dict[str, Any] = {"icc_profile": PROFILE, "xmp": XMP, "gamma": 0.45455, "Title": "a title"}
    expected |= {"Comment": "a comment", "dpi": pytest.approx((300, 200), abs=0.01)}
    assert {key: info[key] for key in has - {"exif"}} == {key: expected[key] for key in has - {"exif"}}
    tags = Image.Exif()
    tags.load(info["exif"])
    assert tags[0x10F] == "Maker"
    assert tags.get_ifd(0x8769) == {0x9003: "2020:02:02 02:02:02", 0x927C: b"maker's note"}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_come_back_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"turned.{suffix}"
    RGBA.save(path, exif=exif(orientation), dpi=(300, 200), lossless=True, exact=True)
    upright = TURNS[orientation](np.asarray(RGBA))
    assert read_image_size(path) == read_image(path).shape[1:] == upright.shape[:2]
    found = restored(path)
    assert np.array_equal(np.asarray(found), upright)
    assert found.getexif().get(0x112, 1) == 1
    assert found.getexif()[0x10F] == "Maker"
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(found)), upright)
    if suffix != "webp":
        assert found.info["dpi"] == pytest.approx((300, 200) if orientation < 5 else (200, 300), abs=0.01)


def test_exif_data_changes_in_its_orientation_only(tmp_path: Path) -> None:
    for orientation in (1, 6):
        RGB.save(tmp_path / "a.jpg", exif=exif(orientation))
        assert restored(tmp_path / "a.jpg").info["exif"] == exif(1)


def test_an_orientation_in_xmp_is_kept_as_upright(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6" a="2"/>')
    RGB.save(tmp_path / "a.png", pnginfo=text)
    found = restored(tmp_path / "a.png")
    assert found.size == RGB.size[::-1]
    assert found.info["xmp"] == b'<x tiff:Orientation="1" a="2"/>'


def test_colours_below_full_transparency_are_kept(tmp_path: Path) -> None:
    RGBA.save(tmp_path / "a.png")
    assert (ALPHA == 0).any()
    assert np.array_equal(np.asarray(restored(tmp_path / "a.png")), np.dstack([PIXELS, ALPHA]))


def test_side_data_of_a_stranger_is_refused(tmp_path: Path) -> None:
    RGBA.save(tmp_path / "a.png")
    (name, content), *_ = MEDIUM.side(tmp_path / "a.png", CONFIG).items()
    other = torch.zeros(3, 5, 5, dtype=torch.uint8)
    for damaged, says in {content: "its transparency has 7 x 9 pixels", content[:60]: "", b"hello": ""}.items():
        with pytest.raises(DataError, match=f"of 5 x 5 pixels is damaged .*{says}"):
            MEDIUM.write(tmp_path / "out.png", [other], CONFIG, side={name: damaged})
    assert not (tmp_path / "out.png").exists()


def test_the_sizes_in_other_formats_are_those_of_their_files(tmp_path: Path) -> None:
    path = tmp_path / "metadata.png"
    PICTURES["metadata.png"].save(path)
    RGB.save(tmp_path / "plain.png")
    sizes = MEDIUM.lossless_sizes(path, CONFIG)
    assert sizes["PNG"] == (tmp_path / "plain.png").stat().st_size
    assert sizes.keys() == {"PNG", "WebP"}


@pytest.mark.parametrize("name", ["photo.heic", "named wrongly.jpg"])
def test_heic_is_read_with_its_extra_and_named_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs codeword[heic]")
    smooth = Image.linear_gradient("L").resize((32, 24)).convert("RGB")
    heif.from_pillow(smooth).save(tmp_path / "photo.heic", quality=95, exif=exif(3))
    (tmp_path / "photo.heic").rename(tmp_path / name)
    assert (
        read_image(tmp_path / name).permute(1, 2, 0).float() - torch.from_numpy(np.array(smooth.rotate(180)))
    ).abs().max() < 8
    assert MEDIUM.side(tmp_path / name, CONFIG)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF")
    without = runpy.run_path(str(images.__file__))
    with pytest.raises(DataError, match=rf"{name} is HEIC, which cannot be read; .*pip install 'codeword\[heic\]'"):
        without["read_image"](tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "says"), [(".svg", "is SVG"), (".jxl", "is JPEG XL"), (".nef", "is the raw data of")]
)
def test_formats_that_are_not_read_are_named(suffix: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    RGB.save(path, "TIFF")
    with pytest.raises(DataError, match=rf"{says}.* cannot be read; .*\(PNG, JPEG, WebP, .* are read\)"):
        read_image(path)


def test_formats_that_are_not_read_do_not_mix_media() -> None:
    assert medium_of_files([Path("a.svg"), Path("b.wav")]).name == "audio"
    assert medium_of_files([Path("a.svg")]).name == "images"
