"""Attributes of foreign traces: a name of ours may hold anything, and nothing raises."""

import io
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.report import VerdictText, as_github, as_json, as_junit, as_markdown
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder, semconv
from trading_graph.otel.verdict import judge

EPOCH_NS = 1_763_100_000 * 10**9

KEYS = [value for name, value in vars(semconv).items() if name.isupper() and "." in value]
ODD = [None, "abc", "", "nan", float("inf"), [1, 2], {"a": [None]}, b"\xff", 10**400, True]


def trace_with(key: str, value: Any) -> SpanTable:
    """Two agents with a chat and a tool each below a run, all of which carry the attribute."""
    shape: list[tuple[str, str, int, int, dict[str, Any]]] = [
        ("run", "", 0, 100, {semconv.OPERATION_NAME: "invoke_workflow", semconv.SPANS_STARTED: 8}),
        ("send", "run", 0, 1, {semconv.OPERATION: "dispatch"}),
    ]
    for agent in ("a", "b"):
        name = {semconv.AGENT_NAME: agent, semconv.TURN_INDEX: 1}
        shape += [
            (agent, "run", 2, 90, {semconv.OPERATION_NAME: "invoke_agent", **name}),
            (f"chat {agent}", agent, 2, 40, {semconv.OPERATION_NAME: "chat", **name}),
            (f"tool {agent}", agent, 41, 90, {semconv.OPERATION_NAME: "execute_tool", **name}),
        ]
    builder = TraceBuilder("a" * 32)
    for name_, parent, start, end, said in shape:
        times = EPOCH_NS + start * 10**6, EPOCH_NS + end * 10**6
        attributes = {semconv.STEP: 1, semconv.LATENCY_SIMULATED: True, **said, key: value}
        builder.add(SpanValues(name_, parent, name_, 1, *times, 2, partial(dict, attributes)))
    return builder.build()


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("key", KEYS)
def test_no_value_of_an_attribute_raises(key: str, value: Any) -> None:
    verdict = judge(trace_with(key, value), own_gate())
    for written in (as_github, as_json, as_junit, as_markdown):
        assert written(verdict)
    Console(file=io.StringIO()).print(VerdictText(verdict))


def test_a_value_that_is_no_number_is_as_good_as_none() -> None:
    without = judge(trace_with("x", 1), own_gate())
    for odd in (None, "abc", "nan"):
        verdict = judge(trace_with(semconv.LOOP_LAG_MAX_MS, odd), own_gate())
        assert [each.outcome for each in verdict.checks] == [
            each.outcome for each in without.checks
        ]
