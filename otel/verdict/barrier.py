"""The superstep barrier: the next step of a branch waits for the slowest of the other branches.

LangGraph starts a step when every task of the step before has ended. A branch of several nodes is
therefore idle after each of its nodes, although its spans overlap with those of the others.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import agent_name

RELEASE_NS = 20_000_000
"""A start up to this long after the end of the slowest branch counts as released by it."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """How long branches waited at barriers, in nanoseconds, and the spans that had to wait.

    `idle_ns` is the sum over all branches, `longest_ns` the longest total wait of one branch.
    """

    idle_ns: int
    longest_ns: int
    waiting: tuple[int, ...]


NO_BARRIER = Barrier(0, 0, ())


def barrier(trace: SpanTable, rows: Sequence[int]) -> Barrier:
    """How long branches waited for each other between LangGraph's steps.

    Branches are distinguished by their agents' names; without names or steps there is no result.
    """
    if len(rows) < 3:
        # The least that shows a wait is two spans of one branch and one of another.
        return NO_BARRIER
    step_of = {row: at for row in sorted(rows) if (at := trace.steps[row]) is not None}
    if len(set(step_of.values())) < 2:
        return NO_BARRIER
    branches: dict[str, list[int]] = defaultdict(list)
    slowest: dict[tuple[int, int], int] = {}
    for row, at in step_of.items():
        name = agent_name(trace.attributes(row))
        if name is None:
            continue
        branches[name].append(row)
        place = (int(trace.parent[row]), at)
        slowest[place] = max(slowest.get(place, 0), int(trace.end[row]))
    idle, waiting = defaultdict[str, int](int), []
    for name, spans in branches.items():
        for before, after in itertools.pairwise(spans):
            place = (int(trace.parent[before]), step_of[before])
            if place[0] != trace.parent[after] or step_of[after] != step_of[before] + 1:
                continue
            wait = int(trace.start[after]) - int(trace.end[before])
            late = int(trace.start[after]) - slowest[place]
            if wait > RELEASE_NS and 0 <= late <= RELEASE_NS:
                idle[name] += wait
                waiting.append(after)
    return Barrier(sum(idle.values()), max(idle.values(), default=0), tuple(waiting))
