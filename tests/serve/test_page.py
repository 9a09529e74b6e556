"""The page in a real browser: a person opens a picture and a recording, changes codes, draws, and saves."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from PIL import Image
from playwright.sync_api import Page, expect
from tiny.browser import accessible, idle, needs_browser, opened

import codeword
from codeword.serve.app import build_app
from codeword.serve.workbench import Workbench

DURATIONS = """() => Promise.all([...document.querySelectorAll("#signals audio")].map((sound) => new Promise((done) =>
    sound.readyState > 0 ? done(sound.duration) : (sound.onloadedmetadata = () => done(sound.duration)))))"""
"""The seconds of each player, once it knows them."""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    benches = [Workbench(name, codeword.load(name)) for name in ("images", "speech")]
    server = uvicorn.Server(uvicorn.Config(build_app(benches), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    with opened(address) as page:
        page.wait_for_selector("html[data-ready=yes]")
        yield page


def test_a_picture_is_looked_at_changed_drawn_anew_and_saved(page: Page, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((64, 48)).save(photo)
    page.set_input_files("#file", photo)
    expect(page.locator("#signals figure")).to_have_count(3)
    idle(page)
    expect(page.locator("#facts")).to_contain_text("12 × 16 cells")
    expect(page.locator("#signals figcaption").nth(2)).to_contain_text("dB PSNR")
    before = page.locator("#signals img").nth(1).get_attribute("src")

    page.locator("#map").click(position={"x": 5, "y": 5})
    expect(page.locator("#cell-facts")).to_contain_text("Cell 0, 0: codeword")
    expect(page.locator("#cell-signal img")).to_be_visible()
    page.fill("#codeword", "600")
    page.click("#set")
    expect(page.locator("#error")).to_have_text("The codewords of this code are 0 to 511.")
    page.fill("#codeword", "7")
    page.click("#set")
    expect(page.locator("#cell-facts")).to_contain_text("codeword 7,")
    idle(page)
    assert page.locator("#signals img").nth(1).get_attribute("src") != before

    page.check("#brush")
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 60, steps=10)
    page.mouse.up()
    page.click("#redraw")
    idle(page)
    expect(page.locator("#redraw")).to_be_disabled()
    accessible(page)

    with page.expect_download() as download:
        page.click("#save-cw")
    download.value.save_as(tmp_path / "page.cw")
    codeword.compress([photo], tmp_path / "own.cw")
    assert (tmp_path / "page.cw").read_bytes() == (tmp_path / "own.cw").read_bytes()


def test_samples_are_drawn_and_opened(page: Page) -> None:
    page.select_option("#class", "7")
    page.click("#sample")
    expect(page.locator("#samples img")).to_have_count(1)
    assert page.input_value("#seed") == "1"
    page.click("#samples button")
    expect(page.locator("#facts")).to_contain_text("8 × 8 cells")
    idle(page)


def test_a_recording_is_heard_at_every_rate(page: Page, tmp_path: Path) -> None:
    voice = tmp_path / "voice.wav"
    soundfile.write(voice, np.random.default_rng(0).uniform(-0.1, 0.1, 12_000), 16_000)
    page.select_option("#model", "speech")
    page.set_input_files("#file", voice)
    expect(page.locator("#signals audio")).to_have_count(8)
    idle(page)
    assert page.evaluate(DURATIONS) == pytest.approx([0.75] * 8, abs=1e-3)
    page.select_option("#keep", "1")
    expect(page.locator("#signals audio")).to_have_count(2)
    idle(page)
    expect(page.locator("#facts")).to_contain_text("bit/s")
    page.select_option("#show", "bits")
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cell-facts")).to_contain_text("Cell 1: codeword")
    expect(page.locator("#cell-signal audio")).to_be_visible()
    accessible(page)


def test_what_the_server_refuses_is_said(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#file", broken)
    expect(page.locator("#error")).to_contain_text("The file")
    expect(page.locator("#work")).to_be_hidden()
