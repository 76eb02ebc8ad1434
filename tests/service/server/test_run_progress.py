"""What events become on a run's page: lanes, words, and a waterfall in which nothing is markup."""

from typing import Any

import msgspec
import pytest

from tests.service.server.markup import EVIL, assert_inert
from trading_graph.otel.report.html import percent
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.pages.layout import render
from trading_graph.service.server.pages.run_progress import (
    RunProgress,
    WorkItem,
    axis_end,
    levels,
    now_doing,
    numbers_of,
    read_progress,
    waterfall,
)
from trading_graph.service.server.run_events import AnyRunEvent, RunEvent, VerdictReached

NVDA = RunRequest(symbol="NVDA")


def event(kind: str, span: str, start: float, end: float | None = None, **more: Any) -> RunEvent:
    what = "started" if end is None else "ended"
    times = {"start": start} if end is None else {"start": start, "end": end}
    made: RunEvent = msgspec.convert(
        {"type": f"{kind}.{what}", "span_id": span, "name": kind, **times, **more}, AnyRunEvent
    )
    return made


def told(*events: RunEvent) -> RunProgress:
    return read_progress(NVDA, events)


def work(found: RunProgress, span_id: str) -> WorkItem:
    (each,) = [w for lane in found.lanes for w in lane.work if w.span_id == span_id]
    return each


MARKET = event("agent", "a", 100.0, agent="market_analyst")


def test_a_tool_is_in_the_lane_of_the_agent_that_called_it() -> None:
    found = told(MARKET, event("tool", "t", 101.0, 101.5, parent_id="a", tool="get_prices"))
    lane = found.lanes[0]
    assert (lane.agent, [each.name for each in lane.work]) == (
        "market_analyst",
        ["market analyst", "get_prices"],
    )
    assert found.last == 2
    assert not lane.ended, "the agent still works"
    assert lane.seconds(103.0) == 3.0


def test_every_agent_that_is_expected_has_a_lane_before_it_starts() -> None:
    asked = RunRequest(symbol="NVDA", analysts=("news",))
    agents = [lane.agent for lane in read_progress(asked, []).lanes]
    assert agents[0] == "news_analyst"
    assert "market_analyst" not in agents
    assert agents[-1] == "risk_judge"


def test_words_say_who_works_on_what() -> None:
    found = told(
        MARKET,
        event("tool", "t", 101.0, parent_id="a", tool="get_prices"),
        event("agent", "b", 100.0, agent="news_analyst"),
        event("llm", "c", 100.1, parent_id="b", agent="news_analyst", model="m"),
        event("agent", "d", 100.0, agent="social_analyst"),
    )
    assert now_doing(found) == (
        "Waiting for the model: news analyst. Calling tools: market analyst (get_prices). "
        "Working: social analyst."
    )
    assert now_doing(told()) == "Between two agents."


def test_a_killed_process_leaves_cut_work_and_no_gap() -> None:
    killed = {"agent": "market_analyst", "error": "killed"}
    found = told(
        event("agent", "n", 100.0, 100.4, agent="news_analyst"),
        MARKET,
        event("llm", "l", 100.5, parent_id="a", agent="market_analyst", model="m"),
        event("agent", "a", 100.0, 100.75, **killed),
        event("llm", "l", 100.5, 100.75, parent_id="a", model="m", **killed),
        event("interruption", "i", 100.75, 5000.75),
        event("agent", "a2", 5000.75, agent="market_analyst"),
        event("llm", "l2", 5001.0, parent_id="a2", agent="market_analyst", model="m"),
    )
    assert found.dead_s == 4900.0
    assert (work(found, "n").start, work(found, "n").end) == (5000.0, 5000.4)
    cut = work(found, "a")
    assert (cut.start, cut.end, cut.cut, cut.failed) == (5000.0, 5000.75, True, False)
    assert work(found, "l").cut
    assert (work(found, "a2").start, work(found, "a2").end) == (5000.75, None)


def test_at_the_end_of_a_run_nothing_goes_on() -> None:
    found = read_progress(NVDA, [MARKET], ended=103.0)
    assert (work(found, "a").end, work(found, "a").cut) == (103.0, True)


def test_what_was_cancelled_has_not_failed() -> None:
    found = told(
        event("agent", "a", 1.0, 2.0, agent="market_analyst", error="cancelled"),
        event("agent", "b", 1.0, 2.0, agent="news_analyst", error="timeout"),
    )
    assert (work(found, "a").failed, work(found, "a").cut) == (False, True)
    assert (work(found, "b").failed, work(found, "b").cut) == (True, False)


def test_events_of_other_kinds_are_passed_over() -> None:
    found = told(VerdictReached(passed=True), event("tool", "t", 1.0, parent_id="nobody"), MARKET)
    assert [w.span_id for lane in found.lanes for w in lane.work] == ["a"]


def test_tools_that_run_at_once_lie_below_one_another() -> None:
    found = [
        WorkItem("1", "tool", "a", 0, 2),
        WorkItem("2", "tool", "b", 1, 3),
        WorkItem("3", "tool", "c", 2),
    ]
    assert levels(found) == [0, 1, 0]


@pytest.mark.parametrize("spent", [0.0, 1.95, 5.9, 119.0, 290.0, 1000.0, 3000.0])
def test_the_axis_of_a_live_run_has_room_to_grow(spent: float) -> None:
    assert spent * 1.25 <= axis_end(spent) <= max(spent * 1.9 + 60, 2)


def test_what_an_agent_does_stands_after_its_bar_and_has_room_there() -> None:
    found = told(MARKET, event("llm", "l", 100.0, parent_id="a", model="m"))
    for now in (101.0, 128.0, 700.0):
        chart = waterfall(found, 100.0, now, follow="/x")
        assert 0 < chart.now_at <= 80
        page = render("waterfall.html", waterfall=chart)
        assert f'x="{percent(chart.now_at)}" dx="6" y="16">model</text>' in page


def test_what_events_say_never_becomes_markup() -> None:
    found = told(
        event("agent", EVIL, 1.0, agent=EVIL),
        event("tool", "t", 1.2, 2.0, parent_id=EVIL, tool=EVIL, error=EVIL),
        event("tool", "u", 1.2, parent_id=EVIL, tool=EVIL),
    )
    for chart in (waterfall(found, 1.0, 3.0, follow="/x"), waterfall(found, 1.0, 3.0)):
        assert_inert(render("waterfall.html", waterfall=chart))
    assert_inert(render("run_numbers.html", numbers=numbers_of(found, 1.0)))


def test_times_of_the_waterfall_are_seconds() -> None:
    found = told(
        event("agent", "a", 100.0, 102.5, agent="market_analyst"),
        event("llm", "l", 100.0, 101.5, parent_id="a", agent="market_analyst", model="m"),
    )
    page = render("waterfall.html", waterfall=waterfall(found, 100.0, 103.0))
    assert '<span class="took">2.50 s</span>' in page
    assert "<title>m: 1.50 s</title>" in page
