"""Where our critical path and Jaeger's own differ: siblings that touch.

Jaeger's rule is written down here anew, after its source (`computeCriticalPath` in its user
interface and in its Go server, 2.20): from a span to the child that ends last; from a span without
one back to its parent, there to the child that ends last of those that ended before that span's
start, and not at it. Clipping of children is left out: here all lie inside their parents.
"""

from collections import defaultdict

from tests.otel.diagnosis.traces import MS, Drawn, drawn
from trading_graph.otel.diagnosis import call_tree, critical_path
from trading_graph.otel.trace import SpanTable


def ours(trace: SpanTable) -> dict[str, int]:
    """Milliseconds on our path by name."""
    path = critical_path(call_tree(trace, trace.roots[0]))
    return {name: took // MS for name, took in path.by_name.items()}


def jaegers(trace: SpanTable) -> dict[str, int]:
    """Milliseconds on Jaeger's path by name."""
    start, end = trace.start.tolist(), trace.end.tolist()
    spent: dict[str, int] = defaultdict(int)
    row, before = trace.roots[0], None
    while row >= 0:
        reached = end[row] if before is None else before
        ended = [c for c in trace.children(row) if before is None or end[c] < before]
        if ended:
            last = max(ended, key=end.__getitem__)
            spent[trace.names[row]] += (reached - end[last]) // MS
            row, before = last, None
        else:
            spent[trace.names[row]] += (reached - start[row]) // MS
            before, row = start[row], int(trace.parent[row])
    return {name: took for name, took in spent.items() if took}


def calls(count: int, pause_ms: int) -> SpanTable:
    """Calls of 10 ms, one after the other, with a pause after each."""
    each = 10 + pause_ms
    below: list[Drawn] = [(f"call {n}", n * each, n * each + 10, []) for n in range(count)]
    return drawn(("run", 0, count * each, below))


def test_with_a_pause_between_siblings_both_are_the_same() -> None:
    trace = calls(1000, pause_ms=1)
    assert ours(trace) == jaegers(trace)
    assert len(jaegers(trace)) == 1001


def test_of_siblings_that_touch_jaeger_drops_every_other_one() -> None:
    trace = calls(1000, pause_ms=0)
    theirs = jaegers(trace)
    assert theirs.pop("run") == 5_000, "the time of what is dropped goes to the parent"
    assert theirs == {f"call {n}": 10 for n in range(1, 1000, 2)}
    assert ours(trace) == {f"call {n}": 10 for n in range(1000)}


def test_nested_spans_and_those_beside_them_are_the_same() -> None:
    trace = drawn(
        (
            "run",
            0,
            100,
            [
                ("first", 1, 40, [("inner", 5, 30, [])]),
                ("beside", 2, 20, []),
                ("second", 45, 95, [("a", 46, 60, []), ("b", 50, 90, [("c", 52, 80, [])])]),
            ],
        )
    )
    assert ours(trace) == jaegers(trace)
