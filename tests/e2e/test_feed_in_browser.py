"""The pages in a browser while the service goes away and comes back, and in more tabs than six."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.e2e.test_page_in_browser import MARKET_CALLS, SPAWN, start_run
from tests.held_model import HeldModel
from trading_graph.toolkit.loopback import LoopbackServer

TABS = 7
"""One more than the connections that a browser opens to a host."""

NO_WORKER = "delete self.SharedWorker"
"""Browsers without shared workers, as many telephones are."""


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def calm_context(browser: Browser) -> Iterator[BrowserContext]:
    """Pages that draw once a second: many that draw all the time leave no CPU for others."""
    context = browser.new_context(reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture(scope="module")
def model() -> HeldModel:
    return HeldModel(latency_s=0.1)


@pytest.fixture(scope="module")
def model_url(model: HeldModel) -> Iterator[str]:
    with LoopbackServer(model.make_app) as server:
        yield f"{server.url}/v1"


@contextmanager
def serving(
    folder: Path,
    model_url: str,
    port: str = "0",
    started: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> Iterator[str]:
    """A service in a folder; it is killed at the end, and another may go on."""
    variables = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "sk-of-the-test-0123456789"}
    process = subprocess.Popen(
        [*SPAWN, "serve", "--port", port],
        cwd=folder,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    started(process)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.full
@pytest.mark.parametrize("script", ["", pytest.param(NO_WORKER, id="no shared worker")])
def test_more_tabs_than_connections_follow_one_run(
    tmp_path: Path, model: HeldModel, model_url: str, calm_context: BrowserContext, script: str
) -> None:
    context = calm_context
    context.add_init_script(script)
    model.hold("market_analyst", "trader")
    with serving(tmp_path, model_url) as address:
        first = context.new_page()
        start_run(first, address)
        expect(first.locator(MARKET_CALLS)).to_have_count(1)
        pages = [first]
        for _ in range(TABS - 1):
            page = context.new_page()
            page.goto(first.url)
            expect(page.locator(MARKET_CALLS)).to_have_count(1)
            pages.append(page)
        model.release("market_analyst")
        for page in pages:
            expect(page.locator(MARKET_CALLS)).to_have_count(2)
        # The tab that may hold the stream is closed; the others go on.
        first.close()
        model.release()
        for page in pages[1:]:
            expect(page.get_by_role("heading", name="Verdict")).to_be_visible()


BAR_STANDS = """(selector) => {
  const { width } = document.querySelector(selector).getBoundingClientRect();
  const stands = width === window.widthBefore;
  window.widthBefore = width;
  return stands;
}"""


def test_a_lost_stream_is_said_and_nothing_moves_until_it_is_back(
    tmp_path: Path, model: HeldModel, model_url: str, context: BrowserContext
) -> None:
    model.hold("trader")
    page, home = context.new_page(), context.new_page()
    with serving(tmp_path, model_url) as address:
        start_run(page, address)
        expect(page.locator("[data-agent=trader] rect.llm")).to_have_count(1)
        home.goto(address)
        expect(home.locator(".doing")).to_contain_text("Waiting for the model: trader")
        assert page.get_by_role("alert").count() == 0
    for each in (page, home):
        expect(each.get_by_role("alert")).to_contain_text("The connection to the service is lost")
    page.wait_for_function(BAR_STANDS, arg="[data-agent=trader] rect.llm", polling=300)
    elapsed = page.locator("[data-figure=elapsed]").inner_text()
    with serving(tmp_path, model_url, address.rpartition(":")[2]) as again:
        assert again == address
        expect(home.get_by_role("alert")).to_have_count(0)
        assert page.locator("[data-figure=elapsed]").inner_text() == elapsed or (
            page.get_by_role("alert").count() == 0
        )
        model.release()
        expect(page.get_by_role("heading", name="Verdict")).to_be_visible()
        expect(home.locator(".runs tbody tr").first).to_contain_text("resumed")


@pytest.mark.full
def test_a_service_that_stands_still_is_noticed_too(
    tmp_path: Path, model_url: str, context: BrowserContext
) -> None:
    """It leaves its connections open, and sends no beat."""
    page = context.new_page()
    stopped: list[subprocess.Popen[str]] = []
    with serving(tmp_path, model_url, started=stopped.append) as address:
        page.goto(address)
        expect(page.locator("body[data-stream=live]")).to_be_attached()
        stopped[0].send_signal(signal.SIGSTOP)
        expect(page.get_by_role("alert")).to_contain_text("is lost")
        stopped[0].send_signal(signal.SIGCONT)
        expect(page.get_by_role("alert")).to_have_count(0)
