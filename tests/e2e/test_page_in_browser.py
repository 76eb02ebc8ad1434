"""The pages in a real browser, of a real `trading-graph serve`: a run started, watched and read.

What a page shows of a run that goes on is looked for while the model holds that run.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.held_model import HeldModel
from trading_graph.service.server.access import digest
from trading_graph.toolkit.loopback import LoopbackServer

SPAWN = [sys.executable, "-c", "from trading_graph.service.cli import main; main()"]
WIDE, NARROW = 1280, 390
TOKEN = "a-token-of-this-test"

MARKET_CALLS = "[data-agent=market_analyst] rect.llm"
IT_GROWS = """(selector) => {
  const { width } = document.querySelector(selector).getBoundingClientRect();
  const grown = width > (window.widthBefore ?? Infinity);
  window.widthBefore = width;
  return grown;
}"""
"""The bar of a call that goes on is wider than it was; where the axis moves on, later than that."""

Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts services on free ports and gives their addresses; they end with the module."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str, **variables: str) -> str:
        process = subprocess.Popen(
            [*SPAWN, "serve", "--port", "0", *words],
            cwd=tmp_path_factory.mktemp("service"),
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def module_model() -> HeldModel:
    return HeldModel(latency_s=0.3)


@pytest.fixture
def model(module_model: HeldModel) -> Iterator[HeldModel]:
    """The model of the service at `address`, which holds nobody when a test begins."""
    yield module_model
    module_model.release()


@pytest.fixture(scope="module")
def address(serve: Serve, module_model: HeldModel) -> Iterator[str]:
    with LoopbackServer(module_model.make_app) as server:
        yield serve(OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY="sk-of-the-test-0123456789")


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages that note what goes wrong in them; at the end nothing may have."""
    wrong: list[str] = []
    contexts = []

    def open_page(width: int = WIDE, scheme: Any = "light", **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"{request.url} {request.failure}"))
        return page

    yield open_page
    for context in contexts:
        context.close()
    # What a page still loads when it is left is given up: the stream that it follows, its icon.
    assert [each for each in wrong if not each.endswith("net::ERR_ABORTED")] == []


