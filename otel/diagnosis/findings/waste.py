"""Work that was repeated, work that failed, and time in which nothing was done."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from statistics import median

import numpy as np

from trading_graph.otel.diagnosis.actions import (
    Fix,
    Remove,
    RemoveGap,
    RemoveTail,
    Share,
    Shorten,
)
from trading_graph.otel.diagnosis.blocked_loop import blocked_ns
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Family, Schedule
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict.duplicates import by_request
from trading_graph.otel.verdict.retries import retries_of, too_many_requests
from trading_graph.otel.verdict.work import is_from_cache
from trading_graph.otel.vocabularies import Role, agent_name, witness
from trading_graph.otel.vocabularies.values import finite

HIT_NS = 50_000
"""The assumed cost of a look-up in a cache, including its span."""

GAP_SHARE = 0.02
"""The shortest pause that counts, as a share of the run."""


_NO_KIND = frozenset({Role.OTHER, Role.CHAIN})
"""Spans of these roles need not be alike."""

_RATE = witness.Wait.RATE_LIMIT

_PEERS = 3
"""Number of spans that have to run at once for one of them to stand out."""


def duplicates(schedule: Schedule) -> Iterator[Candidate]:
    """Fetches of one key that each went to the source; tool calls with the same arguments."""
    tree, trace = schedule.tree, schedule.tree.trace
    fetches: dict[str, list[int]] = defaultdict(list)
    calls: dict[str, list[int]] = defaultdict(list)
    keys = trace.values(semconv.FETCH_KEY)
    for request, rows in by_request(trace, tree.run, tree.rows).items():
        for row in rows:
            if not is_from_cache(trace, row) and row not in trace.failed:
                (calls if keys[row] is None else fetches)[request].append(row)
    again = [tuple(rows) for rows in fetches.values() if len(rows) > 1]
    if again:
        yield _duplicates(schedule, again, "fetches", proven=True)
    fetching = {int(trace.parent[row]) for rows in fetches.values() for row in rows}
    again = [tuple(r) for r in calls.values() if len(r) > 1 and fetching.isdisjoint(r)]
    if again:
        yield _duplicates(schedule, again, "tool calls", proven=False)


def _duplicates(
    schedule: Schedule, groups: list[tuple[int, ...]], what: str, *, proven: bool
) -> Candidate:
    tree, trace = schedule.tree, schedule.tree.trace
    rows = tuple(row for group in groups for row in group)
    wasted = sum(tree.duration(row) for group in groups for row in group[1:])
    names = ", ".join(list(dict.fromkeys(trace.names[row] for row in rows))[:3])
    return Candidate(
        kind=FindingKind.DUPLICATES,
        place=names,
        evidence=f"{len(rows) - len(groups)} {what} of {len(rows)} asked for what another had "
        f"asked for; {seconds(wasted)} of work.",
        rows=rows,
        actions=tuple(Share(group, HIT_NS) for group in groups),
        proven=proven,
        only_if="" if proven else "the tool only reads",
    )


def retries(schedule: Schedule) -> Iterator[Candidate]:
    """Attempts that failed and were repeated, either as a sibling or inside one span."""
    tree, trace = schedule.tree, schedule.tree.trace
    failures: set[int] = set()
    delays: list[tuple[int, int]] = []
    on_path = schedule.path.total_ns
    for parent in sorted(on_path):
        family = tree.children(parent)
        if not trace.failed.isdisjoint(family):
            failures.update(_repeats(trace, family))
        elif parent in trace.retried:
            events = trace.events(parent)
            last_ns = max(e.time_ns for e in events if e.name in ("retry", "attempt"))
            delays.append((parent, max(last_ns - tree.start[parent], 0)))
    resends = [each for each in retries_of(trace, tree.rows) if each.row not in trace.retried]
    failures.update(
        [each.before for each in resends if each.before is not None and each.before in on_path]
    )
    # A span that holds all attempts does not say how long each took.
    delays += [
        (each.row, tree.duration(each.row) * each.times // (each.times + 1))
        for each in resends
        if each.before is None and each.row in on_path
    ]
    if not failures and not delays:
        return
    rows = (*sorted(failures), *(row for row, _ in delays))
    below = [each for row in rows for each in trace.subtree(row)]
    limited = too_many_requests(trace, below)
    loss_ns = sum(tree.duration(row) for row in failures) + sum(ns for _, ns in delays)
    asked_ns = sum(_rate_pauses_ns(trace, row) for row, _ in delays)
    asked = f"; {seconds(asked_ns)} of it were pauses for a rate limit" if asked_ns else ""
    yield Candidate(
        kind=FindingKind.RETRIES,
        place=place_of(tree, rows[0]),
        evidence=f"{len(rows)} calls had to be made again; {seconds(loss_ns)} went into attempts "
        f"that failed, pauses between attempts beside it{asked}"
        + (f"; {limited}." if limited else "."),
        rows=rows,
        actions=(
            *((Remove(tuple(sorted(failures))),) if failures else ()),
            *(Shorten(row, tree.duration(row) - ns) for row, ns in delays),
        ),
        proven=False,
        only_if="every call succeeds at once",
    )


def _rate_pauses_ns(trace: SpanTable, row: int) -> int:
    """What the retries of a span say that they waited for a rate limit."""
    events = [each for each in trace.events(row) if each.name == "retry"]
    asked = [each for each in events if each.attributes.get(semconv.WAIT_REASON) == _RATE]
    waits = [finite(each.attributes.get(semconv.WAIT_S)) or 0.0 for each in asked]
    return int(sum(waits) * 1e9)


def _repeats(trace: SpanTable, family: Sequence[int]) -> list[int]:
    """The siblings that failed and were followed by another with the same name and agent."""
    failures = []
    later: set[tuple[str, str | None]] = set()
    for row in reversed(family):
        who = (trace.names[row], agent_name(trace.attributes(row)))
        if row in trace.failed and who in later:
            failures.append(row)
        later.add(who)
    return failures


def gaps(schedule: Schedule) -> Iterator[Candidate]:
    """Long pauses on the critical path in a span that only coordinates."""
    tree, trace = schedule.tree, schedule.tree.trace
    least = GAP_SHARE * tree.wall_ns
    for number in np.flatnonzero(schedule.path.lengths >= ceil(least)).tolist():
        row, start, end = schedule.path.segment(number)
        idle = end - start
        if not tree.children(row) or trace.roles[row] in (Role.LLM, Role.HTTP):
            continue
        if blocked_ns(schedule.blocks.beside(row), start, end) > idle / 2:
            continue  # the event loop was blocked, which is a separate finding
        idle = trace.idle_ns(start, end, (row, *trace.ancestors(row)))
        if idle < least:
            continue  # the span waited for one that hangs elsewhere
        family = schedule.family(row)
        after = family.starting(end - tree.start[row])
        before = family.ending(start - tree.start[row])
        if not trace.failed.isdisjoint(before):
            continue  # the pause after a failed attempt disappears with the attempt
        where = f"before {trace.names[after[0]]}" if after else "at its end"
        if before:
            where = f"between {trace.names[before[0]]} and " + (
                trace.names[after[0]] if after else "its end"
            )
        busy = end - start - idle
        part = f"of the {seconds(end - start)} " if busy else ""
        actions: tuple[Fix, ...] = (RemoveTail(row, busy),)
        if after:
            # All that waited for the same end move, not the first of them alone.
            numbers = _released_with(family, family.number[after[0]])
            actions = tuple(
                RemoveGap(family.rows[each], max(family.gaps[each] - idle, 0)) for each in numbers
            )
        yield Candidate(
            kind=FindingKind.GAP,
            place=place_of(tree, row),
            evidence=f"Nothing that was recorded ran for {seconds(idle)} {part}{where}.",
            rows=(row, *after[:1]),
            actions=actions,
            proven=False,
            only_if="it need not be",
        )


def _released_with(family: Family, first: int) -> list[int]:
    """The children, by number, that start after a pause with this one, before any of them ends."""
    last_end = family.start[first] - family.gaps[first]
    first_end = family.end[first]
    released = []
    # Of branches that start together, the one on the path need not be the first.
    for number in range(bisect_left(family.start, last_end), len(family.rows)):
        if family.start[number] >= first_end:
            break
        if family.start[number] - family.gaps[number] == last_end:
            released.append(number)
            first_end = min(first_end, family.end[number])
    return released


def long_poles(schedule: Schedule) -> Iterator[Candidate]:
    """Spans on the path that took more than twice the median of those beside them."""
    tree, trace = schedule.tree, schedule.tree.trace
    on_path, roles = schedule.path.total_ns, trace.roles
    for parent in {tree.parents[row] for row in on_path if row != tree.run}:
        family = tree.children(parent)
        if len(family) < _PEERS:
            continue
        peers: dict[Role, list[int]] = defaultdict(list)
        for row in family:
            if (role := roles[row]) not in _NO_KIND:
                peers[role].append(row)
        for rows in peers.values():
            for peers_at_once in _at_once(schedule, rows) if len(rows) >= _PEERS else ():
                yield from _pole(schedule, peers_at_once)


def _pole(schedule: Schedule, peers_at_once: list[int]) -> Iterator[Candidate]:
    tree = schedule.tree
    if len(peers_at_once) < _PEERS:
        return
    longest = max(peers_at_once, key=tree.duration)
    if not schedule.path.total_ns.get(longest):
        return
    others = [tree.duration(row) for row in peers_at_once if row != longest]
    middle = int(median(others))
    if middle and tree.duration(longest) > 2 * middle:
        yield Candidate(
            kind=FindingKind.LONG_POLE,
            place=place_of(tree, longest),
            evidence=f"It took {seconds(tree.duration(longest))}; the {len(others)} that ran "
            f"beside it took {seconds(middle)} (median).",
            rows=(longest,),
            actions=(Shorten(longest, middle),),
            proven=False,
            only_if="it can be as fast as the others",
        )


def _at_once(schedule: Schedule, rows: list[int]) -> Iterator[list[int]]:
    """Siblings, in order of start, in groups in which each member overlaps another."""
    tree = schedule.tree
    together: list[int] = []
    last_end = 0
    for row in rows:
        if together and tree.start[row] >= last_end:
            yield together
            together, last_end = [], 0
        together.append(row)
        last_end = max(last_end, tree.end[row])
    if together:
        yield together


DOMINANT_SHARE = 0.3
"""A span of an unknown kind stands out from this share of the run's duration on the path."""


def dominant_spans(schedule: Schedule) -> Iterator[Candidate]:
    """Spans of a kind that no vocabulary names, without parts, that fill much of the path."""
    tree, trace = schedule.tree, schedule.tree.trace
    for row, self_ns in schedule.path.self_ns.items():
        if row == tree.run or self_ns < DOMINANT_SHARE * tree.wall_ns:
            continue
        if trace.roles[row] is not Role.OTHER:
            continue
        yield Candidate(
            kind=FindingKind.DOMINANT_SPAN,
            place=place_of(tree, row),
            evidence=f"{seconds(self_ns)} of {seconds(tree.wall_ns)} are spent in it, and no span "
            "inside it says on what.",
            rows=(row,),
            actions=(Shorten(row, tree.duration(row) - self_ns),),
            proven=False,
            only_if="it can be left out",
            is_open=True,
        )
