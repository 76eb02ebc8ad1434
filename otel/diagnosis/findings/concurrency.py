"""Work that could have run at once and did not: branches, tools of a turn, plain calls in a row."""

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
from trading_graph.otel.diagnosis.findings.finding import Finding, Kind, place_of, seconds
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.verdict import causes
from trading_graph.otel.verdict.parallelism import Parallelism, Strength, parallelism
from trading_graph.otel.verdict.work import working_spans

_GAP_NS = 50_000_000
_GAP_SHARE = 0.1
_MANY = 10
_WORK = (Role.AGENT, Role.TOOL, Role.FETCH, Role.RETRIEVAL, Role.HTTP, Role.LLM)

_ADVICE = {
    Kind.SERIAL_FAN_OUT: "Send all branches at once: return Command(goto=[Send(...), ...]) from "
    "the dispatcher, or start them with asyncio.gather.",
    Kind.SERIAL_TOOLS: "Run all tool calls of one turn with asyncio.gather or a TaskGroup.",
    Kind.SERIAL_CALLS: "Start the calls at once with asyncio.gather, if none needs another's "
    "result.",
    Kind.MANY_SMALL_CALLS: "Ask for all of them in one request, or at once.",
    Kind.LIMIT: "Raise the limit (max_concurrency, the executor's threads, the semaphore), or make "
    "the calls async.",
}


def concurrency_findings(schedule: Schedule) -> Iterator[Finding]:
    """Everything that was meant to run at once, or could have."""
    trace = schedule.tree.trace
    judged: list[tuple[Kind, str, Parallelism]] = [
        (Kind.SERIAL_FAN_OUT, fan_out.name, fan_out.judged)
        for fan_out in schedule.measures.fan_outs
    ]
    spent = schedule.path.total_ns
    turns = list(tools_of_turns(schedule))
    judged += [
        (Kind.SERIAL_TOOLS, place_of(schedule.tree, rows[0]), parallelism(trace, rows))
        for rows in turns
        if any(row in spent for row in rows)
    ]
    blocked = [each for each in judged if _is(each[2], causes.BLOCKED_LOOP, "loop was blocked")]
    if blocked:
        yield _blocked(schedule, blocked)
    serial: dict[tuple[Kind, str], list[Parallelism]] = defaultdict(list)
    for kind, name, found in judged:
        if _is(found, causes.GIL):
            yield _interpreter(schedule, name, found)
        elif _is(found, causes.SEMAPHORE):
            yield _semaphore(schedule, name, found)
        elif _is(found, causes.EXECUTOR, causes.MAX_CONCURRENCY):
            serial[Kind.LIMIT, name].append(found)
        elif _is(found, causes.DISPATCH):
            serial[kind, name if kind is Kind.SERIAL_FAN_OUT else ""].append(found)
    for (kind, name), groups in serial.items():
        rows = [found.group.rows for found in groups]
        if kind is Kind.SERIAL_TOOLS:
            # Whoever mends one turn mends all, also those that were off the path so far.
            rows += [turn for turn in turns if turn not in rows and _in_turn(schedule, turn)]
        yield _serial(schedule, kind, name, rows, groups[0].reason)
    known = {row for _, _, found in judged for row in found.group.rows}
    known.update(row for turn in turns for row in turn)
    yield from _plain_calls(schedule, known)


def _is(found: Parallelism, *signs: str) -> bool:
    suspect = found.strength in (Strength.SERIAL, Strength.SUSPICIOUS)
    return suspect and any(sign in found.reason for sign in signs)


def tools_of_turns(schedule: Schedule) -> Iterator[tuple[int, ...]]:
    """The tool calls of one LLM turn: of one parent and one turn."""
    trace = schedule.tree.trace
    turns: dict[tuple[int, float], list[int]] = defaultdict(list)
    indices, roles = trace.figures(semconv.TURN_INDEX), trace.roles
    parents = schedule.tree.parents
    for row in schedule.tree.rows:
        turn = indices[row]
        if turn is not None and roles[row] is Role.TOOL:
            turns[parents[row], turn].append(row)
    yield from (tuple(sorted(rows)) for rows in turns.values() if len(rows) > 1)


def _in_turn(schedule: Schedule, rows: Sequence[int]) -> bool:
    """Whether none of these spans, in order of start, starts before the one before has ended."""
    tree = schedule.tree
    return all(tree.start[after] >= tree.end[before] for before, after in pairwise(rows))


def _serial(
    schedule: Schedule, kind: Kind, name: str, groups: Sequence[tuple[int, ...]], reason: str
) -> Finding:
    tree, trace = schedule.tree, schedule.tree.trace
    rows = tuple(row for group in groups for row in group)
    took = sum(tree.duration(row) for row in rows)
    longest = sum(max(tree.duration(row) for row in group) for group in groups)
    what = f"{len(rows)} spans" + (f" in {len(groups)} groups" if len(groups) > 1 else "")
    return Finding(
        kind=kind,
        place=name or place_of(tree, int(trace.parent[rows[0]])),
        evidence=f"{what} took {seconds(took)} one after another; the longest of each group take "
        f"{seconds(longest)} ({reason}).",
        advice=_ADVICE[kind],
        rows=rows,
        actions=tuple(Parallelise(group) for group in groups),
    )


