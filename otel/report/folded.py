"""The critical path as folded stacks: what flamegraph.pl, speedscope and others draw.

A line is the names from the run down to a span, with `;` between them, and the nanoseconds that
the path spent in the span itself. The lines sum to the run's time exactly.
"""

from collections import defaultdict

from otel.diagnosis import CriticalPath

DEPTH = 100
"""Frames of a stack; what is deeper is booked to one frame below: a flame graph shows no more."""

_DEEPER = "(deeper)"


def folded(path: CriticalPath) -> str:
    """The stacks of the path, in the order in which the run came to them."""
    tree, names = path.tree, path.tree.trace.names
    parents, depth = tree.trace.parent, tree.depth
    stacks: dict[int, str] = {}
    spent: dict[str, int] = defaultdict(int)
    for row, took in path.self_ns.items():
        deeper = depth[row] >= DEPTH
        while depth[row] >= DEPTH:
            row = int(parents[row])
        above = []
        top = row
        while top not in stacks:
            above.append(top)
            if top == tree.run:
                break
            top = int(parents[top])
        for each in reversed(above):
            before = stacks[int(parents[each])] + ";" if each != tree.run else ""
            stacks[each] = before + _frame(names[each])
        spent[stacks[row] + (f";{_DEEPER}" if deeper else "")] += took
    return "".join(f"{stack} {took}\n" for stack, took in spent.items())


def _frame(name: str) -> str:
    return " ".join(name.replace(";", ",").split()) or "(unnamed)"
