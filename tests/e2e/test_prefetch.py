"""A run that fetches before its analysts ask: judged rightly, faster, and nothing of it left over.

Latencies decide who comes first: with short fetches all is there when a tool asks, with long ones
the tools join the fetches that run.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import NoReturn

import pytest

from tests.analysis_runner import CHOICE, Runner
from tests.faulty_model import Fault
from trading_graph.graph import dispatcher
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Schedule, call_tree
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import CheckResult, Outcome, judge
from trading_graph.toolkit.errors import UnknownSymbolError

pytestmark = pytest.mark.idle(per_cpu=1)

GATE = own_gate()

SHORT = replace(CHOICE, chat_latency_s=0.4, fetch_latency_s=0.1)
LONG = replace(CHOICE, chat_latency_s=0.1, fetch_latency_s=0.8)


def results(trace: SpanTable) -> dict[str, CheckResult]:
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    return {result.id: result for result in verdict.checks}


def served(trace: SpanTable) -> Counter[str]:
    """How the cache served the tools."""
    return Counter(str(trace.attributes(row)[semconv.CACHE]) for row in tools(trace))


def tools(trace: SpanTable) -> list[int]:
    return trace.rows("execute_tool ")


def waited_ns(trace: SpanTable) -> int:
    """How long tools took in all."""
    return sum(int(trace.duration[row]) for row in tools(trace))


def assert_whole(trace: SpanTable) -> None:
    """Exactly the spans that the run declares, and all of them below it."""
    (root,) = trace.roots
    assert trace.attributes(root)[semconv.SPANS_STARTED] == len(trace)
    assert trace.orphans == []


async def test_what_the_analysts_ask_for_is_there(run_analysis: Runner) -> None:
    plain = await run_analysis(choice=SHORT)
    ahead = await run_analysis(choice=SHORT, prefetch=True)
    trace = ahead.trace
    assert_whole(trace)
    (span,), (dispatcher,) = trace.rows("prefetch market_data"), trace.rows("dispatch analysts")
    assert trace.parent[span] == trace.roots[0]
    assert [link.span_id for link in trace.links(span)] == [trace.span_ids[dispatcher]]
    assert trace.start[span] >= trace.end[dispatcher]
    # Everything that the analysts ask for and nothing else: no tool fetches, nothing is in vain.
    assert set(served(trace)) == {"hit"}
    assert trace.children(span) == trace.rows("fetch ")
    assert len(trace.rows("fetch ")) == len(plain.trace.rows("fetch "))
    assert waited_ns(trace) < waited_ns(plain.trace) / 4
    assert ahead.made.seconds < plain.made.seconds
    assert ahead.made.decision.decision == plain.made.decision.decision


async def test_a_turn_that_found_all_is_not_applicable(run_analysis: Runner) -> None:
    found = results((await run_analysis(choice=SHORT, prefetch=True)).trace)
    assert found.pop("tools").outcome is Outcome.NOT_APPLICABLE
    assert {result.outcome for result in found.values()} == {Outcome.PASS}


async def test_a_turn_that_shares_is_judged_by_the_fetches(run_analysis: Runner) -> None:
    ran = await run_analysis(choice=LONG, prefetch=True)
    assert_whole(ran.trace)
    assert set(served(ran.trace)) == {"shared"}
    found = results(ran.trace)
    assert {result.outcome for result in found.values()} == {Outcome.PASS}
    assert found["tools"].measured == "4 of 4 groups at once"


async def test_only_what_the_selected_analysts_ask_for(run_analysis: Runner) -> None:
    ran = await run_analysis(choice=SHORT, prefetch=True, analysts=("market_analyst",))
    assert set(served(ran.trace)) == {"hit"}
    assert len(ran.trace.rows("fetch ")) == 2  # the symbol's prices and the benchmark's


async def test_the_diagnosis_knows_that_nobody_waits_for_it(run_analysis: Runner) -> None:
    trace = (await run_analysis(choice=LONG, prefetch=True)).trace
    tree = call_tree(trace, trace.roots[0])
    schedule = Schedule(tree)
    (span,) = trace.rows("prefetch ")
    assert span not in schedule.path.total_ns
    # The order of LangGraph's steps is known all the same.
    assert set(tree.children(tree.run)) <= schedule.ranks.keys()
    # Indicators are computed after the fetch, for as long as the machine needs.
    computing = set(trace.rows("execute_tool get_indicators"))
    assert schedule.leaders.keys() - computing == set(tools(trace)) - computing


async def test_a_prefetch_that_fails_harms_nobody_and_shows(
    run_analysis: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> NoReturn:
        raise RuntimeError("broken")

    monkeypatch.setattr(dispatcher, "_fetches", broken)
    ran = await run_analysis(choice=SHORT, prefetch=True)
    assert not ran.made.decision.degraded
    assert_whole(ran.trace)
    found = results(ran.trace)
    failed = {id for id, result in found.items() if result.outcome is Outcome.FAIL}
    assert failed == {"errors"}
    assert [span.name for span in found["errors"].spans] == ["prefetch market_data"]


async def test_an_error_is_told_by_the_analyst_who_asks(run_analysis: Runner) -> None:
    ran = await run_analysis(prefetch=True, symbol="ZZZZ")
    assert isinstance(ran.error, UnknownSymbolError)
    assert_whole(ran.trace)


async def test_a_cancelled_prefetch_harms_nobody_who_shares(run_analysis: Runner) -> None:
    cancelled = []

    def cancel() -> None:
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == "prefetch":
                cancelled.append(task.cancel())

    ran = await run_analysis(choice=LONG, prefetch=True, during=cancel)
    assert cancelled == [True]
    assert not ran.made.decision.degraded
    assert set(served(ran.trace)) == {"shared"}
    assert_whole(ran.trace)
    (span,) = ran.trace.rows("prefetch ")
    assert ran.trace.attributes(span)[semconv.ERROR_TYPE] == "cancelled"


async def test_a_run_that_ends_early_leaves_no_task(run_analysis: Runner) -> None:
    before = asyncio.all_tasks()
    endless = replace(CHOICE, fetch_latency_s=30.0)
    ran = await run_analysis(
        choice=endless, prefetch=True, faults=(Fault("market_analyst", "status", value=401),)
    )
    assert ran.error is not None
    assert asyncio.all_tasks() == before
    assert_whole(ran.trace)
    (span,) = ran.trace.rows("prefetch ")
    below = [span, *ran.trace.children(span)]
    assert {ran.trace.attributes(row)[semconv.ERROR_TYPE] for row in below} == {"cancelled"}
    assert ran.trace.end[span] <= ran.trace.end[ran.trace.roots[0]]
