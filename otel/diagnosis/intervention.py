"""What interventions say of a finding that depends on whether spans need each other.

Delays tell who waits for whom, and not who reads whose result. So three answers are certain: spans
that do not wait for each other are independent; spans that take turns at a limit are too, and the
limit is what holds them up; a span whose own task waited for another needs it. Where one task does
both in turn, its code may do so without a need, and the question stays open.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from trading_graph.otel.diagnosis.actions import Chain, Fix, Parallelise, RemoveGap
from trading_graph.otel.diagnosis.findings.candidate import Candidate, seconds
from trading_graph.otel.diagnosis.findings.concurrency import (
    COMES_LATER,
    INDEPENDENT,
    NO_CHAINS,
    SHARED,
)
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace.dependencies import Relation, ShownOrder
from trading_graph.otel.trace.structure import plural

_NAMED = 4


def settle(finding: Candidate, schedule: Schedule, shown: ShownOrder) -> Iterator[Candidate]:
    """The finding, in parts as far as more is certain of these; none where it gains nothing."""
    if finding.proven:
        yield finding
    elif finding.only_if == COMES_LATER:
        yield _settle_late(finding, shown)
    elif finding.only_if == NO_CHAINS:
        apart = {Relation.LIMIT, Relation.FREE}
        is_limit = set(_relations(finding, shown)) <= apart
        yield msgspec.structs.replace(finding, only_if=SHARED) if is_limit else finding
    elif finding.only_if == INDEPENDENT:
        yield from _settle_row(finding, schedule, shown)
    else:
        yield finding


def _settle_row(finding: Candidate, schedule: Schedule, shown: ShownOrder) -> Iterator[Candidate]:
    """What is certain of the members of a row, and the row itself if something stays open."""
    for action in finding.actions:
        if isinstance(action, Parallelise):
            for group in _groups(action.rows, Relation.FREE, shown):
                yield _independent(finding, group, schedule, shown)
            for group in _groups(action.rows, Relation.LIMIT, shown):
                yield _limited(finding, group, schedule, shown)
    relations = list(_relations(finding, shown))
    if Relation.ASKED in relations or not {Relation.IN_TURN, Relation.OPEN} & {*relations}:
        return
    if Relation.OPEN in relations:
        yield finding
        return
    before = finding.evidence.partition("; nothing says whether they need each other")[0]
    which = "them" if set(relations) == {Relation.IN_TURN} else "some of them"
    said = f"one task does {which} in turn, {_how(shown)}; whether it has to, delays do not tell"
    yield msgspec.structs.replace(finding, evidence=f"{before.removesuffix('.')}; {said}.")


def _relations(finding: Candidate, shown: ShownOrder) -> Iterator[Relation]:
    for action in finding.actions:
        if isinstance(action, Parallelise):
            for first, second in pairwise(action.rows):
                yield shown.relation(first, second)


def _groups(
    rows: Sequence[int], relation: Relation, shown: ShownOrder
) -> Iterator[tuple[int, ...]]:
    """Members of a row that follow each other, each in this relation to all others."""
    group: list[int] = []
    for row in rows:
        if not all(shown.relation(each, row) is relation for each in group):
            if len(group) > 1:
                yield tuple(group)
            group = []
        group.append(row)
    if len(group) > 1:
        yield tuple(group)


def _independent(
    finding: Candidate, group: Sequence[int], schedule: Schedule, shown: ShownOrder
) -> Candidate:
    """Members that do not wait for each other: each can start when what it waits for is over."""
    family = schedule.family(schedule.tree.parents[group[0]])
    first = family.gaps[family.number[group[0]]]
    actions: list[Fix] = []
    for row in group[1:]:
        if row in shown.predecessors:
            gap = family.gaps[family.number[row]]
            actions.append(RemoveGap(row, min(first, gap)))
        else:
            actions.append(Parallelise((group[0], row)))
    said = f"none waits for the one before it, {_how(shown)}"
    return msgspec.structs.replace(
        finding,
        evidence=_evidence(finding, group, schedule, said),
        rows=_rows(finding, group),
        actions=(*actions, *_chains(finding, group)),
        proven=True,
        only_if="",
        is_open=False,
    )


def _limited(
    finding: Candidate, group: Sequence[int], schedule: Schedule, shown: ShownOrder
) -> Candidate:
    """Members that take turns at a limit."""
    said = f"they take turns at a limit that they share, and none waits for another, {_how(shown)}"
    return msgspec.structs.replace(
        finding,
        kind=FindingKind.LIMIT,
        evidence=_evidence(finding, group, schedule, said),
        rows=_rows(finding, group),
        actions=(Parallelise(tuple(group)), *_chains(finding, group)),
        only_if=SHARED,
        is_open=False,
    )


def _chains(finding: Candidate, group: Sequence[int]) -> Iterator[Fix]:
    """What the finding says of the branches that begin with members of a group."""
    for action in finding.actions:
        if isinstance(action, Chain) and action.rows[0] in group:
            yield action


def _rows(finding: Candidate, group: Sequence[int]) -> tuple[int, ...]:
    branches = [each.rows for each in _chains(finding, group) if isinstance(each, Chain)]
    return tuple(dict.fromkeys([*group, *(row for branch in branches for row in branch)]))


def _evidence(finding: Candidate, group: Sequence[int], schedule: Schedule, said: str) -> str:
    tree, trace = schedule.tree, schedule.tree.trace
    names = list(dict.fromkeys(trace.names[row] for row in group))
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    total_ns = sum(tree.duration(row) for row in group)
    what = f"{len(group)} {plural(trace.roles[group[0]])} ({shown})"
    return f"{what} ran one after the other, {seconds(total_ns)} in all; {said}."


def _settle_late(finding: Candidate, shown: ShownOrder) -> Candidate:
    """A late branch, which is independent if it waits for nothing."""
    if any(shown.predecessors.get(row, (row,)) for row in finding.rows):
        return finding
    said = f"it waits for no other, {_how(shown)}"
    return msgspec.structs.replace(
        finding,
        evidence=f"{finding.evidence.removesuffix('.')}; {said}.",
        proven=True,
        only_if="",
    )


def _how(shown: ShownOrder) -> str:
    return f"shown by intervention in {shown.dependencies.runs} runs"
