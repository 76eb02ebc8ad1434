"""Work that was repeated, work that failed, and time in which nothing was done."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from statistics import median

import numpy as np

from trading_graph.otel.diagnosis.actions import (
    Remove,
    RemoveBarrier,
    RemoveGap,
    RemoveTail,
    RemoveWaits,
    Share,
    Shorten,
)
from trading_graph.otel.diagnosis.blocked_loop import blocked_ns
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.kinds import Role, agent_name
from trading_graph.otel.verdict.barrier import barrier
from trading_graph.otel.verdict.work import is_from_cache

HIT_NS = 50_000
"""The assumed cost of a look-up in a cache, including its span."""

GAP_NS = 50_000_000
GAP_SHARE = 0.01
"""The shortest pause that counts: the greater of the two, the second as a share of the run."""


_PEERS = 3
"""Number of spans that have to run at once for one of them to stand out."""


def duplicates(schedule: Schedule) -> Iterator[Candidate]:
    """Fetches of one key that each went to the source; tool calls with the same arguments."""
    tree, trace = schedule.tree, schedule.tree.trace
    fetches: dict[str, list[int]] = defaultdict(list)
    calls: dict[tuple[str, str], list[int]] = defaultdict(list)
    keys, hashes = trace.values(semconv.FETCH_KEY), trace.values(semconv.TOOL_ARGS_HASH)
    for row in tree.rows:
        key, arguments = keys[row], hashes[row]
        if key is None and not arguments:
            continue
        if is_from_cache(trace, row) or row in trace.failed:
            continue
        if key is not None:
            fetches[str(key)].append(row)
        elif trace.roles[row] is Role.TOOL:
            calls[trace.names[row], str(arguments)].append(row)
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
    failures: list[int] = []
    delays: list[tuple[int, int]] = []
    for parent in sorted(schedule.path.total_ns):
        family = tree.children(parent)
        if not trace.failed.isdisjoint(family):
            failures += _repeats(trace, family)
        elif parent in trace.retried:
            events = trace.events(parent)
            last_ns = max(e.time_ns for e in events if e.name in ("retry", "attempt"))
            delays.append((parent, max(last_ns - tree.start[parent], 0)))
    if not failures and not delays:
        return
    rows = (*sorted(failures), *(row for row, _ in delays))
    loss_ns = sum(tree.duration(row) for row in failures) + sum(ns for _, ns in delays)
    yield Candidate(
        kind=FindingKind.RETRIES,
        place=place_of(tree, rows[0]),
        evidence=f"{len(rows)} calls had to be made again; {seconds(loss_ns)} went into attempts "
        "that failed, pauses between attempts beside it.",
        rows=rows,
        actions=(
            *((Remove(tuple(sorted(failures))),) if failures else ()),
            *(Shorten(row, tree.duration(row) - ns) for row, ns in delays),
        ),
        proven=False,
        only_if="every call succeeds at once",
    )


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


def barriers(schedule: Schedule) -> Iterator[Candidate]:
    """Branches of several steps that waited for each other at every superstep."""
    tree, trace = schedule.tree, schedule.tree.trace
    if not schedule.measures.barrier_idle_ns:
        return
    stop = barrier(trace, tree.rows)
    if not stop.waiting:
        return
    parents = {int(trace.parent[row]) for row in stop.waiting}
    names = {agent_name(trace.attributes(row)) for row in stop.waiting}
    branches: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row in sorted(tree.rows):
        name = agent_name(trace.attributes(row))
        if int(trace.parent[row]) in parents and name in names and name is not None:
            branches[int(trace.parent[row]), name].append(row)
    yield Candidate(
        kind=FindingKind.BARRIER,
        place=", ".join(sorted(name for name in names if name)),
        evidence=f"{len(stop.waiting)} steps waited for the slowest branch of the step before, "
        f"{seconds(stop.idle_ns)} in all.",
        rows=stop.waiting,
        actions=(RemoveBarrier(tuple(tuple(rows) for rows in branches.values())),),
    )


def gaps(schedule: Schedule) -> Iterator[Candidate]:
    """Long pauses on the critical path in a span that only coordinates."""
    tree, trace = schedule.tree, schedule.tree.trace
    least = max(GAP_NS, GAP_SHARE * tree.wall_ns)
    for number in np.flatnonzero(schedule.path.lengths >= ceil(least)).tolist():
        row, start, end = schedule.path.segment(number)
        idle = end - start
        if not tree.children(row) or trace.roles[row] in (Role.LLM, Role.HTTP):
            continue
        if blocked_ns(schedule.blocks, start, end) > idle / 2:
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
        action = RemoveGap(after[0], busy) if after else RemoveTail(row, busy)
        yield Candidate(
            kind=FindingKind.GAP,
            place=place_of(tree, row),
            evidence=f"Nothing that was recorded ran for {seconds(idle)} {part}{where}.",
            rows=(row, *after[:1]),
            actions=(action,),
            proven=False,
            only_if="it need not be",
        )


def queues(schedule: Schedule) -> Iterator[Candidate]:
    """Recorded waits for a free connection or a slot."""
    tree, trace = schedule.tree, schedule.tree.trace
    on_path = schedule.path.total_ns
    waits = [
        (row, int(wait * 1e6))
        for row, wait in trace.numbers(semconv.QUEUE_WAIT_MS)
        if wait >= 1 and row in on_path
    ]
    if not waits:
        return
    yield Candidate(
        kind=FindingKind.QUEUE,
        place=place_of(tree, waits[0][0]),
        evidence=f"{len(waits)} requests waited {seconds(sum(ns for _, ns in waits))} for a free "
        "connection.",
        rows=tuple(row for row, _ in waits),
        actions=(RemoveWaits(tuple(waits)),),
        proven=False,
        only_if="the source bears so many at once",
    )


def long_poles(schedule: Schedule) -> Iterator[Candidate]:
    """Spans on the path that took more than twice the median of those beside them."""
    tree, trace = schedule.tree, schedule.tree.trace
    on_path = schedule.path.total_ns
    for parent in {tree.parents[row] for row in on_path if row != tree.run}:
        family = tree.children(parent)
        if len(family) < _PEERS:
            continue
        peers: dict[Role, list[int]] = defaultdict(list)
        for row in family:
            if trace.roles[row] is not Role.OTHER:
                peers[trace.roles[row]].append(row)
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
