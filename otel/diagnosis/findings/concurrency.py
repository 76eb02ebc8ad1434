"""Groups that should have run at once, and did not: fan-outs, and the tools of a turn.

The groups and their judgement are those of the verdict, so that both say the same.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from trading_graph.otel.diagnosis.actions import (
    Fix,
    FreeInterpreter,
    Parallelise,
    RemoveGap,
    RemoveWaits,
    Shorten,
    UnblockLoop,
)
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.findings.waits import KIND_OF_WAIT
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import Evidence, SpanTable
from trading_graph.otel.trace.structure import Turn, are_visited_again, siblings, turns
from trading_graph.otel.verdict.blocked import longest_first, longest_in_words
from trading_graph.otel.verdict.causes import Cause, cause_of_wait, group_staircase
from trading_graph.otel.verdict.group_measures import branches_of
from trading_graph.otel.verdict.group_waits import LIMITED_SHARE, waited_inside
from trading_graph.otel.verdict.measures import fan_out_name
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism, reason
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import witness
from trading_graph.otel.vocabularies.witness import BlockState

SHARED = "what they share bears them all at once"
BLOCKING = "they block the event loop, or what they share bears them all at once"
INDEPENDENT = "none needs the result of another"
NO_CHAINS = f"{SHARED}, and none goes on where one that ended left off"
COMES_LATER = "nothing that they need comes later"

ENDS_SHARE = 0.05
"""Spans end together if their ends are this close, as a share of the shortest of them."""

LATE_SHARE = 0.2
"""A branch is late if it starts this share of the median duration after the first."""


class JudgedGroup(msgspec.Struct, frozen=True):
    """A fan-out, or the tools of a turn, with its judgement.

    `scope` is the span in which it took place.
    """

    kind: FindingKind
    place: str
    scope: int
    evidence: Evidence
    judgement: Parallelism

    @property
    def rows(self) -> tuple[int, ...]:
        """The spans of the group."""
        return self.judgement.group.rows

    @property
    def fell(self) -> bool:
        """Whether the group did not run at once."""
        return self.judgement.strength in (Strength.SERIAL, Strength.SUSPICIOUS)


def concurrency_findings(schedule: Schedule) -> Iterator[Candidate]:
    """All groups that should have run at once."""
    groups = list(judged_groups(schedule))
    blocked = [each for each in groups if each.fell and _is_recorded_block(each.judgement)]
    held_back = [
        each
        for each in groups
        if each.fell and each.judgement.cause is Cause.BLOCKED_LOOP and each not in blocked
    ]
    for each in held_back:
        yield _limit(schedule, each)
    if blocked:
        yield _blocked(schedule, blocked)
    serial: dict[tuple[FindingKind, str], list[JudgedGroup]] = defaultdict(list)
    for each in groups:
        is_limit = each.judgement.at_once > 0
        if (each.fell or is_limit) and _waits_inside_itself(each.judgement):
            continue  # what was waited for is a finding of its own
        if each.fell or is_limit:
            detector = _limit if is_limit else _BY_CAUSE.get(each.judgement.causes[0])
            if detector is not None:
                yield detector(schedule, each)
            elif late := _late(schedule, each):
                yield late
            elif each.judgement.cause in (Cause.DISPATCH, Cause.MAX_CONCURRENCY):
                place = each.place if each.kind is FindingKind.SERIAL_FAN_OUT else ""
                serial[each.kind, place].append(each)
        elif each.judgement.group.may_block and _looks_blocked(schedule, each):
            yield _possible_block(schedule, each)
        elif late := _late(schedule, each):
            yield late
    for (kind, place), some in serial.items():
        yield _serial(schedule, kind, place, some)


def judged_groups(schedule: Schedule) -> Iterator[JudgedGroup]:
    """The fan-outs and the turns of a run, as far as they bear on its duration."""
    trace, run, on_path = schedule.tree.trace, schedule.tree.run, schedule.path.total_ns
    for fan_out in siblings(trace, run).fan_outs:
        if not on_path.keys().isdisjoint(fan_out.branches):
            yield JudgedGroup(
                FindingKind.SERIAL_FAN_OUT,
                fan_out_name(trace, fan_out),
                fan_out.parent,
                fan_out.evidence,
                parallelism(trace, fan_out.branches),
            )
    for turn in tool_turns(schedule):
        if not on_path.keys().isdisjoint(turn.tools):
            yield JudgedGroup(
                _kind_of_turn(turn),
                place_of(schedule.tree, _parent_of_all(trace, turn.tools)),
                turn.scope,
                turn.evidence,
                parallelism(trace, turn.tools),
            )


def _kind_of_turn(turn: Turn) -> FindingKind:
    """What a serial turn is called: tools of one turn only where the trace says that they are."""
    return FindingKind.SERIAL_TOOLS if turn.evidence.proves else FindingKind.SERIAL_CALLS


def _parent_of_all(trace: SpanTable, rows: Sequence[int]) -> int:
    """The nearest span above all of these."""
    return trace.parents[branches_of(trace, rows)[0]]


def tool_turns(schedule: Schedule) -> Iterator[Turn]:
    """The turns with two tool calls or more."""
    for turn in turns(schedule.tree.trace, schedule.tree.run):
        if len(turn.tools) > 1:
            yield turn


def _is_recorded_block(judgement: Parallelism) -> bool:
    return judgement.cause is Cause.BLOCKED_LOOP and judgement.group.lag_ms is not None


def _waits_inside_itself(judgement: Parallelism) -> bool:
    """Whether recorded waits inside the spans are why they take turns."""
    inside = waited_inside(judgement.group)
    if inside.time_ns <= LIMITED_SHARE * judgement.group.wrappers.work_ns:
        return False
    return judgement.cause is cause_of_wait(inside.kind)


def _serial(
    schedule: Schedule, kind: FindingKind, place: str, some: Sequence[JudgedGroup]
) -> Candidate:
    tree = schedule.tree
    groups = [each.rows for each in some]
    if kind is not FindingKind.SERIAL_FAN_OUT:
        here = [row for each in some if each.scope == some[0].scope for row in each.rows]
        place = place_of(tree, _parent_of_all(tree.trace, here))
        # A fix of one turn fixes all, including those that were not on the path so far.
        known = set(groups)
        groups += [
            turn.tools
            for turn in tool_turns(schedule)
            if _kind_of_turn(turn) is kind
            and turn.tools not in known
            and _is_row(schedule, turn.tools)
        ]
    rows = tuple(row for group in groups for row in group)
    total_ns = sum(tree.duration(row) for row in rows)
    longest = sum(max(tree.duration(row) for row in group) for group in groups)
    what = f"{len(rows)} spans" + (f" in {len(groups)} groups" if len(groups) > 1 else "")
    proven = all(each.evidence.proves for each in some)
    return Candidate(
        kind=kind,
        place=place,
        evidence=f"{what} took {seconds(total_ns)} one after another; the longest of each group "
        f"take {seconds(longest)} ({reason(some[0].judgement)}).",
        rows=rows,
        actions=tuple(Parallelise(group) for group in groups),
        proven=proven,
        only_if="" if proven else INDEPENDENT,
        is_open=not proven,
        causes=some[0].judgement.causes,
    )


def _is_row(schedule: Schedule, rows: Sequence[int]) -> bool:
    """Whether each of these spans, in order of start, starts after the end of the one before."""
    tree = schedule.tree
    return all(tree.start[after] >= tree.end[before] for before, after in pairwise(rows))


def _blocked(schedule: Schedule, some: Sequence[JudgedGroup]) -> Candidate:
    trace = schedule.tree.trace
    guilty = schedule.blocks.rows or (schedule.tree.run,)
    lag = max(witness.loop_lag_ms(trace.attributes(row)) or 0.0 for row in guilty)
    names = ", ".join(dict.fromkeys(trace.names[row] for row in guilty))
    found = longest_first(
        list(dict.fromkeys(block for each in some for block in each.judgement.blocks))
    )
    how = longest_in_words(found) if found else f"blocked for up to {lag:.0f} ms at a time"
    return Candidate(
        kind=FindingKind.BLOCKED_LOOP,
        place=place_of(schedule.tree, guilty[0]),
        evidence=f"The event loop was {how}, during {names}; spans that overlap there did not run "
        "at once."
        if found
        else f"The event loop was {how} during {names}; spans that overlap there did not run at "
        "once.",
        rows=guilty,
        actions=(UnblockLoop(tuple(each.rows for each in some)),),
        causes=(Cause.BLOCKED_LOOP,),
        blocks=tuple(found),
    )


def _interpreter(schedule: Schedule, each: JudgedGroup) -> Candidate:
    trace, group = schedule.tree.trace, each.judgement.group
    leaves = tuple(leaf for row in group.rows for leaf in trace.leaves(row))
    blocks = each.judgement.blocks
    if blocks and blocks[0].state is BlockState.INTERPRETER_LOCK:
        how = f"the event loop was {longest_in_words(blocks)}"
    else:
        how = f"together used {group.cpu_over_wall or 0.0:.0%} of one CPU"
    return Candidate(
        kind=FindingKind.INTERPRETER_LOCK,
        place=each.place,
        evidence=f"{len(group.rows)} spans overlap, yet {how}: their threads took turns.",
        rows=group.rows,
        actions=(FreeInterpreter(leaves),),
        proven=False,
        only_if="as many CPUs are free",
        causes=each.judgement.causes,
        blocks=tuple(blocks),
    )


def _limit(schedule: Schedule, each: JudgedGroup) -> Candidate:
    """A limit, outside or inside the spans: `at_once` of them at a time."""
    judgement = each.judgement
    count, width = len(each.rows), judgement.at_once
    actions: tuple[Fix, ...]
    if judgement.inside:
        where = f"{count} spans were opened together, and at most {width} calls in them ran at once"
        actions = _calls_at_once(schedule, judgement)
    elif judgement.strength is Strength.SUSPICIOUS and width:
        where = f"{count} spans start together and end {width} at a time"
        actions = (RemoveWaits(_waits_inside(schedule, judgement)),)
    elif width:
        where = f"At most {width} of {count} spans ran at once, and others started as they ended"
        actions = (Parallelise(each.rows),)
    elif not judgement.group.opened_together:
        where = f"{count} spans ran one after the other"
        actions = (Parallelise(each.rows),)
    else:
        where = f"{count} spans were opened together, and their work was done one after the other"
        actions = _work_at_once(schedule, judgement)
    return Candidate(
        kind=_LIMIT_KIND.get(judgement.causes[0], FindingKind.LIMIT),
        place=each.place,
        evidence=f"{where}: {reason(judgement)}.",
        rows=each.rows,
        actions=actions,
        proven=False,
        only_if=_limit_condition(schedule, each),
        causes=judgement.causes,
    )


def _limit_condition(schedule: Schedule, each: JudgedGroup) -> str:
    """What has to be so for more of these spans to run at once."""
    if each.judgement.cause is Cause.BLOCKED_LOOP:
        return BLOCKING
    if _may_be_chains(schedule, each):
        return NO_CHAINS
    return SHARED


def _may_be_chains(schedule: Schedule, each: JudgedGroup) -> bool:
    """Whether nodes of as many names, of which only times are known, may be of fewer branches."""
    if each.evidence.proves or each.judgement.strength is not Strength.SERIAL:
        return False
    names = schedule.tree.trace.names
    return len({names[row] for row in each.rows}) == len(each.rows)


_LIMIT_KIND = {
    **KIND_OF_WAIT,
    Cause.SERVER: FindingKind.SERVER,
    Cause.BLOCKED_LOOP: FindingKind.BLOCKED_LOOP,
}


def _waits_inside(schedule: Schedule, judgement: Parallelism) -> tuple[tuple[int, int], ...]:
    """How long each span of a staircase waited, until as many before it had ended."""
    tree = schedule.tree
    width = group_staircase(tree.trace, judgement.group) or 1
    # A branch that worked several times is late for more than one reason.
    alone = [row for row in judgement.group.rows if len(working_spans(tree.trace, row)) == 1]
    by_end = sorted(alone, key=tree.end.__getitem__)
    return tuple(
        (row, max(tree.end[before] - tree.start[row], 0))
        for before, row in zip(by_end, by_end[width:], strict=False)
    )


def _work_at_once(schedule: Schedule, judgement: Parallelism) -> tuple[Fix, ...]:
    """Let branches that were open together work at once: each without its wait for the others."""
    tree, group = schedule.tree, judgement.group
    branches = branches_of(tree.trace, group.rows)
    if branches == group.rows:
        return tuple(
            Shorten(row, work.total_ns)
            for row, work in zip(group.rows, group.works, strict=True)
            if work.total_ns < tree.duration(row)
        )
    first = min(tree.start[row] for row in group.rows)
    waits, parents = [], tree.trace.parents  # as recorded: the branches are found by them
    for row in group.rows:
        branch = row
        while branch not in branches:
            branch = parents[branch]
        if tree.start[row] > first:
            waits.append((branch, tree.start[row] - first))
    return (RemoveWaits(tuple(waits)),)


def _calls_at_once(schedule: Schedule, judgement: Parallelism) -> tuple[Fix, ...]:
    """Let each call start when its branch does, or when the call before it in its branch ends."""
    tree, actions = schedule.tree, list[Fix]()
    for branch in judgement.group.rows:
        free = tree.start[branch]
        for call in sorted(working_spans(tree.trace, branch), key=tree.start.__getitem__):
            way = _way_up(schedule, call, branch)
            if not way:
                continue  # nobody waited for it there
            wait, held, longest = tree.start[call] - free, call, -1
            for row in way:
                family = schedule.family(tree.parents[row])
                gap = family.gaps[family.number[row]]
                if gap > longest:
                    held, longest = row, gap
            if wait > 0:
                actions.append(RemoveGap(held, max(longest - wait, 0)))
            free = max(free, tree.end[call])
    return tuple(actions)


def _way_up(schedule: Schedule, row: int, branch: int) -> list[int]:
    """A span and those above it below a branch; empty where it hangs elsewhere in the tree."""
    tree, way = schedule.tree, list[int]()
    while row != branch:
        if row == tree.run:
            return []
        way.append(row)
        row = tree.parents[row]
    return way


def _looks_blocked(schedule: Schedule, each: JudgedGroup) -> bool:
    """Whether spans were opened together and ended together.

    That is what truly parallel calls of equal length leave, and also what functions leave that
    block the loop in turn: it notes all ends when the last is done.
    """
    tree, rows = schedule.tree, each.rows
    starts = [tree.start[row] for row in rows]
    ends = [tree.end[row] for row in rows]
    shortest = min(tree.duration(row) for row in rows)
    if max(starts) - min(starts) > LATE_SHARE * shortest:
        return False
    return max(ends) - min(ends) <= ENDS_SHARE * shortest


def _possible_block(schedule: Schedule, each: JudgedGroup) -> Candidate:
    """Spans that overlap wholly, in a program that does not record the lag of its loop."""
    tree, rows = schedule.tree, each.rows
    count, longest = len(rows), max(tree.duration(row) for row in rows)
    return Candidate(
        kind=FindingKind.POSSIBLE_BLOCK,
        place=each.place,
        evidence=f"{count} spans were open at the same time for {seconds(longest)} and ended "
        "together; no event-loop lag is recorded, so functions that block the loop may have taken "
        f"turns in it, about {seconds(longest / count)} each.",
        rows=rows,
        actions=tuple(Shorten(row, tree.duration(row) // count) for row in rows),
        proven=False,
        only_if="they block the event loop; record its lag to know",
        is_open=True,
        causes=(Cause.BLOCKED_LOOP,),
    )


def _late(schedule: Schedule, each: JudgedGroup) -> Candidate | None:
    """Branches that ran beside the others, and started well after them."""
    tree, judgement = schedule.tree, each.judgement
    if each.kind is not FindingKind.SERIAL_FAN_OUT or judgement.at_once:
        return None
    if each.fell and judgement.cause is not Cause.DISPATCH:
        return None
    trace: SpanTable = tree.trace
    if are_visited_again(trace, each.rows):
        return None
    first = tree.start[each.rows[0]]
    usual = median(tree.duration(row) for row in each.rows)
    first_end = min(tree.end[row] for row in each.rows)
    latest = min(first + LATE_SHARE * usual, first_end - 1)
    late = [row for row in each.rows if tree.start[row] > latest]
    if not late or 2 * len(late) > len(each.rows):
        return None  # where most come later, they come in turn
    if each.fell and len(each.rows) - len(late) < 2:
        return None  # a row
    if schedule.path.total_ns.keys().isdisjoint(late):
        return None
    delay = max(tree.start[row] for row in late) - first
    names = ", ".join(dict.fromkeys(trace.names[row] for row in late))
    return Candidate(
        kind=FindingKind.LATE_BRANCH,
        place=each.place,
        evidence=f"{len(late)} of {len(each.rows)} branches ({names}) started up to "
        f"{seconds(delay)} after the first.",
        rows=tuple(late),
        actions=(Parallelise((each.rows[0], *late)),),
        proven=False,
        only_if=COMES_LATER,
        causes=judgement.causes if each.fell else (),
    )


_BY_CAUSE: dict[Cause, Callable[[Schedule, JudgedGroup], Candidate]] = {
    Cause.INTERPRETER_LOCK: _interpreter,
    Cause.SEMAPHORE: _limit,
    Cause.SERVER: _limit,
    Cause.EXECUTOR: _limit,
    Cause.CONNECTION_LIMIT: _limit,
    Cause.WORKERS: _limit,
    Cause.TASK: _limit,
    Cause.CALLBACK: _limit,
}
