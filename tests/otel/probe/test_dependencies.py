"""The file of dependencies, and what it says of the spans of a trace."""

import msgspec
import pytest

from tests.otel.watched import Watched, rows
from trading_graph.otel.errors import DependenciesError
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import (
    Dependencies,
    ProbedSpan,
    Relation,
    ShownLimit,
    ShownOrder,
    ShownWait,
    WaitOrder,
)
from trading_graph.otel.verdict import Verdict, judge, neutral_gate


def wait(span: int, order: WaitOrder = WaitOrder.ASKED) -> ShownWait:
    return ShownWait(span=span, order=order, runs=3, confidence=0.99)


def span(name: str, *waits: ShownWait, open: tuple[int, ...] = ()) -> ProbedSpan:
    return ProbedSpan(path=(name,), numbers=(0,), waits_for=waits, open=open)


def dependencies(*spans: ProbedSpan, limits: tuple[ShownLimit, ...] = ()) -> Dependencies:
    return Dependencies(
        schema_version=1,
        program=("app",),
        runs=10,
        plain=2,
        wall_s=0.5,
        total_s=5.5,
        tolerance_s=0.001,
        noise=0.01,
        spans=spans,
        limits=limits,
        speed_ups=(),
    )


def in_a_row(*names: str) -> SpanTable:
    drawing = Watched()
    for at, name in enumerate(names):
        drawing.add(name, 100 * at, 100 * at + 99)
    return drawing.trace(100 * len(names))


def test_the_file_comes_back_as_it_was_written() -> None:
    known = dependencies(span("a"), span("b", wait(0)))
    assert Dependencies.from_json(msgspec.json.encode(known)) == known


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated"),
        (b"[]", "object"),
        (b'{"schema_version": 2}', "schema_version"),
        (msgspec.json.encode(dependencies(span("a", wait(7)))), "beyond"),
    ],
)
def test_what_is_no_file_of_dependencies_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(DependenciesError, match=said):
        Dependencies.from_json(content)


def test_what_waits_through_another_waits_too() -> None:
    trace = in_a_row("a", "b", "c")
    order = ShownOrder(dependencies(span("a"), span("b", wait(0)), span("c", wait(1))), trace, 0)
    a, b, c = (rows(trace, name)[0] for name in "abc")
    assert order.relation(a, b) is Relation.ASKED
    assert order.relation(a, c) is not Relation.FREE
    assert order.predecessors == {a: (), b: (a,), c: (b,)}


def test_what_is_open_is_not_said_to_be_free() -> None:
    trace = in_a_row("a", "b", "c")
    order = ShownOrder(dependencies(span("a"), span("b", open=(0,)), span("c")), trace, 0)
    a, b, c = (rows(trace, name)[0] for name in "abc")
    assert order.relation(a, b) is Relation.OPEN
    assert order.relation(a, c) is Relation.FREE
    assert b not in order.predecessors


def test_spans_that_cannot_be_told_apart_are_left_out() -> None:
    """The program made two spans of a name when it was probed, and one now: which, nobody knows."""
    trace = in_a_row("a", "b")
    second = ProbedSpan(path=("b",), numbers=(1,), waits_for=(), open=())
    order = ShownOrder(dependencies(span("a"), span("b", wait(0)), second), trace, 0)
    assert order.relation(*rows(trace, "a", "b")) is Relation.OPEN


def test_members_of_a_limit_do_not_wait_for_each_other() -> None:
    trace = in_a_row("a", "b")
    limit = ShownLimit(spans=(0, 1), at_once=1, handovers=9)
    order = ShownOrder(dependencies(span("a"), span("b"), limits=(limit,)), trace, 0)
    assert order.relation(*rows(trace, "a", "b")) is Relation.LIMIT
    assert order.limits == [(rows(trace, "a", "b"), 1)]


def test_a_verdict_says_of_a_row_what_is_shown() -> None:
    trace = in_a_row("a", "b", "c")
    without = judge(trace, neutral_gate())
    free = judge(trace, neutral_gate(), dependencies=dependencies(span("a"), span("b"), span("c")))
    waits = judge(
        trace,
        neutral_gate(),
        dependencies=dependencies(span("a"), span("b", wait(0)), span("c", wait(1))),
    )
    assert "nothing says" in _notes(without)
    assert "wait for those before them" in _notes(waits)
    failed = [each for each in free.failures if each.evidence]
    assert [each.evidence.value for each in failed if each.evidence] == ["shown by intervention"]


def _notes(verdict: Verdict) -> str:
    return " ".join(note for check in verdict.checks for note in check.notes)
