"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from skdeploy.api_keys import line_for, new_key
from skdeploy.model import Model
from tests.live import Service, served

pytestmark = pytest.mark.heavy

PREFIX = "/models/trees/"
# The texts whose contrast with what is behind them is below 4.5, with that contrast; WCAG 2.2, 1.4.3.
FAINT = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((value) => channel(value / 255))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (one) => {
    const color = numbers(getComputedStyle(one).backgroundColor);
    return color.length === 4 && color[3] === 0 ? behind(one.parentElement) : color;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim(), one = texts.currentNode.parentElement;
    if (!text || !one.getClientRects().length || one.closest("svg")) continue;
    const [high, low] = [numbers(getComputedStyle(one).color), behind(one)].map(light).sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) faint.push([text, contrast]);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(classifier: Model, tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    assert classifier.origin is not None
    uri = classifier.origin.uri
    with served(tmp_path_factory.mktemp("browser"), SKDEPLOY_MODEL_URI=uri, WEB_CONCURRENCY="1") as service:
        yield service


@pytest.fixture
def page(browser: Browser, service: Service) -> Generator[Page]:
    """The page, opened; in the end nothing was asked of others, and nothing was complained of."""
    asked: list[str] = []
    complaints: list[str] = []
    page = browser.new_page(color_scheme="dark")
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(service.url)
    page.wait_for_selector("body[data-ready]")
    yield page
    page.close()
    assert [url for url in asked if not url.startswith(service.url)] == []
    # Chromium logs every answer of 4xx by itself.
    assert [text for text in complaints if "422" not in text] == []


def test_the_form_predicts(page: Page) -> None:
    """One press, and label and probabilities are there."""
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    assert page.inner_text(".value") in ("old", "young")
    assert page.locator("#answer .bars li").count() == 2


def test_an_error_stands_at_its_field(page: Page) -> None:
    """What was expected and got is said where it was typed, and described to screen readers."""
    field = page.get_by_label("age", exact=True)
    field.fill("2.5")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("[aria-invalid]")
    assert field.get_attribute("aria-invalid") == "true"
    described = (field.get_attribute("aria-describedby") or "").split()
    assert "Expected integer; got number 2.5" in page.inner_text(f"#{described[-1]}")


def test_the_keyboard_is_enough(page: Page) -> None:
    """Enter in a field predicts; the tab key reaches every control."""
    page.get_by_label("size").focus()
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["field-1", "field-2", "send"]
    page.keyboard.press("Enter")
    page.wait_for_selector(".value")


def test_numbers_go_as_they_were_typed(page: Page) -> None:
    """JavaScript would round 2**53 + 1; an empty nullable field is null."""
    page.get_by_label("age", exact=True).fill("9007199254740993")
    page.get_by_label("size").fill("")
    with page.expect_request("**/predict*") as sent:
        page.get_by_role("button", name="Predict").click()
    body: Any = sent.value.post_data_json
    assert '"age": 9007199254740993' in (sent.value.post_data or "")
    assert body["size"] is None
    assert '"age": 9007199254740993' in page.inner_text("#curl")


def test_every_control_has_a_label(page: Page) -> None:
    """And ids are unique."""
    unlabelled = "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).length"
    assert page.evaluate(unlabelled) == 0
    ids: list[str] = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_dark_is_dark(page: Page) -> None:
    """prefers-color-scheme is followed."""
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 21)"


def test_the_reference_is_drawn(page: Page, service: Service) -> None:
    """/docs shows every path of the document, and a phone need not scroll sideways."""
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(service.url + "/docs")
    page.wait_for_selector("body[data-ready]")
    assert "/predict" in page.inner_text("main")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_behind_api_keys(browser: Browser, classifier: Model, tmp_path: Path) -> None:
    """The browser asks for a name and a password, which is the key; then all of the page works."""
    assert classifier.origin is not None
    key = new_key()
    (tmp_path / "keys").write_text(line_for("someone", key))
    settings = {
        "SKDEPLOY_MODEL_URI": classifier.origin.uri,
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_API_KEYS_FILE": str(tmp_path / "keys"),
    }
    with served(tmp_path, **settings) as service:
        stranger = browser.new_page()
        with pytest.raises(Error, match="AUTH"):
            stranger.goto(service.url)
        stranger.close()
        known = browser.new_page(http_credentials={"username": "someone", "password": key})
        known.goto(service.url)
        known.get_by_role("button", name="Predict").click()
        known.wait_for_selector(".value")
        assert key not in known.content()
        known.close()


def test_under_a_prefix(browser: Browser, service: Service) -> None:
    """A proxy may serve it below a path: nothing of the page asks for another one."""
    page = browser.new_page()
    beside: list[str] = []
    page.on("request", lambda request: beside.append(request.url) if "/models/" not in request.url else None)
    page.route(
        "**/models/trees/**", lambda route: route.continue_(url=route.request.url.replace(PREFIX, "/"))
    )
    page.goto(service.url + PREFIX)
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    assert service.url + PREFIX + "predict" in page.inner_text("#curl")
    page.get_by_role("link", name="API").first.click()
    page.wait_for_selector("text=/predict")
    page.close()
    assert beside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser: Browser, service: Service, scheme: Literal["light", "dark"]) -> None:
    """Contrast of 4.5 at least, WCAG 2.2's AA, of every text: also of errors and of the reference."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(service.url)
    page.wait_for_selector("body[data-ready]")
    page.get_by_label("age", exact=True).fill("2.5")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector("[aria-invalid]")
    assert page.evaluate(FAINT) == []
    page.get_by_label("age", exact=True).fill("2")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".value")
    assert page.evaluate(FAINT) == []
    page.goto(service.url + "/docs")
    page.wait_for_selector("text=/predict")
    assert page.evaluate(FAINT) == []
    page.close()
