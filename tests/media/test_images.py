"""Reading whatever people call an image, and writing ours."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from codeword.errors import CodewordError, DataError, UsageError
from codeword.media.images import MAX_PIXELS, fit, read_image, read_image_size, write_image
from codeword.media.mosaic import mosaic

COLOURS = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))


@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99))
def test_what_is_written_is_read(
    height: int, width: int, channels: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = torch.randint(256, (channels, height, width), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    path = tmp_path_factory.mktemp("images") / "image.png"
    write_image(path, image)
    assert torch.equal(read_image(path), image.expand(3, -1, -1))
    assert read_image_size(path) == (height, width)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7) * 1040)
    elif mode == "PA":
        image = COLOURS.convert("LA").convert("PA")
    else:
        image = COLOURS.convert("L").convert(mode) if mode in ("I", "F") else COLOURS.convert(mode)
    path = tmp_path / "image.tiff"
    image.save(path)
    read = read_image(path)
    assert read.shape == (3, 9, 7)
    assert read.dtype == torch.uint8


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0].tolist() == [[0, 1, 128, 255]]


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "clear.png").flatten().tolist() == [255, 255, 255]


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    COLOURS.save(tmp_path / "turned.png", exif=exif)
    assert read_image(tmp_path / "turned.png").shape == (3, 7, 9)


def test_a_turned_tiff_has_the_size_and_the_pixels_of_a_turned_png(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in (".png", ".tiff"):
        COLOURS.save(tmp_path / f"turned{suffix}", exif=exif)
    assert read_image_size(tmp_path / "turned.tiff") == (7, 9)
    assert read_image(tmp_path / "turned.tiff").equal(read_image(tmp_path / "turned.png"))


def bomb(path: Path, side: int) -> None:
    """A valid PNG of a hundred bytes that claims side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(bytes(10)), b"IEND": b""}
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks.items():
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)


@pytest.mark.parametrize("side", [8001, 12_000, 50_000, 1 << 30])
def test_bombs_are_refused_from_their_header(side: int, tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png", side)
    assert side**2 > MAX_PIXELS
    with pytest.raises(DataError, match=r"bomb\.png has .* more than the 64,000,000"):
        read_image(tmp_path / "bomb.png")


def test_files_that_are_no_images_are_named(tmp_path: Path) -> None:
    COLOURS.resize((64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-2000])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "text.txt"):
        (tmp_path / name).write_text("hello")
    for name, says in {
        "cut.png": "cannot be read as an image",
        "empty.png": "is empty",
        "text.png": "is not an image, in spite of its suffix",
        "text.txt": "is not an image; remove it",
        "gone.png": "There is no file",
    }.items():
        with pytest.raises(DataError, match=f"{name}.*" if name == "gone.png" else f"{name} {says}"):
            read_image(tmp_path / name)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"try \.png"):
        write_image(tmp_path / "image.xyz", image)
    with pytest.raises(UsageError, match="uint8 tensor"):
        write_image(tmp_path / "image.png", image.float())
    with pytest.raises(CodewordError, match="Could not write"):
        write_image(Path("/dev/full/image.png"), image)


@given(height=st.integers(1, 50), width=st.integers(1, 50), size=st.integers(1, 40))
def test_fit_gives_the_central_square(height: int, width: int, size: int) -> None:
    image = torch.full((3, height, width), 7, dtype=torch.uint8)
    fitted = fit(image, size)
    assert fitted.shape == (3, size, size)
    assert fitted.unique().tolist() == [7]
    drawn = fit(image, size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, fitted)


@given(count=st.integers(1, 12), columns=st.one_of(st.none(), st.integers(1, 5)))
def test_a_mosaic_holds_every_image(count: int, columns: int | None) -> None:
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 4, 5)
    sheet = mosaic(images, columns=columns)
    assert set(range(count)) <= set(sheet.unique().tolist())
    assert all(int((sheet == i).sum()) == 60 for i in range(count))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_values_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, value]], dtype=np.float32)).save(tmp_path / "bad.tiff")
    with pytest.raises(DataError, match="it holds values that are not finite"):
        read_image(tmp_path / "bad.tiff")


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
@pytest.mark.parametrize("value", [-7, 0, 1e-30, 70_000, 3e38])
def test_pictures_of_one_value_are_read(value: float, size: tuple[int, int], dtype: type, tmp_path: Path) -> None:
    value = value if dtype is np.float32 else np.clip(value, -(1 << 31), (1 << 31) - 1)
    Image.fromarray(np.full(size, value, dtype)).save(tmp_path / "flat.tiff")
    assert read_image(tmp_path / "flat.tiff").unique().tolist() == [0]
