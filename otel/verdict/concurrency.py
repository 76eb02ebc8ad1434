"""The checks of what ran at once: overlap, and parallelism at leaf level."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from trading_graph.otel.trace import Evidence, SpanTable
from trading_graph.otel.trace.dependencies import Relation
from trading_graph.otel.trace.structure import Shape, plural, siblings, turns
from trading_graph.otel.verdict import gate as g
from trading_graph.otel.verdict.evaluation import SHOWN, CheckResult, Evaluation, not_applicable
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.parallelism import reason as cause_in_words


def overlap(on: Evaluation, check: g.Overlap) -> CheckResult:
    """Whether the spans of a set overlap, and the work below them too."""
    judgement = parallelism(on.trace, on.rows)
    if judgement.strength is Strength.NOT_APPLICABLE:
        return not_applicable(check, cause_in_words(judgement), judgement)
    group = judgement.group
    wrapper, work = group.wrapper_overlap or 0.0, group.work_overlap or 0.0
    enough = min(wrapper, work) >= check.at_least
    return on.result(
        enough and judgement.stands,
        f"spans {wrapper:.0%}, work below them {work:.0%}; "
        f"{group.wrappers.average:.1f} at once on average",
        f"{check.at_least:.0%} each",
        judgement,
        spans=group.rows,
        advice=judgement.advice,
    )


class _Members(msgspec.Struct, frozen=True):
    """A group of spans that a check judges; `is_due` says that they had to run at once."""

    rows: tuple[int, ...]
    evidence: Evidence
    is_due: bool = True


def leaf_parallelism(on: Evaluation, check: g.LeafParallelism) -> CheckResult:
    """Whether the spans of each group ran at once at leaf level."""
    groups = _groups(on, check)
    judgements = [(each, parallelism(on.trace, each.rows)) for each in groups]
    no_verdict = Strength.NOT_APPLICABLE
    applicable = [pair for pair in judgements if pair[1].strength is not no_verdict]
    bad = [each for members, each in applicable if members.is_due and not each.stands]
    judged = [pair for pair in applicable if pair[0].is_due or pair[1].stands]
    doubtful = [pair for pair in applicable if not pair[0].is_due and not pair[1].stands]
    notes = [_note(on.trace, members, each) for members, each in doubtful]
    if check.structure == g.FAN_OUT:
        notes += _row_notes(on)
    if not judged:
        why = _cannot_be_told(doubtful) if doubtful else _nothing_to_judge(on, check)
        likely = doubtful[0][1] if doubtful else None
        return not_applicable(check, why, likely, notes[:SHOWN])
    unknown, others = len(doubtful), len(judgements) - len(applicable)
    members, weakest = min(judged, key=lambda pair: _RANK[pair[1].strength])
    return on.result(
        not bad,
        f"{len(judged) - len(bad)} of {len(judged)} groups at once"
        + (f", {unknown} cannot be told" if unknown else "")
        + (f", {others} not applicable" if others else ""),
        "every group",
        weakest,
        spans=[row for each in bad for row in each.group.rows],
        advice=weakest.advice,
        evidence=members.evidence if weakest.cause else Evidence.RECORDED,
        notes=notes[:SHOWN],
    )


ONE_TOOL = "each turn asks for one tool"


def _cannot_be_told(groups: Sequence[object]) -> str:
    """What is said where nothing tells whether any of the groups had to run at once."""
    what = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
    return f"{what} cannot be told: nothing but their place says that these belong together"


def _nothing_to_judge(on: Evaluation, check: g.LeafParallelism) -> str:
    """Why no group could be judged."""
    found = turns(on.trace, on.run) if check.structure == g.TURN else ()
    if found and all(len(turn.tools) < 2 for turn in found):
        return ONE_TOOL
    if check.structure == g.FAN_OUT:
        return "nothing was released together"
    return "no group has two spans that did work of their own"


def _note(trace: SpanTable, members: _Members, judgement: Parallelism) -> str:
    """A sentence about a group that need not have run at once, as far as is known."""
    names = _names(trace, members.rows)
    if judgement.at_once:
        return f"{len(members.rows)} spans ({names}): {cause_in_words(judgement)}."
    return (
        f"{len(members.rows)} spans ({names}) ran one after the other; their place alone says that "
        f"they belong to one turn: {cause_in_words(judgement)}."
    )


def _row_notes(on: Evaluation) -> list[str]:
    """A sentence for each row of siblings of which nothing says whether they need each other."""
    trace, within = on.trace, frozenset(on.rows)
    rows = [row for row in siblings(trace, on.run).rows if within.issuperset(row.spans)]
    rows.sort(key=lambda row: -sum([trace.lengths[each] for each in row.spans]))
    return [
        f"{len(row.branches)} {plural(row.role)} ({_names(trace, [b[0] for b in row.branches])}) "
        f"ran one after the other; {_need(on, [branch[0] for branch in row.branches])}."
        for row in rows
        if on.apart([branch[0] for branch in row.branches]) is None
    ]


def _need(on: Evaluation, rows: Sequence[int]) -> str:
    """What is known of whether the spans of a row need each other, in words."""
    shown = on.scope.shown
    relations = {shown.relation(*pair) for pair in pairwise(rows)} if shown else {Relation.OPEN}
    if Relation.OPEN in relations:
        return "nothing says whether they need each other"
    if Relation.LIMIT in relations:
        return "some share a limit, as interventions show"
    if Relation.ASKED in relations:
        return "some wait for those before them, as interventions show"
    return "one task does them in turn, as interventions show; whether it has to, nothing says"


def _names(trace: SpanTable, rows: Sequence[int]) -> str:
    names = list(dict.fromkeys(trace.names[row] for row in rows))
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _groups(on: Evaluation, check: g.LeafParallelism) -> Iterable[_Members]:
    """The groups of a check: by structure, or else by parents and attributes."""
    inside = frozenset(on.rows)
    if check.structure == g.TURN:
        for turn in turns(on.trace, on.run):
            rows = turn.tools
            if not inside.issuperset(rows):
                rows = tuple(row for row in rows if row in inside)
            evidence = turn.evidence
            if not evidence.proves:
                evidence = on.apart(rows) or evidence
            yield _Members(rows, evidence, evidence.proves)
        return
    if check.structure == g.FAN_OUT:
        for each in siblings(on.trace, on.run).fan_outs:
            rows = tuple(row for row in each.branches if row in inside)
            is_due = each.evidence.proves or each.shape is Shape.TOGETHER
            yield _Members(rows, each.evidence, is_due)
        for row in siblings(on.trace, on.run).rows:
            first_spans = tuple(branch[0] for branch in row.branches)
            if inside.issuperset(first_spans) and (apart := on.apart(first_spans)):
                yield _Members(first_spans, apart)
        return
    columns: list[list[Any]] = [
        on.trace.parent[on.rows].tolist()
        if name == "parent"
        else [repr(values[row]) for values in [on.trace.values(name)] for row in on.rows]
        for name in check.group_by
    ]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, *key in zip(on.rows, *columns, strict=True):
        groups[tuple(key)].append(row)
    for members in groups.values():
        yield _Members(tuple(members), Evidence.DECLARED)


_RANK = {Strength.SERIAL: 0, Strength.SUSPICIOUS: 1, Strength.OVERLAPPING: 2, Strength.PROVEN: 3}
