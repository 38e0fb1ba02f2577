"""`make screenshots`: the page of the worked example in a headless Chromium, into docs/."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.live import served

_CHROMIUM = "/usr/bin/chromium"
_DOCS = Path(__file__).resolve().parent.parent / "docs"
_WIDE, _PHONE = (1100, 800), (390, 800)


def _open(browser: Browser, url: str, scheme: Literal["light", "dark"], size: tuple[int, int]) -> Page:
    page = browser.new_page(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    return page


def _predicted(page: Page) -> None:
    page.click("#send")
    page.wait_for_selector(".value")


def _draw(browser: Browser, url: str) -> None:
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page = _open(browser, url, scheme, _WIDE)
        _predicted(page)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=_DOCS / f"page-{scheme}.png")
    page = _open(browser, url, "light", _WIDE)
    page.get_by_label("hour").fill("noon")
    page.click("#send")
    page.wait_for_selector("[aria-invalid]")
    page.screenshot(path=_DOCS / "page-error.png")
    page = _open(browser, url, "light", _PHONE)
    _predicted(page)
    page.evaluate("document.querySelector('.answer').scrollIntoView({block: 'center'})")
    page.screenshot(path=_DOCS / "page-phone.png")


def main() -> None:
    """Write page-light.png, page-dark.png, page-error.png and page-phone.png."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), WEB_CONCURRENCY="1") as service,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        _draw(browser, service.url)
        browser.close()


if __name__ == "__main__":
    main()
