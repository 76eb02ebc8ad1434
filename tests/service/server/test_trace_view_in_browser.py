"""The trace view in a real browser, of a real service: mouse, keyboard, addresses, what-if."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.service.server.serve_process import serving
from tests.service.server.slow_trace import (
    EVIL,
    FAILING,
    HOSTILE,
    QUICK,
    SLOW,
    id_of,
    many_spans,
    slow_spans,
    write_trace,
)

WIDE, NARROW = 1280, 390
MANY = 2_500
MANY_ID = "0" * 28 + "abcd"
GROWING_ID = "0" * 28 + "beef"


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """No guard: Playwright keeps a loop in this thread, on which every call of ours would block."""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The pages of the slow trace and of one with many spans."""
    folder = tmp_path_factory.mktemp("service")
    slow = write_trace(folder / "runs", slow_spans())
    many = write_trace(folder / "runs", many_spans(MANY), MANY_ID)
    with serving(folder) as service:
        yield service.url + slow, service.url + many


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages that note what goes wrong in them; at the end nothing may have."""
    wrong: list[str] = []
    contexts = []

    def open_page(address: str, width: int = WIDE, scheme: Any = "light", **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        if options.get("java_script_enabled", True):
            expect(page.locator("[data-ready]")).to_be_attached()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has_text=name).first


def panel(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Span")


def current(page: Page) -> str:
    """The name in the current row, as a screen reader is told it."""
    grid = page.get_by_role("treegrid")
    name: str = grid.evaluate(
        "grid => document.getElementById(grid.getAttribute('aria-activedescendant'))"
        ".querySelector('.text').textContent"
    )
    return name


def test_a_slow_span_is_clicked_and_its_panel_read(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[0])
    expect(page.get_by_role("row")).to_have_count(9)
    row(page, "get_filings").locator(".bar").click()
    for said in (
        "execute_tool get_filings",
        "2.49 s from 1.01 s on",
        "400 ms (semaphore)",
        "1.20 ms",
        "5 % of the time",
        "The tool calls of one LLM turn run at once",
        "call_0",
    ):
        expect(panel(page)).to_contain_text(said.replace("400 ms", "0.40 s"))
    assert page.url.endswith(f"#span={id_of(SLOW)}")
    panel(page).get_by_role("link", name="invoke_agent researcher").click()
    expect(panel(page).get_by_role("heading", level=3)).to_have_text("invoke_agent researcher")
    panel(page).get_by_role("button", name="Close").click()
    expect(panel(page)).to_be_hidden()
    expect(page.get_by_role("treegrid")).to_be_focused()
    assert "#" not in page.url


def test_the_keyboard_moves_folds_zooms_opens_and_filters(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[0])
    grid = page.get_by_role("treegrid")
    grid.focus()
    page.keyboard.press("ArrowDown")
    assert current(page) == "researcher"
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(row(page, "researcher")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("row")).to_have_count(9)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert current(page) == "get_filings"
    wide = row(page, "get_filings").locator(".bar").bounding_box()
    page.keyboard.press("z")
    closer = row(page, "get_filings").locator(".bar").bounding_box()
    assert wide
    assert closer
    assert closer["width"] > 1.5 * wide["width"]
    page.keyboard.press("0")
    whole = row(page, "get_filings").locator(".bar").bounding_box()
    assert whole
    assert whole["width"] == pytest.approx(wide["width"])
    page.keyboard.press("Enter")
    expect(panel(page)).to_contain_text("execute_tool get_filings")
    page.keyboard.press("ArrowDown")
    expect(panel(page)).to_contain_text("2.39 s from 1.10 s on")
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    page.keyboard.press("f")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("get_news")
    expect(page.locator(".found")).to_have_text("1 of 9 spans")
    expect(page.get_by_role("row")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(grid).to_be_focused()


def test_spans_are_filtered_by_role_by_error_and_by_the_critical_path(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[0])
    found = page.locator(".found")
    page.get_by_role("combobox", name="Role").select_option("llm")
    expect(found).to_have_text("2 of 9 spans")
    page.get_by_role("combobox", name="Role").select_option("")
    page.get_by_role("button", name="Errors").click()
    expect(found).to_have_text("1 of 9 spans")
    page.get_by_role("button", name="Errors").click()
    page.get_by_role("button", name="Critical path").click()
    on_path = page.evaluate("new Set(traceView.tree.view.path.map(([at]) => at)).size")
    expect(found).to_have_text(f"{on_path} of 9 spans")


def test_the_words_of_the_mouse_go_when_a_key_moves(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[1])
    tip = page.locator(".view-tip")
    page.get_by_role("treegrid").focus()
    page.locator(".span-row.current").hover()
    expect(tip).to_be_visible()
    page.keyboard.press("End")
    expect(tip).to_be_hidden()
    page.mouse.move(500, 700)
    page.mouse.move(500, 690)
    page.locator(".span-row.current").hover()
    expect(tip).to_be_visible()


def test_rows_stand_in_the_document_as_they_are_seen(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[1])
    page.get_by_role("treegrid").focus()
    for key in ("Home", "PageDown", "PageDown", "PageUp", "End", "ArrowUp"):
        page.keyboard.press(key)
        numbers = page.evaluate(
            "[...document.querySelectorAll('.span-row:not([hidden])')].map((row) => row.number)"
        )
        assert numbers == sorted(numbers), key


def test_a_drag_zooms(addresses: tuple[str, str], opened: Callable[..., Page]) -> None:
    page = opened(addresses[0])
    strip = row(page, "slow").locator(".span-bar").bounding_box()
    assert strip
    y = strip["y"] + strip["height"] / 2
    page.mouse.move(strip["x"] + strip["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(strip["x"] + strip["width"] * 0.5, y, steps=4)
    page.mouse.up()
    start, end = page.evaluate("[traceView.from, traceView.to]")
    assert start == pytest.approx(1.5e9, rel=0.02)
    assert end == pytest.approx(3e9, rel=0.02)
    expect(panel(page)).to_be_hidden()
    expect(page.locator(".view-window")).to_be_visible()


def test_an_address_opens_a_span_and_lights_the_spans_of_a_check(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(f"{addresses[0]}#span={id_of(QUICK)}&check=turns")
    expect(panel(page)).to_contain_text("execute_tool get_prices")
    expect(page.locator(".span-row.lit")).to_have_count(3)
    expect(page.locator(".view-said")).to_contain_text("3 spans of: The tool calls of one LLM turn")
    page.get_by_role("button", name="Light off").click()
    expect(page.locator(".span-row.lit")).to_have_count(0)
    check = page.locator("[data-check=errors]")
    check.get_by_role("link", name="Show 1 span in the trace").click()
    expect(page.locator(".span-row.lit")).to_have_text(re.compile("get_news"))
    check.get_by_role("link", name="execute_tool get_news").first.click()
    expect(panel(page)).to_contain_text("retry")
    panel(page).get_by_role("link", name="No error, retry or timeout stays hidden").click()
    assert "check=errors" in page.url
    page.goto(f"{addresses[0]}#span=nowhere")
    page.reload()
    expect(page.locator(".view-said")).to_have_text("The trace has no span nowhere.")


def test_findings_are_fixed_on_trial(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[0])
    expect(page.get_by_text("Why so slow?")).to_be_visible()
    finding = page.locator("[data-finding='1']")
    finding.get_by_role("link", name="Show 3 spans in the trace").click()
    expect(page.locator(".span-row.lit")).to_have_count(3)
    finding.get_by_role("checkbox").check()
    said = page.locator(".view-said")
    expect(said).to_contain_text("Before 6.00 s, after 5.00 s")
    after = row(page, "get_prices").locator(".after").bounding_box()
    before = row(page, "get_prices").locator(".before").bounding_box()
    assert after
    assert before
    assert after["x"] < before["x"]
    assert after["width"] == pytest.approx(before["width"], abs=2)
    page.get_by_role("button", name="Back to the recorded run").click()
    expect(page.locator(".after").first).to_be_hidden()


def test_hostile_words_stay_words(addresses: tuple[str, str], opened: Callable[..., Page]) -> None:
    page = opened(f"{addresses[0]}#span={id_of(HOSTILE)}")
    expect(panel(page).get_by_role("heading", level=3)).to_have_text(f"fetch {EVIL}")
    page.get_by_text("Process (1)").click()
    expect(panel(page).locator("dd", has_text=EVIL)).to_have_count(3)
    row(page, "fetch").hover()
    expect(page.locator(".view-tip")).to_contain_text(EVIL)
    assert page.evaluate("globalThis.hacked") is None
    assert page.locator("main img, main script").count() == 0


def test_without_script_there_is_a_table_of_all_spans(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(f"{addresses[0]}#span={id_of(FAILING)}", java_script_enabled=False)
    expect(page.locator(".spans tbody tr")).to_have_count(9)
    target = page.locator(".spans tr:target")
    for said in ("execute_tool get_news", "failed", "fails: The tool calls of one LLM turn"):
        expect(target).to_contain_text(said)
    page.get_by_role("link", name="All spans as a table").click()
    expect(page.locator(".spans tbody tr")).to_have_count(9)
    page.get_by_role("link", name="Back to the trace").click()
    expect(page.get_by_role("heading", name="Verdict")).to_be_visible()


def test_all_of_many_spans_are_in_and_few_are_elements(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    page = opened(addresses[1])
    expect(page.locator(".found")).to_have_text(f"{MANY:,} spans")
    page.get_by_role("treegrid").focus()
    page.keyboard.press("End")
    assert page.get_by_role("row").count() < 100
    last = page.evaluate("traceView.tree.name[traceView.tree.order.at(-1)]")
    assert last.endswith(current(page))
    expect(page.locator(".span-row.current")).to_be_in_viewport()
    page.goto(f"{addresses[1]}/spans?page=3")
    expect(page.locator(".spans tbody tr")).to_have_count(500)
    expect(page.locator("section .links")).to_have_text("Before Page 3 of 3")


@pytest.mark.full
def test_a_trace_is_drawn_while_its_spans_come(
    addresses: tuple[str, str], opened: Callable[..., Page]
) -> None:
    root, agent, *others = slow_spans()
    service, _, _ = addresses[0].partition("/traces/")
    send_spans(service, [agent, *others[:2]])
    page = opened(f"{service}/traces/{GROWING_ID}")
    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.get_by_text("Spans still come")).to_be_visible()
    row(page, "get_filings").click()
    send_spans(service, others[2:])
    expect(page.get_by_role("row")).to_have_count(8)
    expect(panel(page)).to_contain_text("get_filings")
    send_spans(service, [root])
    expect(page.get_by_role("row")).to_have_count(9)
    expect(page.get_by_text("Spans still come")).to_have_count(0)
    expect(page.get_by_role("heading", name="Verdict")).to_be_visible()
    expect(panel(page)).to_contain_text("get_filings")


def send_spans(service: str, spans: Sequence[dict[str, Any]]) -> None:
    """Send spans as a program does, over OTLP."""
    mine = [{**each, "traceId": GROWING_ID} for each in spans]
    body: Any = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": mine}]}]}
    answer = requests.post(f"{service}/v1/traces", json=body, timeout=30)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(NARROW, "dark"), pytest.param(WIDE, "light", marks=pytest.mark.full)],
)
def test_it_fits_with_its_panel(
    addresses: tuple[str, str], opened: Callable[..., Page], width: int, scheme: str
) -> None:
    page = opened(f"{addresses[0]}#span={id_of(HOSTILE)}", width, scheme)
    expect(panel(page)).to_contain_text("Attributes")
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    whole, window = page.evaluate(widths)
    assert whole <= window
    expect(panel(page)).to_be_in_viewport()
    axis = page.locator(".view-axis").bounding_box()
    strip = row(page, "slow").locator(".span-bar").bounding_box()
    assert axis
    assert strip
    assert axis["x"] == pytest.approx(strip["x"], abs=1)
    assert axis["width"] == pytest.approx(strip["width"], abs=1)
