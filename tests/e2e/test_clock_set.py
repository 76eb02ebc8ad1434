"""A run while the machine's clock is set back and forward: its spans and its verdict are right."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.analysis_runner import CHOICE, Runner
from tests.set_clock import settable_clock
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.verdict import Outcome, judge

pytestmark = pytest.mark.idle

UNHURRIED = replace(CHOICE, chat_latency_s=0.4, fetch_latency_s=0.15)
HOUR_S = 3600
GATE = own_gate()


async def test_a_clock_that_is_set_back_and_forward_changes_no_verdict(
    run_analysis: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = settable_clock(monkeypatch)
    loop, set_at = asyncio.get_running_loop(), list[int]()

    def set_clock(ahead_s: int) -> None:
        clock.ahead_s = ahead_s
        set_at.append(ahead_s)

    for after_s, ahead_s in ((0.6, -HOUR_S), (1.2, 2 * HOUR_S), (1.8, -HOUR_S)):
        loop.call_later(after_s, set_clock, ahead_s)
    began = time.perf_counter()
    ran = await run_analysis(choice=UNHURRIED)
    took_s = time.perf_counter() - began
    assert len(set_at) == 3, "all of it was set while the run went on"
    trace = ran.trace
    (root,) = trace.roots
    assert (trace.end >= trace.start).all(), "no span ends before it begins"
    assert trace.start.min() == trace.start[root]
    assert trace.end.max() <= trace.end[root]
    assert (trace.end[root] - trace.start[root]) / 1e9 < took_s
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    assert {each.id for each in verdict.checks if each.outcome is Outcome.FAIL} == set()
