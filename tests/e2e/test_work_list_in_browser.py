"""The work list in a browser: ticking, comparing, filtering, paging to a run by its bar."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_feed_in_browser import serving
from tests.e2e.test_page_in_browser import assert_contrast, assert_fits, start_run
from tests.held_model import HeldModel
from trading_graph.toolkit.loopback import LoopbackServer


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        LoopbackServer(HeldModel(latency_s=0.05).make_app) as model,
        serving(tmp_path_factory.mktemp("service"), f"{model.url}/v1") as address,
    ):
        yield address


def rows(page: Page) -> list[str]:
    return page.locator(".work tbody th a").all_inner_texts()


@pytest.mark.full
def test_runs_are_ticked_compared_filtered_and_found_by_their_bars(
    address: str, browser: Browser
) -> None:
    page = browser.new_page()
    for symbol in ("NVDA", "AAPL", "NVDA"):
        start_run(page, address, symbol)
        expect(page.get_by_role("heading", name="Verdict")).to_be_visible()
    page.goto(address)
    assert rows(page) == ["NVDA", "AAPL", "NVDA"]
    compare = page.get_by_role("button", name="Compare the two")
    expect(compare).to_be_disabled()
    page.locator(".tick input").nth(0).check()
    expect(compare).to_be_disabled()
    page.locator(".tick input").nth(2).check()
    expect(compare).to_be_enabled()
    compare.click()
    expect(page.get_by_text("Where the time of the critical path moved")).to_be_visible()
    assert_fits(page)
    assert_contrast(page)
    page.get_by_role("link", name="Back to the list").click()
    page.locator("#filter-symbol").fill("aapl")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".work tbody tr")).to_have_count(1)
    assert rows(page) == ["AAPL"]
    assert page.locator("#filter-symbol").input_value() == "aapl"
    bar = page.locator(".history a").first
    href = str(bar.get_attribute("href"))
    bar.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{href}")
    page.go_back()
    page.get_by_role("button", name="Run AAPL as of").click()
    expect(page.locator("h1")).to_contain_text("AAPL")
    page.close()


@pytest.mark.full
@pytest.mark.parametrize("script", [True, False])
def test_what_was_ticked_stays_while_the_list_grows_and_a_file_is_looked_at(
    address: str, browser: Browser, tmp_path: Path, script: bool
) -> None:
    context = browser.new_context(java_script_enabled=script)
    home, other = context.new_page(), browser.new_page()
    start_run(other, address)
    expect(other.get_by_role("heading", name="Verdict")).to_be_visible()
    home.goto(address)
    before = home.locator(".work tbody tr").count()
    tick = home.locator(".tick input").first
    ticked = tick.get_attribute("id")
    tick.check()
    start_run(other, address)
    expect(other.get_by_role("heading", name="Verdict")).to_be_visible()
    if script:
        expect(home.locator(".work tbody tr")).to_have_count(before + 1)
        expect(home.locator(f"#{ticked}")).to_be_checked()
        expect(home.locator(f"#{ticked}")).to_be_focused()
    trace = other.get_by_role("link", name="Trace, OTLP JSON").get_attribute("href")
    file = tmp_path / "trace.jsonl"
    file.write_bytes(other.request.get(f"{address}{trace}").body())
    home.locator("#trace-file").set_input_files(file)
    home.get_by_role("button", name="Look").click()
    home.wait_for_url("**/traces/*")
    expect(home.get_by_role("heading", name="Verdict")).to_be_visible()
    other.close()
    context.close()
