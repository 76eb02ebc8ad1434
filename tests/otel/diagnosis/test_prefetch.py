"""A prefetch in a diagnosis: it runs beside the program, and no sibling waits for it."""

from collections.abc import Callable

from tests.otel.diagnosis.traces import BEGIN, MS, row
from trading_graph.otel.diagnosis import Edits, Model, Schedule, Simulation, call_tree
from trading_graph.otel.trace import Attributes, SpanTable, SpanValues, TraceBuilder, semconv

PREFETCH: Attributes = {semconv.OPERATION: "prefetch"}


def step(number: int) -> Attributes:
    return {semconv.STEP: number}


def saying(attributes: Attributes) -> Callable[[], Attributes]:
    return lambda: attributes


def program(beside: Attributes) -> SpanTable:
    """A dispatcher, an agent and a join, in steps; beside the agent a span that outlives it."""
    builder = TraceBuilder("0" * 31 + "1")
    for number, (name, start, end, attributes) in enumerate(
        (
            ("run", 0, 100, {}),
            ("dispatch", 0, 10, step(1)),
            ("beside", 11, 70, beside),
            ("agent", 12, 60, step(2)),
            ("join", 75, 100, step(3)),
        )
    ):
        times = BEGIN + start * MS, BEGIN + end * MS
        parent = f"{1:016x}" if number else ""
        builder.add(
            SpanValues(f"{number + 1:016x}", parent, name, 1, *times, 0, saying(attributes))
        )
    return builder.build()


def path(trace: SpanTable) -> set[str]:
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    return {trace.names[at] for at in schedule.path.self_ns}


def test_it_is_not_on_the_critical_path_although_it_ended_last() -> None:
    assert path(program(PREFETCH)) == {"run", "dispatch", "agent", "join"}
    assert "beside" in path(program(step(2)))


def test_the_declared_order_of_the_others_is_known() -> None:
    trace = program(PREFETCH)
    ranks = Schedule(call_tree(trace, trace.roots[0])).ranks
    order = sorted(("dispatch", "agent", "join"), key=lambda name: ranks[row(trace, name)])
    assert order == ["dispatch", "agent", "join"]
    plain = program({})
    assert not Schedule(call_tree(plain, plain.roots[0])).ranks


def test_a_longer_one_delays_nobody() -> None:
    trace = program(PREFETCH)
    schedule = Schedule(call_tree(trace, trace.roots[0]))
    edits = Edits(length={row(trace, "beside"): 200 * MS})
    assert Simulation(schedule, edits, Model.FREEST).wall_ns == 100 * MS
