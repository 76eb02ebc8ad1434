"""The trace of a portfolio: a span a try, links both ways, and nothing of it is lost by a kill."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.run_lives import names_of_ended
from tests.service.portfolio.dying import SYMBOLS
from tests.service.portfolio.portfolios import (
    PORTFOLIO_ID,
    plan_of,
    record,
    run,
    ticker_days,
    work,
)
from trading_graph.graph.chat.rate_limits import WINDOW_S
from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.files.run_log import is_open
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv, table_of
from trading_graph.otel.trace.grants import grants_of, limits_of
from trading_graph.otel.verdict import Outcome, Verdict, judge
from trading_graph.otel.vocabularies import limits
from trading_graph.service.errors import NotResumableError
from trading_graph.service.portfolio import attributes as recorded
from trading_graph.service.portfolio.attributes import TICKER_DAY
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.portfolio.trace import PortfolioSpan, record_portfolio
from trading_graph.service.run.engine import Engine


def read_trace(folder: Path) -> SpanTable:
    (trace,) = read(folder / "trace.jsonl")
    return trace


def judged(trace: SpanTable) -> Verdict:
    return judge(trace, default_gate(trace))


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {check.id: check.outcome for check in verdict.checks}


def record_all(folder: Path, days: Sequence[TickerDay], at_once: int, **limits: int) -> SpanTable:
    """Run these ticker-days to their end, and read the trace of the portfolio."""
    record(
        folder,
        lambda running, portfolio: work(running, portfolio, days, at_once),
        days,
        at_once,
        **limits,
    )
    return read_trace(folder / "portfolio")


def tries(trace: SpanTable) -> list[int]:
    return trace.rows(TICKER_DAY)


def chat_calls(trace: SpanTable) -> list[int]:
    """The calls of a run that have ended, and not by the death of their process."""
    return [
        row
        for row in trace.rows(semconv.CHAT)
        if trace.attributes(row).get(semconv.ERROR_TYPE) != semconv.KILLED
    ]


def test_a_portfolio_has_a_trace_that_links_to_its_runs_and_they_link_back(tmp_path: Path) -> None:
    days = ticker_days("AAPL", "MSFT", "NVDA")
    trace = record_all(tmp_path, days, 2, requests=5000, tokens=10_000_000)
    assert sorted(each.name for each in (tmp_path / "portfolio").iterdir()) == ["trace.jsonl"]
    assert trace.trace_id == PORTFOLIO_ID
    assert len(trace) == 1 + len(days)
    for row in tries(trace):
        attributes = trace.attributes(row)
        (link,) = trace.links(row)
        run_id = attributes[recorded.RUN]
        run_trace = read_trace(tmp_path / "runs" / run_id)
        assert (link.trace_id, link.span_id) == (run_id, run_trace.span_ids[0])
        (back,) = run_trace.links(0)
        assert (back.trace_id, back.span_id) == (PORTFOLIO_ID, trace.span_ids[row])
        calls = chat_calls(run_trace)
        assert attributes[limits.LINKED_LLM_CALLS] == len(calls) > 0
        tokens = [run_trace.attributes(each)[semconv.USAGE_INPUT_TOKENS] for each in calls]
        assert attributes[limits.LINKED_INPUT_TOKENS] == sum(tokens)
        assert judged(run_trace).is_complete
    verdict = judged(trace)
    assert verdict.exact
    assert set(outcomes(verdict).values()) == {Outcome.PASS}


def test_grants_of_the_calls_are_those_of_the_runs_and_limits_are_declared(tmp_path: Path) -> None:
    trace = record_all(
        tmp_path, ticker_days("AAPL", "MSFT", "NVDA"), 1, requests=5000, tokens=10_000_000
    )
    declared = limits_of(trace, 0)
    assert declared["ticker-days"].capacity == 1
    assert declared["offline-quick tokens"].capacity == 10_000_000
    assert declared["offline-quick tokens"].window_s == WINDOW_S
    slots = [each for each in grants_of(trace, 0) if "ticker-days" in each.amounts]
    assert [each.waited_for for each in slots] == ["ticker-days"] * 3
    # One at a time: the others have waited from the beginning until those before them ended.
    first, second, _ = (trace.lengths[row] for row in tries(trace))
    waits = sorted(each.wait_ns for each in slots)
    assert waits[0] < first <= waits[1] < first + second <= waits[2]
    for row in tries(trace):
        run_trace = read_trace(tmp_path / "runs" / trace.attributes(row)[recorded.RUN])
        of_run = [(each.given_ns, dict(each.amounts)) for each in grants_of(run_trace, 0)]
        of_try = [
            (each.given_ns, dict(each.amounts))
            for each in grants_of(trace, 0)
            if each.row == row and not each.whole
        ]
        assert sorted(map(str, of_try)) == sorted(map(str, of_run))
        assert len(of_run) == len(chat_calls(run_trace))
        deep = sum(amounts.get("offline-deep requests", 0) for _, amounts in of_run)
        assert 0 < deep < len(of_run)


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    good, bad, unknown = days = ticker_days("AAPL", "NVDA", "ZZZZ")

    async def body(running: Engine, portfolio: PortfolioSpan) -> None:
        await work(running, portfolio, [good], 2)
        with pytest.raises(ZeroDivisionError), portfolio.ticker_day(bad, 1):
            raise ZeroDivisionError
        with portfolio.ticker_day(bad, 2) as span:
            span.ended(TickerDayResult(bad, TickerDayState.PARKED, reason="it fails"), "Poison")
        portfolio.without_run(TickerDayResult(unknown, TickerDayState.FAILED), "UnknownSymbol")

    record(tmp_path, body, days, 2)
    trace = read_trace(tmp_path / "portfolio")
    kinds = [trace.attributes(row).get(semconv.ERROR_TYPE) for row in tries(trace)]
    assert kinds == [None, "ZeroDivisionError", "Poison", "UnknownSymbol"]
    verdict = judged(trace)
    assert outcomes(verdict)["errors"] is Outcome.FAIL
    assert outcomes(verdict)["ends"] is Outcome.PASS
    (errors,) = [check for check in verdict.checks if check.id == "errors"]
    assert "3 failed" in errors.measured


@pytest.mark.parametrize(
    ("ends", "fails"), [((0, 0), {"once"}), ((0,), {"ends"}), ((0, 1), set[str]())]
)
def test_a_ticker_day_that_is_missing_or_decided_twice_fails_the_gate(
    tmp_path: Path, ends: tuple[int, ...], fails: set[str]
) -> None:
    days = ticker_days("AAPL", "MSFT")

    async def body(running: Engine, portfolio: PortfolioSpan) -> None:
        for number in ends:
            portfolio.without_run(TickerDayResult(days[number], TickerDayState.DONE))

    record(tmp_path, body, days, 2)
    outcome = outcomes(judged(read_trace(tmp_path / "portfolio")))
    assert {each for each, how in outcome.items() if how is Outcome.FAIL} == fails


def test_two_processes_do_not_record_one_portfolio(tmp_path: Path) -> None:
    days = ticker_days("AAPL")

    async def body(running: Engine, portfolio: PortfolioSpan) -> None:
        again = record_portfolio(tmp_path / "portfolio", running, plan_of(days, 1))
        with pytest.raises(NotResumableError, match="under way in another process"):
            await again.__aenter__()

    record(tmp_path, body, days, 1)


@pytest.mark.parametrize("is_left", [True, False], ids=["left", "cancelled"])
def test_an_interrupted_portfolio_goes_on_in_the_same_trace(tmp_path: Path, is_left: bool) -> None:
    first, second = days = ticker_days("AAPL", "MSFT")

    async def body(running: Engine, portfolio: PortfolioSpan) -> None:
        await work(running, portfolio, [first], 1)
        if is_left:
            portfolio.leave()
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        record(tmp_path, body, days, 1)
    assert is_open(tmp_path / "portfolio" / "trace.jsonl")
    time.sleep(0.2)
    record(tmp_path, lambda running, portfolio: work(running, portfolio, [second], 1), days, 1)
    trace = read_trace(tmp_path / "portfolio")
    verdict = judged(trace)
    assert verdict.exact
    assert set(outcomes(verdict).values()) <= {Outcome.PASS, Outcome.NOT_APPLICABLE}
    (interruption,) = verdict.interruptions
    assert interruption.dead_ns >= 0.2e9
    assert len(tries(trace)) == 2
    # The dead time is nobody's, and nobody's wait for a slot.
    assert verdict.measures is not None
    assert verdict.measures.wall_s * 1e9 <= trace.lengths[0] - interruption.dead_ns + 1000
    assert max(each.longest_wait_s for each in verdict.measures.limits) < 0.2


def test_a_portfolio_that_was_over_can_go_on(tmp_path: Path) -> None:
    days = ticker_days("AAPL", "MSFT")
    for day in days:

        async def body(running: Engine, portfolio: PortfolioSpan, day: TickerDay = day) -> None:
            portfolio.without_run(TickerDayResult(day, TickerDayState.DONE))

        record(tmp_path, body, days, 1)
    verdict = judged(read_trace(tmp_path / "portfolio"))
    assert verdict.exact
    assert len(verdict.interruptions) == 1
    assert outcomes(verdict)["ends"] is Outcome.PASS


@pytest.mark.full
def test_after_a_kill_the_trace_is_whole_and_no_call_is_lost(tmp_path: Path) -> None:
    days = ticker_days(*SYMBOLS)
    process = subprocess.Popen([sys.executable, "-m", "tests.service.portfolio.dying", tmp_path])
    first = tmp_path / "runs" / days[0].run_id / "trace.jsonl"
    while not (first.exists() and any("chat" in name for name in names_of_ended(first))):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    record(
        tmp_path,
        lambda running, portfolio: work(running, portfolio, days, 2, tries=2),
        days,
        2,
    )
    trace = read_trace(tmp_path / "portfolio")
    verdict = judged(trace)
    assert verdict.exact, verdict.missing
    assert set(outcomes(verdict).values()) == {Outcome.PASS}
    (interruption,) = verdict.interruptions
    assert interruption.killed_spans == 2
    assert len(tries(trace)) == 2 + len(days)
    for day in days:
        run_trace = read_trace(tmp_path / "runs" / day.run_id)
        counts = [
            trace.attributes(row)[limits.LINKED_LLM_CALLS]
            for row in tries(trace)
            if trace.attributes(row)[recorded.RUN] == day.run_id
        ]
        assert sum(counts) == len(chat_calls(run_trace))
        assert len({link.span_id for link in run_trace.links(0)}) == len(counts)
    killed = [row for row in tries(trace) if row in trace.failed]
    assert len(killed) == 2
    # They held their slots until they were killed.
    slots = {each.row: each for each in grants_of(trace, 0) if "ticker-days" in each.amounts}
    assert {slots[row].end_ns for row in killed} == {trace.intervals[row][1] for row in killed}
    assert table_of(verdict.trace).failed == frozenset()


def test_a_run_in_a_task_below_a_ticker_day_has_its_own_trace(tmp_path: Path) -> None:
    (day,) = ticker_days("AAPL")

    async def body(running: Engine, portfolio: PortfolioSpan) -> None:
        with portfolio.ticker_day(day, 1) as span:
            await asyncio.create_task(run(running, day, span))
            span.ended(TickerDayResult(day, TickerDayState.DONE))

    record(tmp_path, body, [day], 1)
    assert len(read_trace(tmp_path / "portfolio")) == 2
    assert read_trace(tmp_path / "runs" / day.run_id).trace_id == day.run_id