def _blocked(schedule: Schedule, judged: Sequence[tuple[Kind, str, Parallelism]]) -> Finding:
    trace = schedule.tree.trace
    groups = tuple(found.group.rows for _, _, found in judged)
    guilty = _deepest_blocked(schedule)
    lag = max(trace.number(row, semconv.LOOP_LAG_MAX_MS) or 0.0 for row in guilty)
    names = ", ".join(dict.fromkeys(trace.names[row] for row in guilty))
    return Finding(
        kind=Kind.BLOCKED_LOOP,
        place=place_of(schedule.tree, guilty[0]),
        evidence=f"The event loop was blocked for up to {lag:.0f} ms at a time during {names}; "
        "spans that overlap there did not run at once.",
        advice="Await an async client there, or move the call to a thread with asyncio.to_thread.",
        rows=guilty,
        actions=(UnblockLoop(groups),),
    )


def _deepest_blocked(schedule: Schedule) -> tuple[int, ...]:
    guilty = tuple(dict.fromkeys(block.row for block in schedule.blocks))
    return guilty or (schedule.tree.run,)


def _interpreter(schedule: Schedule, name: str, found: Parallelism) -> Finding:
    trace = schedule.tree.trace
    leaves = tuple(leaf for row in found.group.rows for leaf in trace.leaves(row))
    return Finding(
        kind=Kind.INTERPRETER_LOCK,
        place=name,
        evidence=f"{len(found.group.rows)} spans overlap, yet together used "
        f"{found.group.cpu_over_wall:.0%} of one CPU: their threads took turns.",
        advice="Move the CPU work to processes, or to code that releases the interpreter lock; "
        "more threads change nothing.",
        rows=found.group.rows,
        actions=(FreeInterpreter(leaves),),
        proven=False,
        if_only="as many CPUs are free",
    )


def _semaphore(schedule: Schedule, name: str, found: Parallelism) -> Finding:
    tree = schedule.tree
    width = causes.staircase(tree.trace, found.group) or 1
    # A branch that worked several times is late for more reasons than one.
    alone = [row for row in found.group.rows if len(working_spans(tree.trace, row)) == 1]
    by_end = sorted(alone, key=tree.end.__getitem__)
    waits = tuple(
        (row, max(tree.end[before] - tree.start[row], 0))
        for before, row in zip(by_end, by_end[width:], strict=False)
    )
    return Finding(
        kind=Kind.LIMIT,
        place=name,
        evidence=f"{len(found.group.rows)} spans start together and end {width} at a time: "
        "something inside lets in no more.",
        advice=_ADVICE[Kind.LIMIT],
        rows=found.group.rows,
        actions=(RemoveWaits(waits),),
        proven=False,
        if_only="what they share bears them all at once",
    )


def _plain_calls(schedule: Schedule, known: set[int]) -> Iterator[Finding]:
    """Runs of siblings of one role that follow each other closely, and nothing says why."""
    tree = schedule.tree
    chains: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for parent in schedule.path.total_ns:
        for rows in _chains(schedule, tree.children(parent), known):
            chains[place_of(tree, parent)].append(rows)
    for place, found in chains.items():
        many = [chain for chain in found if _is_many(schedule, chain)]
        few = [chain for chain in found if chain not in many]
        for kind, some in ((Kind.MANY_SMALL_CALLS, many), (Kind.SERIAL_CALLS, few)):
            if some:
                yield _calls(schedule, kind, place, some)


def _calls(
    schedule: Schedule, kind: Kind, place: str, chains: Sequence[tuple[int, ...]]
) -> Finding:
    tree, trace = schedule.tree, schedule.tree.trace
    rows = tuple(row for chain in chains for row in chain)
    names = ", ".join(list(dict.fromkeys(trace.names[row] for row in rows))[:3])
    took = sum(tree.duration(row) for row in rows)
    return Finding(
        kind=kind,
        place=place,
        evidence=f"{len(rows)} calls ({names}) followed each other, {seconds(took)} in all.",
        advice=_ADVICE[kind],
        rows=rows,
        actions=tuple(Parallelise(chain) for chain in chains),
        proven=False,
        if_only="none needs the result of another",
    )


def _is_many(schedule: Schedule, chain: Sequence[int]) -> bool:
    """Whether they are ten or more of one name, about equally long."""
    tree = schedule.tree
    if len(chain) < _MANY or len({tree.trace.names[row] for row in chain}) > 1:
        return False
    middle = median(tree.duration(row) for row in chain)
    alike = sum(middle / 2 <= tree.duration(row) <= 2 * middle for row in chain)
    return alike >= 0.9 * len(chain)


def _chains(
    schedule: Schedule, family: Sequence[int], known: set[int]
) -> Iterator[tuple[int, ...]]:
    tree, trace = schedule.tree, schedule.tree.trace
    chain: list[int] = []
    for before, row in pairwise(family):
        apart = tree.start[row] - tree.end[before]
        near = 0 <= apart <= max(_GAP_NS, _GAP_SHARE * tree.duration(row))
        role = trace.roles[row]
        alike = role is trace.roles[before] and role in _WORK and row not in known
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
