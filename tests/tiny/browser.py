"""A page in a headless browser that is really there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium is installed; on Debian: apt-get install chromium"
)


@contextmanager
def opened(address: str) -> Iterator[Page]:
    """The page at `address`. An error that its scripts do not catch fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        expect.set_options(timeout=120_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        yield page
        browser.close()
    assert problems == []


def idle(page: Page) -> None:
    """Wait until the page has done what it was asked for."""
    expect(page.locator("body")).not_to_have_attribute("aria-busy", "true")


def accessible(page: Page) -> None:
    """Check the page as it is now by the rules of axe."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
