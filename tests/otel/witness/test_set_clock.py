"""Spans while somebody sets the machine's clock: they have their lengths and their order."""

import time

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan

from tests.otel.witness.witnessed import Program, program
from tests.set_clock import SetClock, settable_clock
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness.clock import clock_id, now_ns

__all__ = ["program"]
HOUR_S = 3600


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return settable_clock(monkeypatch)


@pytest.mark.parametrize("step_s", [-HOUR_S, HOUR_S])
def test_a_clock_that_is_set_moves_no_span(clock: SetClock, program: Program, step_s: int) -> None:
    began = time.perf_counter_ns()
    with program.tracer.start_as_current_span("root"):
        with program.tracer.start_as_current_span("across"):
            clock.ahead_s = step_s
        with program.tracer.start_as_current_span("after") as after:
            after.add_event("event")
    took_ns = time.perf_counter_ns() - began
    spans = {span.name: span for span in program.ended}
    for span in spans.values():
        assert 0 <= _end(span) - _start(span) <= took_ns, span.name
    root, across, after_it = spans["root"], spans["across"], spans["after"]
    assert _start(root) <= _start(across) <= _end(across) <= _start(after_it) <= _end(after_it)
    assert _end(after_it) <= _end(root)
    assert _start(after_it) <= after_it.events[0].timestamp <= _end(after_it)


def test_the_next_trace_has_the_machines_time_and_another_clock(
    clock: SetClock, program: Program
) -> None:
    ids, aheads = [], []
    for ahead_s in (0, -HOUR_S, -HOUR_S, 0):
        clock.ahead_s = ahead_s
        before = clock.time_ns()
        with program.tracer.start_as_current_span("root"):
            pass
        ids.append((program.ended[-1].attributes or {})[witness.CLOCK])
        aheads.append(_start(program.ended[-1]) - before)
    # As exactly as two clocks can be read one after the other.
    assert all(-2_000_000 <= ahead < HOUR_S * 1e9 / 2 for ahead in aheads), aheads
    assert ids[0] != ids[1] == ids[2] != ids[3] == ids[0]
    assert clock_id() == ids[0]


def test_while_a_trace_is_open_another_one_keeps_to_its_clock(
    clock: SetClock, program: Program
) -> None:
    with program.tracer.start_as_current_span("first"):
        clock.ahead_s = -HOUR_S
        before = now_ns()
        program.tracer.start_span("second", context=Context()).end()
        assert _start(program.ended[-1]) >= before, "what both share is seen at one time in both"
    clock.ahead_s = 0


def _start(span: ReadableSpan) -> int:
    assert span.start_time is not None
    return span.start_time


def _end(span: ReadableSpan) -> int:
    assert span.end_time is not None
    return span.end_time
