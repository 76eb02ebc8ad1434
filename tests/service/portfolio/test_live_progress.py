"""What is shown while a portfolio is worked on: a table on a terminal, elsewhere a line an end."""

import time
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue
from rich.console import Console

from tests.service.portfolio.test_forecast import SETTINGS
from tests.service.portfolio.test_order import order
from trading_graph.otel.trace import semconv
from trading_graph.service.portfolio.forecast import Forecast
from trading_graph.service.portfolio.live_progress import LiveProgress
from trading_graph.service.portfolio.progress import (
    Happening,
    ModelUsage,
    ProgressEvent,
    TickerDayProgress,
)
from trading_graph.service.portfolio.run_tally import RunTally

DAYS = tuple(TickerDayProgress(each) for each in order().ticker_days)
FORECAST = Forecast(4, 60, None, None, 600.0, "4 at once", 1)


def after(number: int, *happenings: Happening, **values: Any) -> TickerDayProgress:
    """How far a ticker-day is."""
    progress = DAYS[number]
    for each in happenings:
        event = ProgressEvent(time.time(), progress.ticker_day.run_id, each)
        progress = progress.after(event)
    return replace(progress, **values)


def calls(tally: RunTally, model: str, tokens_in: int, tokens_out: int) -> None:
    """Let a run make a call."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.CHAT,
        semconv.REQUEST_MODEL: model,
        semconv.USAGE_INPUT_TOKENS: tokens_in,
        semconv.USAGE_OUTPUT_TOKENS: tokens_out,
    }
    span = TracerProvider().get_tracer("test").start_span("chat", attributes=attributes)
    span.end()
    tally.on_end(span)  # type: ignore[arg-type]


def shown(live: LiveProgress) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(live.table())
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.fixture
def live() -> LiveProgress:
    console = Console(file=StringIO(), force_terminal=True)
    return LiveProgress(console, DAYS, FORECAST, SETTINGS)


def test_a_table_counts_states_and_what_was_spent_and_is_left(live: LiveProgress) -> None:
    assert "0/4 10 min left" in " ".join(shown(live).split()), "as it was forecast"
    tally = RunTally()
    live.began(DAYS[0].ticker_day, tally)
    live.changed(after(0, Happening.BEGAN))
    calls(tally, "small", 1_000_000, 100_000)
    text = shown(live)
    assert "0 done · 1 running · 3 waiting · 0 failed" in text
    assert "$1.20 so far" in text, "a run under way is paid too"
    assert "0 agents, 1 calls" in text
    done = after(0, Happening.BEGAN, Happening.DONE, usage=(ModelUsage("small", 1, 10**6, 10**5),))
    live.changed(done)
    live.changed(after(1, Happening.PARKED))
    text = shown(live)
    assert "1 done · 0 running · 2 waiting · 1 failed" in text
    assert "2/4" in text
    assert "1 s left" in text, "at the pace so far"
    assert "$1.20 so far" in text
    calls(tally, "other", 1, 1)
    live.began(DAYS[2].ticker_day, tally)
    assert "cost unknown" in shown(live)


def test_without_a_terminal_an_end_is_a_line() -> None:
    console = Console(file=StringIO(), width=40)
    live = LiveProgress(console, DAYS, FORECAST, SETTINGS)
    with live.show():
        live.changed(after(0, Happening.BEGAN))
        live.changed(after(0, Happening.BEGAN, Happening.ERROR, reason="No [bold] answer."))
        live.changed(after(0, Happening.FAILED, reason="It is " + "long " * 20))
        live.changed(after(1, Happening.BEGAN, Happening.LEFT))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 3
    assert lines[0].startswith("0/4  AAPL     2025-11-13")
    assert lines[0].endswith("to be tried again: No [bold] answer.")
    assert lines[1].startswith("1/4  AAPL")
    assert lines[2].startswith("1/4  NVDA")
    assert lines[2].endswith("stopped"), "by Ctrl-C, which is no try that failed"
