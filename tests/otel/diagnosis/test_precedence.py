"""What several traces say about the order of two calls."""

from itertools import permutations

from tests.otel.diagnosis.traces import Drawn, drawn
from trading_graph.otel.diagnosis import FindingKind, rank
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import SeenRun
from trading_graph.otel.trace.structure.precedence import precedence

A, B = ("a",), ("b",)
IN_ORDER: Drawn = ("run", 0, 100, [("a", 0, 40, []), ("b", 40, 100, [])])
REVERSED: Drawn = ("run", 0, 100, [("b", 0, 40, []), ("a", 50, 100, [])])
OVERLAPPING: Drawn = ("run", 0, 100, [("a", 0, 60, []), ("b", 40, 100, [])])


def tree(root: Drawn) -> SeenRun:
    trace = drawn(root)
    return SeenRun(trace, trace.roots[0])


def test_one_counterexample_refutes_wherever_it_comes() -> None:
    trees = [tree(IN_ORDER), tree(OVERLAPPING), tree(IN_ORDER)]
    for order in permutations(trees):
        found = precedence(order, A, B)
        assert (found.together, found.overlapping, found.reversed) == (3, 1, 0)
        assert found.is_refuted


def test_the_other_way_round_refutes_too() -> None:
    assert precedence([tree(IN_ORDER), tree(REVERSED)], A, B).is_refuted


def test_agreement_is_only_a_bound() -> None:
    found = precedence([tree(IN_ORDER)] * 60, A, B)
    assert not found.is_refuted
    assert found.bound == 0.05
    assert precedence([], A, B).bound == 1.0


def test_families_with_several_of_one_name_say_nothing() -> None:
    twice = tree(("run", 0, 100, [("a", 0, 40, []), ("a", 40, 60, []), ("b", 50, 100, [])]))
    assert precedence([twice], A, B).together == 0


def test_another_run_makes_a_gain_certain() -> None:
    def calls(*spans: Drawn) -> SpanTable:
        return drawn(("run", 0, 100, spans), {"gen_ai.operation.name": "execute_tool"})

    slow = calls(("a", 0, 40, []), ("b", 40, 100, []))
    run = slow.roots[0]
    (alone,) = rank(slow, run).candidates
    assert alone.candidate.kind is FindingKind.SERIAL_CALLS
    assert alone.wall.high_ns >= slow.duration[run]
    other = calls(("b", 0, 60, []), ("a", 60, 100, []))
    (known,) = rank(slow, run, [SeenRun(other, other.roots[0])]).candidates
    assert known.candidate.proven
    assert known.wall.high_ns < slow.duration[run]
