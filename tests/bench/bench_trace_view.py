"""How soon a trace of many spans can be used in Chromium, beside an empty page.

A page is ready when its rows stand, and a key that is pressed then has moved to the next row in a
frame that was drawn. The clock starts when the browser is sent to the address. The first look at a
trace has its verdict and diagnosis made in a process of its own; the runs after it find the view in
the service's memory. Run: PYTHONPATH=. python tests/bench/bench_trace_view.py [SPANS]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.chromium import ARGUMENTS, chromium_or_skip
from tests.service.server.serve_process import serving
from tests.service.server.slow_trace import many_spans, write_trace

RUNS = 5
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        path = write_trace(folder / "runs", many_spans(count))
        browser = playwright.chromium.launch(executable_path=chromium_or_skip(), args=ARGUMENTS)
        with serving(folder, TRADING_GRAPH_SERVE_REQUESTS_PER_S="1000") as service:
            first = _seconds(browser, service.url + path, _use)
            _report("first look, judged meanwhile", [first])
            _report("interactive", _times(browser, service.url + path, _use))
            _report("an empty page", _times(browser, service.url + "/healthz", _nothing))
            _report_interaction(browser, service.url + path)
        browser.close()


def _times(browser: Browser, address: str, use: Callable[[Page], None]) -> list[float]:
    return [_seconds(browser, address, use) for _ in range(RUNS)]


def _seconds(browser: Browser, address: str, use: Callable[[Page], None]) -> float:
    """From the address to the use of its page, in a browser context of its own: nothing is kept."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(address, wait_until="commit")
    use(page)
    seconds = time.perf_counter() - begin
    context.close()
    return seconds


def _use(page: Page) -> None:
    page.wait_for_selector("[data-ready]", state="attached")
    before = page.evaluate("document.querySelector('.view-scroll').focus(), traceView.current")
    page.keyboard.press("ArrowDown")
    page.evaluate(NEXT_FRAME)
    assert page.evaluate("traceView.current") != before


def _nothing(page: Page) -> None:
    page.wait_for_load_state("load")
    page.evaluate(NEXT_FRAME)


def _report_interaction(browser: Browser, address: str) -> None:
    """How long a key, a filter, a fold of all and a zoom hold the page, to the next frame."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.wait_for_selector("[data-ready]", state="attached")
    for name, act in (
        ("a key that moves", "traceView.move(traceView.visible[traceView.visible.length >> 1])"),
        ("a filter", "traceView.setFilter('text', 'execute_tool t7')"),
        ("folding all", "traceView.foldAll(true)"),
        ("a zoom", "traceView.zoom(0.5)"),
    ):
        page.evaluate("traceView.setFilter('text', ''), traceView.foldAll(false)")
        script = f"""async () => {{
          const begin = performance.now();
          {act};
          await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
          return performance.now() - begin;
        }}"""
        _report(name, [page.evaluate(script) / 1e3 for _ in range(RUNS)])


def _report(name: str, seconds: list[float]) -> None:
    each = " ".join(f"{value:.3f}" for value in seconds)
    print(f"{name:30} {statistics.median(seconds):.3f} s  ({each})", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
