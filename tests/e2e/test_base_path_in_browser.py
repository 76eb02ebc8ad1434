"""The pages in a browser, below a path of a host that has other things too: scripts work there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.service.server.reverse_proxy import below
from tests.service.server.serve_process import serving
from trading_graph.toolkit.loopback import LoopbackServer

BASE = "/trading"


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture(scope="module")
def strays() -> list[str]:
    """Requests that the service's pages made outside of its part of the host."""
    return []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, strays: list[str]) -> Iterator[str]:
    """The home page behind a proxy."""
    settings = {
        "TRADING_GRAPH_SERVE_PROXIES": '["127.0.0.1"]',
        "TRADING_GRAPH_CHAT_LATENCY_S": "0.5",
    }
    with (
        serving(tmp_path_factory.mktemp("service"), **settings) as service,
        LoopbackServer(below(service.url, BASE, strays)) as proxy,
    ):
        yield f"{proxy.url}{BASE}/"


def test_a_run_is_started_followed_and_looked_at(
    home: str, browser: Browser, strays: list[str]
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        page.goto(home)
        expect(page.locator("body")).to_have_attribute("data-stream", "live")
        page.get_by_label("Symbol").first.fill("NVDA")
        page.get_by_role("button", name="Start the run").click()
        expect(page.locator("[data-events]")).to_be_visible()
        expect(page.locator("rect.llm").first).to_be_visible()
        # The page of what is over comes by itself, with the trace drawn by modules.
        expect(page.get_by_role("treegrid")).to_be_visible()
        page.get_by_role("row").nth(1).click()
        expect(page.get_by_role("complementary", name="Span")).to_be_visible()
        page.get_by_role("link", name="Trading Graph").click()
        expect(page.get_by_role("link", name="NVDA").first).to_be_visible()
        assert page.url == home
    finally:
        context.close()
    # A browser asks any host for this one.
    assert [each for each in strays if each != "GET /favicon.ico"] == []
    assert faults == []