def start_run(page: Page, address: str, symbol: str = "NVDA") -> None:
    page.goto(address)
    page.locator("#symbol").fill(symbol)
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/runs/*")


def finished(page: Page) -> None:
    expect(page.get_by_role("heading", name="Verdict")).to_be_visible()


def assert_fits(page: Page) -> None:
    """Nothing of the page lies beside the window."""
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    whole, window = page.evaluate(widths)
    assert whole <= window


def test_a_run_is_started_watched_to_its_end_and_its_verdict_read(
    address: str, model: HeldModel, opened: Callable[..., Page]
) -> None:
    model.hold("market_analyst", "trader")
    page = opened()
    start_run(page, address)
    chart = page.locator("[data-events]")
    market = chart.locator(MARKET_CALLS)
    expect(market).to_have_count(1)
    page.wait_for_function(IT_GROWS, arg=f"[data-events] {MARKET_CALLS}")
    expect(page.locator("[data-doing]")).to_contain_text("Waiting for the model: market analyst")
    model.release("market_analyst")
    expect(market).to_have_count(2)
    expect(chart.locator("[data-agent=news_analyst] rect.tool")).not_to_have_count(0)
    expect(chart.locator("[data-agent=trader] rect.llm")).to_have_count(1)
    expect(page.locator("[data-heard]")).not_to_be_empty()
    model.release("trader")
    finished(page)
    assert page.locator("[data-events]").count() == 0
    for said in ("All analysts start within 2 s", "proven", "dispatch risk_team", "Evidence"):
        expect(page.locator("main")).to_contain_text(said)
    page.get_by_text("Market analyst", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("^Market report"))).to_be_visible()
    page.get_by_role("link", name="Diagnosis").click()
    expect(page.get_by_role("heading", name="NVDA as of")).to_be_visible()


def test_the_home_page_follows_what_runs(
    address: str, model: HeldModel, opened: Callable[..., Page]
) -> None:
    model.hold("trader")
    home, other = opened(), opened()
    home.goto(address)
    home.locator("#date").fill("2025-11-")
    before = home.locator(".runs tbody tr").count()
    start_run(other, address, "AAPL")
    expect(home.get_by_role("status")).to_contain_text("1 running")
    expect(home.locator(".doing")).to_contain_text("Waiting for the model: trader")
    model.release()
    expect(home.locator(".runs tbody tr")).to_have_count(before + 1)
    expect(home.get_by_role("status")).to_contain_text("Nothing runs now")
    assert home.locator("#date").input_value() == "2025-11-", "what is typed stays"


def test_a_run_is_cancelled_from_its_page(
    address: str, model: HeldModel, opened: Callable[..., Page]
) -> None:
    model.hold("trader")
    page = opened()
    start_run(page, address)
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".headline")).to_contain_text("cancelled")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (WIDE, "light"),
        (NARROW, "dark"),
        pytest.param(WIDE, "dark", marks=pytest.mark.full),
        pytest.param(NARROW, "light", marks=pytest.mark.full),
    ],
)
def test_the_pages_fit_and_can_be_read(
    address: str, model: HeldModel, opened: Callable[..., Page], width: int, scheme: str
) -> None:
    model.hold("trader")
    page = opened(width, scheme)
    page.goto(address)
    page.get_by_text("Options", exact=True).click()
    assert_fits(page)
    assert_contrast(page)
    start_run(page, address)
    expect(page.locator("[data-agent=market_analyst] rect.tool")).not_to_have_count(0)
    assert_fits(page)
    assert_contrast(page)
    model.release()
    finished(page)
    chart = page.get_by_role("img", name=re.compile("^Daily prices of NVDA to 2025-11-14"))
    assert chart.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 860
    for summary in page.locator("summary").all():
        summary.click()
    names = page.locator(".stacked tbody th").all()
    assert len(names) > 10, "fan-outs and agents"
    for name in names:
        box = name.bounding_box()
        assert box
        assert box["height"] < 60, "a name takes two lines at most"
    assert_fits(page)
    assert_contrast(page)


def assert_contrast(page: Page) -> None:
    """Every text stands out from what is behind it as WCAG's level AA wants."""
    assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const found = parse(getComputedStyle(each).backgroundColor);
      if ((found[3] ?? 1) > 0.99) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !each.checkVisibility() || each.closest("svg.strip, noscript, title")) continue;
    const style = getComputedStyle(each), svg = each.namespaceURI.endsWith("svg");
    const pair = [parse(svg ? style.fill : style.color), behind(each)].map(light);
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    const big = parseFloat(style.fontSize) >= 24;
    if (ratio < (big ? 3 : 4.5)) low.push(`${each.textContent.trim().slice(0, 30)}: ${ratio}`);
  }
  return low;
}"""


def test_without_script_everything_can_be_done(
    address: str, model: HeldModel, opened: Callable[..., Page]
) -> None:
    model.hold("trader")
    page = opened(java_script_enabled=False)
    start_run(page, address)
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator(MARKET_CALLS)).to_have_count(2)
    model.release()
    finished(page)
    page.get_by_role("link", name="Trading Graph").click()
    expect(page.locator(".runs tbody tr").first).to_contain_text("BUY")


def test_the_keyboard_is_enough(address: str, opened: Callable[..., Page]) -> None:
    page = opened()
    page.goto(address)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#symbol")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("NVDA")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*")
    finished(page)


def test_a_service_with_tokens_asks_for_one(serve: Serve, opened: Callable[..., Page]) -> None:
    address = serve(
        "--offline",
        TRADING_GRAPH_CHAT_LATENCY_S="0.1",
        TRADING_GRAPH_SERVE_TOKEN_SHA256=f'["{digest(TOKEN)}"]',
    )
    page = opened()
    page.goto(f"{address}/?before={'0' * 32}")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/?before=*")
    start_run(page, address)
    finished(page)
    page.get_by_role("button", name="Log out").click()
    page.goto(address)
    expect(page.get_by_label("Token")).to_be_visible()
