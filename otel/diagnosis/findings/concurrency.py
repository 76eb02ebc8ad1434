"""Work that could have run at once and did not: branches, tools of a turn, calls in sequence."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from trading_graph.otel.diagnosis.actions import (
    FreeInterpreter,
    Parallelise,
    RemoveWaits,
    UnblockLoop,
)
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import semconv
from trading_graph.otel.verdict import causes
from trading_graph.otel.verdict.causes import Cause
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism, reason
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import Role, witness

_GAP_NS = 50_000_000
_GAP_SHARE = 0.1
_MANY = 10
_WORK = (Role.AGENT, Role.TOOL, Role.FETCH, Role.RETRIEVAL, Role.HTTP, Role.LLM)


def concurrency_findings(schedule: Schedule) -> Iterator[Candidate]:
    """All groups that should have run at once, or could have."""
    trace = schedule.tree.trace
    judgements: list[tuple[FindingKind, str, Parallelism]] = [
        (FindingKind.SERIAL_FAN_OUT, fan_out.name, fan_out.judgement)
        for fan_out in schedule.measures.fan_outs
    ]
    on_path = schedule.path.total_ns
    turns = list(tools_of_turns(schedule))
    judgements += [
        (FindingKind.SERIAL_TOOLS, place_of(schedule.tree, rows[0]), parallelism(trace, rows))
        for rows in turns
        if any(row in on_path for row in rows)
    ]
    blocked = [each for each in judgements if _is(each[2], Cause.BLOCKED_LOOP)]
    if blocked:
        yield _blocked(schedule, blocked)
    serial: dict[tuple[FindingKind, str], list[Parallelism]] = defaultdict(list)
    for kind, name, judgement in judgements:
        if _is(judgement, Cause.INTERPRETER_LOCK):
            yield _interpreter(schedule, name, judgement)
        elif _is(judgement, Cause.SEMAPHORE):
            yield _semaphore(schedule, name, judgement)
        elif _is(judgement, Cause.EXECUTOR, Cause.MAX_CONCURRENCY):
            serial[FindingKind.LIMIT, name].append(judgement)
        elif _is(judgement, Cause.DISPATCH):
            serial[kind, name if kind is FindingKind.SERIAL_FAN_OUT else ""].append(judgement)
    for (kind, name), groups in serial.items():
        rows = [judgement.group.rows for judgement in groups]
        if kind is FindingKind.SERIAL_TOOLS:
            # A fix of one turn fixes all, including those that were not on the path so far.
            rows += [turn for turn in turns if turn not in rows and _is_serial(schedule, turn)]
        yield _serial(schedule, kind, name, rows, reason(groups[0]))
    busy = {row for _, _, judgement in judgements for row in judgement.group.rows}
    busy.update(row for turn in turns for row in turn)
    yield from _plain_calls(schedule, busy)


def _is(judgement: Parallelism, *suspects: Cause) -> bool:
    return (
        judgement.strength in (Strength.SERIAL, Strength.SUSPICIOUS) and judgement.cause in suspects
    )


def tools_of_turns(schedule: Schedule) -> Iterator[tuple[int, ...]]:
    """The tool calls of one LLM turn: with the same parent and the same turn."""
    trace = schedule.tree.trace
    turns: dict[tuple[int, float], list[int]] = defaultdict(list)
    indices, roles = trace.figures(semconv.TURN_INDEX), trace.roles
    parents = schedule.tree.parents
    for row in schedule.tree.rows:
        turn = indices[row]
        if turn is not None and roles[row] is Role.TOOL:
            turns[parents[row], turn].append(row)
    yield from (tuple(sorted(rows)) for rows in turns.values() if len(rows) > 1)


def _is_serial(schedule: Schedule, rows: Sequence[int]) -> bool:
    """Whether each of these spans, in order of start, starts after the end of the one before."""
    tree = schedule.tree
    return all(tree.start[after] >= tree.end[before] for before, after in pairwise(rows))


def _serial(
    schedule: Schedule, kind: FindingKind, name: str, groups: Sequence[tuple[int, ...]], reason: str
) -> Candidate:
    tree, trace = schedule.tree, schedule.tree.trace
    rows = tuple(row for group in groups for row in group)
    total_ns = sum(tree.duration(row) for row in rows)
    longest = sum(max(tree.duration(row) for row in group) for group in groups)
    what = f"{len(rows)} spans" + (f" in {len(groups)} groups" if len(groups) > 1 else "")
    return Candidate(
        kind=kind,
        place=name or place_of(tree, int(trace.parent[rows[0]])),
        evidence=f"{what} took {seconds(total_ns)} one after another; the longest of each group "
        f"take {seconds(longest)} ({reason}).",
        rows=rows,
        actions=tuple(Parallelise(group) for group in groups),
    )


def _blocked(
    schedule: Schedule, judgements: Sequence[tuple[FindingKind, str, Parallelism]]
) -> Candidate:
    trace = schedule.tree.trace
    groups = tuple(judgement.group.rows for _, _, judgement in judgements)
    guilty = _deepest_blocked(schedule)
    lags_ms = trace.column_of(witness.loop_lag_ms)
    lag = max(lags_ms[row] or 0.0 for row in guilty)
    names = ", ".join(dict.fromkeys(trace.names[row] for row in guilty))
    return Candidate(
        kind=FindingKind.BLOCKED_LOOP,
        place=place_of(schedule.tree, guilty[0]),
        evidence=f"The event loop was blocked for up to {lag:.0f} ms at a time during {names}; "
        "spans that overlap there did not run at once.",
        rows=guilty,
        actions=(UnblockLoop(groups),),
    )


def _deepest_blocked(schedule: Schedule) -> tuple[int, ...]:
    guilty = tuple(dict.fromkeys(block.row for block in schedule.blocks))
    return guilty or (schedule.tree.run,)


def _interpreter(schedule: Schedule, name: str, judgement: Parallelism) -> Candidate:
    trace = schedule.tree.trace
    leaves = tuple(leaf for row in judgement.group.rows for leaf in trace.leaves(row))
    return Candidate(
        kind=FindingKind.INTERPRETER_LOCK,
        place=name,
        evidence=f"{len(judgement.group.rows)} spans overlap, yet together used "
        f"{judgement.group.cpu_over_wall:.0%} of one CPU: their threads took turns.",
        rows=judgement.group.rows,
        actions=(FreeInterpreter(leaves),),
        proven=False,
        only_if="as many CPUs are free",
    )


def _semaphore(schedule: Schedule, name: str, judgement: Parallelism) -> Candidate:
    tree = schedule.tree
    width = causes.staircase(tree.trace, judgement.group) or 1
    # A branch that worked several times is late for more than one reason.
    alone = [row for row in judgement.group.rows if len(working_spans(tree.trace, row)) == 1]
    by_end = sorted(alone, key=tree.end.__getitem__)
    waits = tuple(
        (row, max(tree.end[before] - tree.start[row], 0))
        for before, row in zip(by_end, by_end[width:], strict=False)
    )
    return Candidate(
        kind=FindingKind.LIMIT,
        place=name,
        evidence=f"{len(judgement.group.rows)} spans start together and end {width} at a time: "
        "something inside lets in no more.",
        rows=judgement.group.rows,
        actions=(RemoveWaits(waits),),
        proven=False,
        only_if="what they share bears them all at once",
    )


def _plain_calls(schedule: Schedule, busy: set[int]) -> Iterator[Candidate]:
    """Sequences of siblings with one role that follow each other closely for no visible reason."""
    tree = schedule.tree
    chains: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for parent in schedule.path.total_ns:
        for rows in _chains(schedule, tree.children(parent), busy):
            chains[place_of(tree, parent)].append(rows)
    for place, chains_here in chains.items():
        many = [chain for chain in chains_here if _is_many(schedule, chain)]
        few = [chain for chain in chains_here if chain not in many]
        for kind, some in ((FindingKind.MANY_SMALL_CALLS, many), (FindingKind.SERIAL_CALLS, few)):
            if some:
                yield _calls(schedule, kind, place, some)


def _calls(
    schedule: Schedule, kind: FindingKind, place: str, chains: Sequence[tuple[int, ...]]
) -> Candidate:
    tree, trace = schedule.tree, schedule.tree.trace
    rows = tuple(row for chain in chains for row in chain)
    names = ", ".join(list(dict.fromkeys(trace.names[row] for row in rows))[:3])
    total_ns = sum(tree.duration(row) for row in rows)
    return Candidate(
        kind=kind,
        place=place,
        evidence=f"{len(rows)} calls ({names}) followed each other, {seconds(total_ns)} in all.",
        rows=rows,
        actions=tuple(Parallelise(chain) for chain in chains),
        proven=False,
        only_if="none needs the result of another",
    )


def _is_many(schedule: Schedule, chain: Sequence[int]) -> bool:
    """Whether the chain has ten or more calls of one name that took about equally long."""
    tree = schedule.tree
    if len(chain) < _MANY or len({tree.trace.names[row] for row in chain}) > 1:
        return False
    middle = median(tree.duration(row) for row in chain)
    alike = sum(middle / 2 <= tree.duration(row) <= 2 * middle for row in chain)
    return alike >= 0.9 * len(chain)


def _chains(schedule: Schedule, family: Sequence[int], busy: set[int]) -> Iterator[tuple[int, ...]]:
    tree, trace = schedule.tree, schedule.tree.trace
    chain: list[int] = []
    for before, row in pairwise(family):
        apart = tree.start[row] - tree.end[before]
        near = 0 <= apart <= max(_GAP_NS, _GAP_SHARE * tree.duration(row))
        role = trace.roles[row]
        alike = role is trace.roles[before] and role in _WORK and row not in busy
        free = (
            alike
            and trace.values(semconv.TURN_INDEX)[row] is None
            and trace.steps[row] == trace.steps[before]
            and before not in trace.failed
        )
        if near and free:
            chain = chain or [before]
            chain.append(row)
        elif chain:
            yield tuple(chain)
            chain = []
    if chain:
        yield tuple(chain)
