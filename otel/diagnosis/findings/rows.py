"""Siblings in a row of which nothing says whether they need each other.

A pipeline, a handoff and an exchange look the same as calls that could run at once. The trace does
not tell them apart, so nothing is promised: the gain begins at zero.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from trading_graph.otel.diagnosis.actions import Chain, Fix, Parallelise
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.concurrency import INDEPENDENT
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace.structure import Row, plural, siblings
from trading_graph.otel.vocabularies import Role

MANY = 10
"""Number of alike calls in a row from which they could be asked for at once (N+1 queries)."""


def serial_rows(schedule: Schedule) -> Iterator[Candidate]:
    """The rows on the critical path: agents and nodes, calls, and many small calls."""
    tree = schedule.tree
    on_path = schedule.path.total_ns
    found: dict[tuple[FindingKind, str], list[Row]] = defaultdict(list)
    for whole in siblings(tree.trace, tree.run).rows:
        for row in _parts(schedule, whole):
            if sum(span in on_path for span in row.spans) > 1:
                found[_kind(schedule, row), place_of(tree, row.parent)].append(row)
    for (kind, place), rows in found.items():
        yield _candidate(schedule, kind, place, rows)


def _kind(schedule: Schedule, row: Row) -> FindingKind:
    if row.role in (Role.AGENT, Role.CHAIN):
        return FindingKind.SERIAL_AGENTS
    if _is_many(schedule, row.spans):
        return FindingKind.MANY_SMALL_CALLS
    return FindingKind.SERIAL_CALLS


def _parts(schedule: Schedule, row: Row) -> Iterator[Row]:
    """A row, cut where many small calls begin and end: one that lists them may come before."""
    if len(row.branches) <= MANY or row.role in (Role.AGENT, Role.CHAIN):
        yield row
        return
    names = schedule.tree.trace.names
    rest: list[tuple[int, ...]] = []
    for _, same in groupby(row.branches, key=lambda branch: names[branch[0]]):
        branches = tuple(same)
        if not _is_many(schedule, [branch[0] for branch in branches]):
            rest += branches
            continue
        if len(rest) > 1:
            yield Row(tuple(rest), row.parent, row.role)
        rest = []
        yield Row(branches, row.parent, row.role)
    if len(rest) > 1:
        yield Row(tuple(rest), row.parent, row.role)


def _candidate(schedule: Schedule, kind: FindingKind, place: str, rows: Sequence[Row]) -> Candidate:
    tree, trace = schedule.tree, schedule.tree.trace
    spans = tuple(span for row in rows for span in row.spans)
    firsts = [branch[0] for row in rows for branch in row.branches]
    names = list(dict.fromkeys(trace.names[span] for span in firsts))
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    total_ns = sum(tree.duration(span) for span in spans)
    actions: list[Fix] = []
    for row in rows:
        actions.append(Parallelise(tuple(branch[0] for branch in row.branches)))
        actions += [Chain(branch) for branch in row.branches if len(branch) > 1]
    return Candidate(
        kind=kind,
        place=place,
        evidence=f"{len(firsts)} {plural(rows[0].role)} ({shown}) ran one after the other, "
        f"{seconds(total_ns)} in all; nothing says whether they need each other.",
        rows=spans,
        actions=tuple(actions),
        proven=False,
        only_if=INDEPENDENT,
        is_open=True,
    )


def _is_many(schedule: Schedule, spans: Sequence[int]) -> bool:
    """Whether a row has ten or more calls of one name that took about equally long."""
    tree = schedule.tree
    if len(spans) < MANY or len({tree.trace.names[span] for span in spans}) > 1:
        return False
    middle = median(tree.duration(span) for span in spans)
    alike = sum(middle / 2 <= tree.duration(span) <= 2 * middle for span in spans)
    return alike >= 0.9 * len(spans)
