"""Scaling simulated latencies back: what of a run's critical path is latency, and what our own."""

from collections.abc import Mapping
from typing import Any

import pytest

from trading_graph.otel.diagnosis import Schedule, call_tree
from trading_graph.otel.trace import Link, SpanValues, TraceBuilder, semconv
from trading_graph.service.ladder import FullScale, Latencies, full_scale

MS = 10**6
TRACE_ID = "a" * 32
LATENCIES = Latencies(call_s=10, fetch_s=5, scale=0.01)  # 100 ms a call, 50 ms a fetch

RUN: Mapping[str, Any] = {semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW}
CALL: Mapping[str, Any] = {semconv.OPERATION_NAME: semconv.CHAT}
TOOL: Mapping[str, Any] = {semconv.OPERATION_NAME: semconv.EXECUTE_TOOL}
FETCH: Mapping[str, Any] = {semconv.OPERATION: "fetch"}
HTTP: Mapping[str, Any] = {"http.request.method": "GET"}


def measured(
    *spans: tuple[str, str, Mapping[str, Any], int, int], joined: Mapping[str, str] | None = None
) -> FullScale:
    """The first span is the run; a span is (name, parent, attributes, start ms, end ms).

    `joined` names the span that another one links to.
    """
    builder = TraceBuilder(TRACE_ID)
    for name, parent, attributes, start, end in spans:
        target = (joined or {}).get(name)
        links = (Link(TRACE_ID, target, {}),) if target else ()
        builder.add(
            SpanValues(
                span_id=name,
                parent_id=parent,
                name=name,
                kind=1,
                start_ns=10**18 + start * MS,
                end_ns=10**18 + end * MS,
                status=0,
                attributes=lambda attributes=attributes: attributes,  # type: ignore[misc]
                links=lambda links=links: links,  # type: ignore[misc]
            )
        )
    trace = builder.build()
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    return full_scale(schedule.tree, schedule.predecessors, LATENCIES)


def test_only_latency_is_scaled_back() -> None:
    found = measured(
        ("run", "", RUN, 0, 300),
        ("call", "run", CALL, 10, 113),  # 3 ms more than its latency
        ("tool", "run", TOOL, 120, 190),
        ("fetch", "tool", FETCH, 125, 185),  # 10 ms more
        ("http", "fetch", HTTP, 126, 180),
        ("call again", "run", CALL, 195, 295),
    )
    assert (found.calls, found.fetches) == (2, 1)
    assert found.own_s == pytest.approx(0.3 - 2 * 0.1 - 0.05)
    assert found.seconds == pytest.approx(2 * 10 + 5 + found.own_s)


def test_what_runs_beside_the_path_does_not_count() -> None:
    found = measured(
        ("run", "", RUN, 0, 220),
        ("one", "run", CALL, 0, 101),
        ("other", "run", CALL, 0, 103),
        ("last", "run", CALL, 110, 215),
    )
    assert found.calls == 2


def test_who_joins_a_fetch_of_another_waits_for_it() -> None:
    spans = (
        ("run", "", RUN, 0, 90),
        ("first", "run", TOOL, 0, 60),
        ("fetch", "first", FETCH, 2, 55),
        ("second", "run", TOOL, 1, 80),  # joins the fetch, then works until 80 ms
    )
    shared = measured(*spans, joined={"second": "fetch"})
    assert shared.fetches == 1
    assert shared.own_s == pytest.approx(0.040)
    # Without the link nothing says that it waited.
    assert measured(*spans).fetches == pytest.approx(0, abs=0.05)


def late(*before: tuple[str, str, Mapping[str, Any], int, int]) -> FullScale:
    """A run whose last tool joins, 20 ms late, a fetch that takes 50 ms."""
    return measured(
        ("run", "", RUN, 0, 80),
        ("first", "run", TOOL, 0, 51),
        ("fetch", "first", FETCH, 1, 51),
        *before,
        ("second", "run", TOOL, 21, 80),
        joined={"second": "fetch"},
    )


def test_who_is_late_by_its_own_time_still_waits_for_the_whole_latency() -> None:
    found = late()
    assert found.fetches == pytest.approx(1)
    assert found.own_s == pytest.approx(0.030)


def test_who_is_late_because_of_another_latency_waits_for_the_rest() -> None:
    found = late(("its own", "run", FETCH, 1, 21))
    assert found.fetches == pytest.approx((20 + 30) / 50)
    assert found.own_s == pytest.approx(0.030)


def test_a_call_cut_short_counts_for_what_it_took() -> None:
    found = measured(("run", "", RUN, 0, 50), ("call", "run", CALL, 0, 25))
    assert found.calls == pytest.approx(0.25)
    assert found.own_s == pytest.approx(0.025)


def test_the_parts_sum_to_the_run() -> None:
    found = measured(
        ("run", "", RUN, 0, 400), ("call", "run", CALL, 3, 120), ("fetch", "run", FETCH, 130, 177)
    )
    scale = LATENCIES.scale
    assert found.latency_s * scale + found.own_s == pytest.approx(0.4)
