"""The page of a portfolio in a real browser: it fits a phone, and needs no script."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

from tests.chromium import ARGUMENTS, chromium_or_skip
from tests.service.portfolio.samples import EVENING, decided, embedded_bars, failed
from trading_graph.service.portfolio.results.evaluation import evaluate
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.renderings import as_page

WIDE, NARROW = 1280, 390
LINES = """cell => {
    const text = document.createRange();
    text.selectNodeContents(cell);
    return text.getClientRects().length;
}"""


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    names = ("AAPL", "NVDA", "^GSPC")
    prices = Prices(EVENING, {name: embedded_bars(name) for name in names}, {})
    results = [
        decided("AAPL", "BUY", entry=272.41),
        decided("NVDA", "SELL", entry=190.17, degraded=True, warnings=["A source failed."]),
        decided("AAPL", "BUY", date="2025-10-01", entry=255),
        decided("NVDA", "BUY", date="2025-10-01", entry=187),
        failed("A" * 30, "A reason without any place to break it: " + "x" * 200),
    ]
    file = tmp_path / "report.html"
    links = {results[0].ticker_day.run_id: "../runs/one/report.md"}
    file.write_text(as_page(evaluate("tech", results, prices), links), "utf-8")
    return file


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    path = chromium_or_skip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, env={**os.environ, "HOME": str(tmp_path)}
        )
        yield browser
        browser.close()


def test_the_page_fits_and_needs_no_script(browser: Browser, page: Path) -> None:
    for scheme, width in (("light", WIDE), ("dark", NARROW)):
        context = browser.new_context(
            java_script_enabled=False,
            color_scheme="dark" if scheme == "dark" else "light",
            viewport={"width": width, "height": 900},
        )
        view = context.new_page()
        complaints: list[str] = []

        def complain(message: ConsoleMessage, to: list[str] = complaints) -> None:
            to.append(message.text)

        view.on("console", complain)
        view.goto(page.as_uri())
        body = view.locator("body").bounding_box()
        assert body is not None
        for element in ("section", "table", "svg.spark", "svg.account", ".place"):
            boxes = [each.bounding_box() for each in view.locator(element).all()]
            assert boxes, element
            for box in boxes:
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width, (scheme, element)
        symbols = view.locator(".texts tbody th").all()
        assert symbols
        assert [each.evaluate(LINES) for each in symbols] == [1] * len(symbols)
        # The policy lets the page's own style in, and complains of nothing.
        assert complaints == []
        stop, target = (
            view.locator(f"line.{kind}").first.evaluate("line => getComputedStyle(line).stroke")
            for kind in ("stop", "target")
        )
        assert stop != target
        assert view.locator("a.symbol").first.get_attribute("href") == "../runs/one/report.md"
        context.close()
