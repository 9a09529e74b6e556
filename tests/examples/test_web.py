"""The example of a page that encodes and decodes pictures in the browser computes what the model computes."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from math import log10
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect
from tiny.browser import accessible, idle, needs_browser, opened
from tiny.http_server import QuietHandler, serving

import codeword
from codeword.cli import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "web"

PIXELS = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""

pytestmark = needs_browser


class Files(QuietHandler, SimpleHTTPRequestHandler):
    """Sends files, as `python -m http.server` does."""


@contextmanager
def served(folder: Path) -> Iterator[Page]:
    """The page of a folder."""
    with serving(partial(Files, directory=str(folder))) as address, opened(address) as page:
        yield page


def copied(folder: Path) -> Path:
    """The example's own files, without what its README's commands add."""
    return Path(shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model", "node_modules")))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with the packages of its package-lock.json."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed; on Debian: apt-get install npm")
    if subprocess.run([npm, "ping"], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm does not reach its registry")
    folder = copied(tmp_path_factory.mktemp("web") / "web")
    subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--prefix", folder], check=True, timeout=300)
    return folder


def pixels(page: Page, canvas: str) -> np.ndarray:
    """Pixels (height, width, 3) of a canvas."""
    height, width = page.eval_on_selector(canvas, "(canvas) => [canvas.height, canvas.width]")
    return np.array(page.eval_on_selector(canvas, PIXELS)).reshape(height, width, 4)[..., :3]


@pytest.mark.slow
def test_codes_and_reconstruction_are_those_of_the_model(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx: pip install codeword[onnx]")
    pytest.importorskip("onnxscript", reason="needs the extra onnx: pip install codeword[onnx]")
    app(["export", "images", "--out", str(installed / "model"), "--onnx"], result_action="return_value")
    tokenizer = codeword.load("images").tokenizer
    # No multiple of the hop, 4.
    height, width = 51, 70
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(tmp_path / "photo.png")
    with served(installed) as page:
        page.set_input_files("#file", tmp_path / "photo.png")
        expect(page.locator("#result")).to_be_visible()
        idle(page)
        x = codeword.read(tmp_path / "photo.png")[None]
        assert (pixels(page, "#original") == x[0].permute(1, 2, 0).numpy()).all()

        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "codes.npy")
        codes = torch.from_numpy(np.load(tmp_path / "codes.npy"))
        assert torch.equal(codes, tokenizer.encode(x)[0])

        found = pixels(page, "#reconstruction")
        expected = tokenizer.decode(codes[None], size=(height, width))[0].permute(1, 2, 0).clamp(0, 255).numpy()
        assert np.abs(found - expected).max() <= 1
        psnr_db = 10 * log10(255**2 / ((found - pixels(page, "#original")) ** 2).mean())
        expect(page.locator("#quality")).to_have_text(f"Reconstruction, {psnr_db:.2f} dB PSNR")
        expect(page.locator("#facts")).to_contain_text("18 × 13 cells with codes of 2,106 bits")

        page.locator("#map").focus()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#cell")).to_have_text(f"Row 1, column 0: code {int(codes[1, 0, 0])}")
        box = page.locator("#map").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 17.5 / 18, box["y"] + box["height"] * 12.5 / 13)
        expect(page.locator("#cell")).to_have_text(f"Row 12, column 17: code {int(codes[12, 17, 0])}")
        accessible(page)

        Image.new("RGB", (300, 40)).save(tmp_path / "wide.png")
        page.set_input_files("#file", tmp_path / "wide.png")
        expect(page.locator("#facts")).to_contain_text("256 × 34 pixels")

        (tmp_path / "broken.png").write_bytes(b"no picture")
        page.set_input_files("#file", tmp_path / "broken.png")
        expect(page.locator("#error")).to_have_text("broken.png is not a picture that this browser can read.")


@pytest.mark.slow
def test_a_missing_model_is_said(installed: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path / "web")
    (folder / "node_modules").symlink_to(installed / "node_modules")
    with served(folder) as page:
        expect(page.locator("#error")).to_contain_text("model/config.json is missing; export a model")


def test_a_missing_runtime_is_said(tmp_path: Path) -> None:
    with served(copied(tmp_path / "web")) as page:
        expect(page.locator("#error")).to_contain_text("onnxruntime-web is missing; run “npm install”")
        accessible(page)
