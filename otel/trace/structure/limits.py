"""Limits on how many spans run at once, read from the times at which spans start.

A semaphore, a pool or an executor shows in that each later span starts as one before it ends. The
rule named 97 to 98 % of simulated semaphores and none of 10,000 runs without one; where all spans
take equally long, a limit cannot be told from batches or stages, and the result says so.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec

from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role

FEWEST_LIMITED = 3
"""No limit shows on fewer spans than these."""

HELD_SHARE = 0.05
"""A level counts if it was held for this share of the median duration."""

RELEASE_SHARE = 0.1
"""A start within this share of the median duration after an end took the slot that it freed."""

HANDOVERS = 0.8
"""The share of later starts that have to take a freed slot."""

STEP_SHARE = 0.2
"""How far the steps of a staircase may differ from the first, as a share of it; half of it where
the spans have different names."""

_VISITED = frozenset({Role.AGENT, Role.CHAIN})


class Limit(msgspec.Struct, frozen=True):
    """At most `at_once` of some spans ran at a time; `is_certain` excludes batches and stages."""

    at_once: int
    is_certain: bool


def limit(trace: SpanTable, rows: Sequence[int], least_later: int = 2) -> Limit | None:
    """The limit that spans met which wait outside, before they start; None where there is none.

    At least `least_later` of them have to start later than the first that ran at once.
    """
    if len(rows) < FEWEST_LIMITED or are_visited_again(trace, rows):
        return None
    times = sorted(trace.intervals[row] for row in rows)
    middle = median(end - start for start, end in times)
    ends = sorted(end for _, end in times)
    at_once = _level(times, ends, HELD_SHARE * middle)
    if not 1 < at_once < len(rows):
        return None
    later = times[at_once:]
    handovers = close = over = 0
    for number, (start, _) in enumerate(later, at_once):
        over = bisect_right(ends, start, lo=over)
        running = number - over
        freed = over > 0 and start - ends[over - 1] <= RELEASE_SHARE * middle
        close += freed
        handovers += freed and running == at_once - 1
    if len(later) >= least_later and handovers >= HANDOVERS * len(later):
        return Limit(at_once, True)
    if close == len(later) and len(later) >= least_later:
        return Limit(at_once, False)
    return None


def are_visited_again(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether agents or nodes come again, several of them and none beside itself.

    Then branches of several visits each ran side by side: a later start follows a visit before.
    """
    if any(trace.roles[row] not in _VISITED for row in rows):
        return False
    last_end: dict[str, int] = {}
    again: set[str] = set()
    for row in sorted(rows):
        name, (start, end) = trace.names[row], trace.intervals[row]
        if name in last_end:
            if start < last_end[name]:
                return False
            again.add(name)
        last_end[name] = end
    return len(again) > 1


def limit_inside(trace: SpanTable, branches: Sequence[Sequence[int]]) -> int | None:
    """How many of the calls of some branches a limit lets run at once; None where there is none.

    The branches are open all the time, and wait inside for the limit. A call that starts when the
    one before it in its own branch ends says nothing.
    """
    times = sorted(
        (*trace.intervals[row], number) for number, rows in enumerate(branches) for row in rows
    )
    if len(branches) < FEWEST_LIMITED or not times:
        return None
    middle = median(end - start for start, end, _ in times)
    ends = sorted(end for _, end, _ in times)
    at_once = _level([(start, end) for start, end, _ in times], ends, HELD_SHARE * middle)
    if not 1 < at_once < len(branches):
        return None
    later = handovers = 0
    own_end: dict[int, int] = {}
    for number, (start, end, branch) in enumerate(times):
        before = own_end.get(branch)
        own_end[branch] = end
        follows = before is not None and start - before <= RELEASE_SHARE * middle
        if number < at_once or follows:
            continue
        freed, running = _freed(ends, start, number, RELEASE_SHARE * middle)
        later += 1
        handovers += freed and running == at_once - 1
    return at_once if later >= 2 and handovers >= HANDOVERS * later else None


def _freed(ends: Sequence[int], start: int, before: int, soon_ns: float) -> tuple[bool, int]:
    """Whether a span starts soon after the end of another, and how many run then.

    `before` is how many started before it.
    """
    over = bisect_right(ends, start)
    return over > 0 and start - ends[over - 1] <= soon_ns, before - over


def _level(times: Sequence[tuple[int, int]], ends: Sequence[int], least_ns: float) -> int:
    """The highest number of spans that ran at once for a while."""
    held: dict[int, int] = {}
    edges = sorted([(end, -1) for end in ends] + [(start, 1) for start, _ in times])
    level = 0
    for (at, step), (after, _) in pairwise(edges):
        level += step
        held[level] = held.get(level, 0) + after - at
    return max((level for level, time in held.items() if time >= least_ns), default=0)


def staircase(trace: SpanTable, rows: Sequence[int], is_one_name: bool) -> int | None:
    """How many end at a time, where spans open together and end in steps as long as the first.

    Such spans wait inside, for a limit or for a loop that another of them blocks. It takes three
    steps, or two of two: unequal amounts of work seldom look like that.
    """
    if len(rows) < FEWEST_LIMITED:
        return None
    first_start = min(trace.intervals[row][0] for row in rows)
    last_start = max(trace.intervals[row][0] for row in rows)
    ends = sorted(trace.intervals[row][1] - first_start for row in rows)
    first = ends[0]
    if last_start - first_start > 0.2 * first:
        return None
    steps: list[list[int]] = [[first]]
    for end in ends[1:]:
        if end - steps[-1][0] <= 0.25 * first:
            steps[-1].append(end)
        else:
            steps.append([end])
    if len(steps) < 3 and not (len(steps) == 2 and len(rows) >= 4):
        return None
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(steps)]
    share = STEP_SHARE if is_one_name else STEP_SHARE / 2
    regular = all(abs(gap - first) <= share * first for gap in gaps)
    equal = all(len(step) == len(steps[0]) for step in steps[:-1])
    return len(steps[0]) if regular and equal else None
