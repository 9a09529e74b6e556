"""Pictures of every mode and format through compressed files: what comes back, what is refused, what is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from tiny.cli import run_cli
from tiny.codec_models import GRID, model
from tiny.pictures import PICTURES, PROFILE, RGB

import codeword
from codeword.config import PixelCNNConfig, PriorModelConfig
from codeword.model import Model
from codeword.priors import build_prior


@pytest.fixture(scope="module")
def exact_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "exact"
    tokenizer = model(2, "uniform", likelihood="categorical").tokenizer
    # A small grid, and with it small blocks, because these pictures are small.
    prior = PriorModelConfig(
        architecture=PixelCNNConfig(layers=1, width=4, head_width=4),
        grid=GRID[2],
        codebook_sizes=tokenizer.quantizer.codebook_sizes,
    )
    Model(tokenizer, build_prior(prior).eval()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The path of each picture; each is in a folder of its own, because only the suffixes of some names differ."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = {name: folder / name.replace(".", "-") / name for name in PICTURES}
    for name, path in paths.items():
        path.parent.mkdir()
        PICTURES[name].save(path)
    return paths


def compressed(paths: Any, out: Path, model: Path, *, lossless: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The results of compression, and the messages of failures."""
    done = codeword.compress(paths, out, model=model, lossless=lossless)
    return done.results[str(out)], done.failures


def test_lossless_files_keep_or_refuse_every_picture(
    pictures: dict[str, Path], exact_model: Path, tmp_path: Path
) -> None:
    folder = pictures["RGB.png"].parents[1]
    results, failures = compressed(folder, tmp_path / "all.cw", exact_model, lossless=True)
    assert set(failures) == {str(path) for name, path in pictures.items() if not PICTURES[name].exact}
    assert results["notes"] == {}
    assert not codeword.decompress(tmp_path / "all.cw", tmp_path / "back", model=exact_model).failures
    for name, path in pictures.items():
        if PICTURES[name].exact:
            back = tmp_path / "back" / path.relative_to(folder).with_suffix(".png")
            with Image.open(path) as before, Image.open(back) as after:
                expected = np.asarray(ImageOps.exif_transpose(before).convert("RGBA"))
                assert np.array_equal(np.asarray(after.convert("RGBA")), expected), name
                if name.startswith("metadata"):
                    assert after.info["icc_profile"] == PROFILE
                    assert after.getexif()[0x10F] == "Maker"


def test_lossy_files_say_once_what_they_leave_out(pictures: dict[str, Path], exact_model: Path, tmp_path: Path) -> None:
    folder = pictures["RGB.png"].parents[1]
    results, failures = compressed(folder, tmp_path / "all.cw", exact_model, lossless=False)
    assert not failures
    assert results["notes"] == {
        str(path): list(PICTURES[name].notes) for name, path in sorted(pictures.items()) if PICTURES[name].notes
    }


def test_a_smaller_format_is_named(exact_model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (80, 80), "red").save(tmp_path / "flat.png")
    RGB.save(tmp_path / "noise.png")
    paths = [tmp_path / "flat.png", tmp_path / "noise.png"]
    results, _ = compressed(paths, tmp_path / "both.cw", exact_model, lossless=True)
    ((format, size),) = results["smaller_as"].items()
    for path in paths:
        with Image.open(path) as image:
            image.save(path.with_suffix(".webp"), lossless=True, exact=True)
    webp = sum(path.with_suffix(".webp").stat().st_size for path in paths)
    assert (format, size) == ("WebP", webp)
    assert size < results["bytes"]
    results, _ = compressed(paths, tmp_path / "lossy.cw", exact_model, lossless=False)
    assert "smaller_as" not in results


def test_the_command_prints_notes_and_names_formats_in_folders(
    exact_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    PICTURES["RGBA.png"].save(folder / "a.png")
    (folder / "drawing.svg").write_text("<svg/>")
    assert run_cli("compress", folder, "--out", tmp_path / "a.cw", "--model", exact_model, "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["results"][str(tmp_path / "a.cw")]["notes"] == {
        str(folder / "a.png"): ["transparency laid over white"]
    }
    assert list(printed["failures"]) == [str(folder / "drawing.svg")]
    assert "is SVG, which cannot be read" in printed["failures"][str(folder / "drawing.svg")]
