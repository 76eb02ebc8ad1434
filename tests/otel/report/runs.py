"""A slow run drawn by hand: agents one after the other, each a call, two tools, and a call."""

from collections.abc import Iterator
from functools import partial

from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.trace import Event, Link, SpanTable, SpanValues, TraceBuilder, semconv

MS = 1_000_000
BEGIN = 1_763_100_000 * 10**9
TRACE_ID = "0123456789abcdef0123456789abcdef"
CALL_MS, TOOL_MS = 800, 300
AGENT_MS = 2 * CALL_MS + 2 * TOOL_MS


def slow_run(
    agents: int = 3, *, simulated: bool = False, name: str = "analyst", detached: bool = False
) -> SpanTable:
    """So many agents in a row, each named like the first; a detached span outlives the run."""
    builder = TraceBuilder(TRACE_ID)
    spans = list(_spans(agents, name))
    if detached:
        end = spans[0][4]
        spans.append(("ffff", "r", "detached", end - 1, end + 900, {}))
    run = spans[0][5]
    run[semconv.SPANS_STARTED] = len(spans)
    if simulated:
        run |= {semconv.LATENCY_SIMULATED: True, semconv.LATENCY_CHAT_S: CALL_MS / 1000}
    for span_id, parent, title, start, end, attributes in spans:
        links = [Link(TRACE_ID, _id("d"), {})] if attributes.get(semconv.AGENT_NAME) else []
        events = [Event("chunk", BEGIN + (start + end) // 2 * MS, {"n": 1})]
        builder.add(
            SpanValues(
                _id(span_id),
                _id(parent) if parent else "",
                title,
                1,
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                partial(dict, attributes),
                partial(list, events),
                partial(list, links),
            )
        )
    return builder.build()


def slow_diagnosis(limit_s: float = 120.0, trace: SpanTable | None = None) -> Diagnosis:
    """The diagnosis of a trace, or of the slow run."""
    found = diagnose(trace or slow_run(), own_gate(), limit_s)
    assert isinstance(found, Diagnosis), found.missing
    return found


Drawn = tuple[str, str, str, int, int, dict[str, object]]


def _spans(agents: int, name: str) -> Iterator[Drawn]:
    operation = semconv.OPERATION_NAME
    whole = 1 + agents * AGENT_MS
    yield "r", "", "invoke_workflow run", 0, whole, {operation: "invoke_workflow"}
    yield "d", "r", "dispatch agents", 0, 1, {semconv.OPERATION: "dispatch"}
    for number in range(agents):
        at, agent, who = 1 + number * AGENT_MS, f"a{number}", f"{name} {number}"
        found: dict[str, object] = {operation: "invoke_agent", semconv.AGENT_NAME: who}
        yield agent, "r", f"invoke_agent {who}", at, at + AGENT_MS, found
        between = at + CALL_MS
        parts = (
            ("1", "chat model", at, at + CALL_MS, {operation: "chat"}),
            ("2", "execute_tool x", between, between + TOOL_MS, {operation: "execute_tool"}),
            (
                "3",
                "execute_tool y",
                between + TOOL_MS,
                between + 2 * TOOL_MS,
                {operation: "execute_tool"},
            ),
            ("4", "chat model", at + AGENT_MS - CALL_MS, at + AGENT_MS, {operation: "chat"}),
        )
        for turn, (part, title, start, end, own) in enumerate(parts):
            given: dict[str, object] = {**own, semconv.TURN_INDEX: 2 if turn == 3 else 1}
            if turn in (1, 2):
                given[semconv.TOOL_CALL_ID] = f"call {agent}{part}"
            yield f"{agent}{part}", agent, title, start, end, given


def _id(word: str) -> str:
    return word.encode().hex().rjust(16, "0")
