"""The critical path as folded stacks: what flamegraph.pl, speedscope and others draw.

A line is the names from the run down to a span, with `;` between them, and the nanoseconds that
the path spent in the span itself. The lines sum to the run's time exactly.
"""

from collections import defaultdict

from trading_graph.otel.diagnosis import PathTable

DEPTH = 100
"""Frames of a stack; what is deeper is booked to one frame below: a flame graph shows no more."""

_DEEPER = "(deeper)"


def folded(path: PathTable) -> str:
    """The stacks of the path, in the order in which the run came to them."""
    tree, names = path.tree, path.tree.trace.names
    parents, depth = tree.parents, tree.depth
    # The span whose stack is written for each: itself, or the deepest above it that has a frame.
    frame_row: dict[int, int] = {}
    stacks: dict[int, str] = {}
    times: dict[str, int] = defaultdict(int)
    above = path.total_ns
    for row in tree.rows:
        if row not in above:
            continue
        if depth[row] >= DEPTH:
            frame_row[row] = frame_row[parents[row]]
            continue
        frame_row[row] = row
        before = stacks[parents[row]] + ";" if row != tree.run else ""
        stacks[row] = before + _frame(names[row])
    for row, took in path.self_ns.items():
        times[stacks[frame_row[row]] + ("" if frame_row[row] == row else f";{_DEEPER}")] += took
    return "".join(f"{stack} {took}\n" for stack, took in times.items())


def _frame(name: str) -> str:
    return " ".join(name.replace(";", ",").split()) or "(unnamed)"
