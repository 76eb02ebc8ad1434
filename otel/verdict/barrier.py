"""The superstep barrier: a branch whose next step waits for the slowest of the others.

LangGraph starts a step when every task of the one before has ended. A branch of several nodes then
idles at each border; its spans overlap with the others' all the same.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.kinds import agent_name

RELEASED_NS = 20_000_000
"""How soon after the slowest branch's end a start counts as released by it."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """How long branches stood at barriers, as a sum over branches, and the spans that had waited.

    `held_ns` is the longest that one branch was held in all.
    """

    idle_ns: int
    held_ns: int
    waiting: tuple[int, ...]


NO_BARRIER = Barrier(0, 0, ())


def barrier(trace: SpanTable, rows: Sequence[int]) -> Barrier:
    """What branches waited for each other between LangGraph's steps.

    Branches are told apart by the agent's name; without names or steps nothing is claimed.
    """
    if len(rows) < 3:
        # Two spans of one branch and one of another is the least that shows a wait.
        return NO_BARRIER
    known = {row: at for row in sorted(rows) if (at := trace.steps[row]) is not None}
    if len(set(known.values())) < 2:
        return NO_BARRIER
    branches: dict[str, list[int]] = defaultdict(list)
    slowest: dict[tuple[int, int], int] = {}
    for row, at in known.items():
        name = agent_name(trace.attributes(row))
        if name is None:
            continue
        branches[name].append(row)
        place = (int(trace.parent[row]), at)
        slowest[place] = max(slowest.get(place, 0), int(trace.end[row]))
    idle, waiting = defaultdict[str, int](int), []
    for name, spans in branches.items():
        for before, after in itertools.pairwise(spans):
            place = (int(trace.parent[before]), known[before])
            if place[0] != trace.parent[after] or known[after] != known[before] + 1:
                continue
            wait = int(trace.start[after]) - int(trace.end[before])
            late = int(trace.start[after]) - slowest[place]
            if wait > RELEASED_NS and 0 <= late <= RELEASED_NS:
                idle[name] += wait
                waiting.append(after)
    return Barrier(sum(idle.values()), max(idle.values(), default=0), tuple(waiting))
