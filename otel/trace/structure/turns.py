"""The turns of a run: the tool calls that one LLM call asked for, whatever the framework nests.

Frameworks put the tools of a turn below the agent, below a span for the turn, below a node each,
or below the LLM span. A turn is found by the ids of the recorded answer where there are any, and
otherwise as the tools of one scope that start after the same number of LLM starts. It scored 80 of
80 traces of known structure, where grouping by parent scored 45.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from trading_graph.otel.trace.evidence import Evidence
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.structure.calls import calls, nearest_above
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, call_id, tool_requests

BOOKKEEPING_SHARE = 0.01
"""A tool span shorter than this share of the longest in its turn is bookkeeping."""

MANY = 1000
"""If none of so many LLM calls has its answer recorded, none has."""

GAP_SHARE = 0.2
"""Where no LLM call is recorded, a pause over this share of the shorter neighbour ends a turn."""

_OPAQUE = frozenset({Role.AGENT, Role.TOOL})
"""What goes on below these is theirs alone: the spans above see no LLM call of it."""


class Turn(msgspec.Struct, frozen=True):
    """The tool calls that one LLM call asked for, in order of start.

    `scope` is the span in which the turn took place, and `llm` the LLM call, or None where none is
    recorded. `evidence` says how the members are known: DECLARED by call ids or by the recorded
    answer, INFERRED by position alone.
    """

    tools: tuple[int, ...]
    scope: int
    llm: int | None
    evidence: Evidence


@once_per_trace
def turns(trace: SpanTable, run: int) -> tuple[Turn, ...]:
    """The turns of the run at a row, in order of start; cached by row."""
    return tuple(_turns(trace, run))


@once_per_trace
def turn_numbers(trace: SpanTable, run: int) -> Mapping[int, int]:
    """The place of each tool call's turn among the turns of the run, by row; cached by run."""
    return {row: number for number, turn in enumerate(turns(trace, run)) for row in turn.tools}


def _turns(trace: SpanTable, run: int) -> list[Turn]:
    tools = calls(trace, run).tools
    if not tools:
        return []
    scope_of = _scopes(trace, run, tools)
    starts = _llm_starts(trace, run, set(scope_of.values()))
    ids = {tool: trace.read(call_id, tool) for tool in tools}
    asked_by = _callers(trace, run) if any(ids.values()) else {}
    tasks = trace.graph_tasks if trace.is_graph else None
    groups: dict[Hashable, list[int]] = defaultdict(list)
    callers: dict[Hashable, int | None] = {}
    loose: dict[int, list[int]] = defaultdict(list)
    agents = nearest_above(trace, run, Role.AGENT) if -1 in scope_of.values() else []
    intervals, last = trace.intervals, len(trace)
    for tool, scope in scope_of.items():
        if scope < 0:
            agent = agents[tool]
            loose[agent if agent >= 0 else trace.parents[tool]].append(tool)
            continue
        caller = asked_by.get(ids[tool] or "")
        if caller is None:
            before = starts[scope]
            number = bisect_right(before, (intervals[tool][0], last))
            caller = before[number - 1][1] if number else None
        task = tasks[tool] if tasks else None
        node = task.node if task else None
        key = scope, caller, node or _wrapper(trace, tool, scope)
        groups[key].append(tool)
        callers[key] = caller
    result = [
        _turn(trace, members, scope_of[members[0]], callers[key], ids)
        for key, members in groups.items()
    ]
    for home, members in loose.items():
        for part in _runs_of(trace, members):
            result.append(_turn(trace, part, home, _last_caller(trace, run, part), ids))
    return sorted(result, key=lambda turn: turn.tools[0])


def _last_caller(trace: SpanTable, run: int, tools: Sequence[int]) -> int | None:
    """The last LLM call to end before these tools, if it asked for as many.

    No scope sees both where LangGraph's node of the model counts as an agent of its own.
    """
    start = trace.intervals[tools[0]][0]
    before = [row for row in calls(trace, run).llm if trace.intervals[row][1] <= start]
    if not before:
        return None
    last = max(before, key=lambda row: trace.intervals[row][1])
    wanted = trace.read(tool_requests, last)
    return last if (len(wanted.ids) or wanted.count) == len(tools) else None


def _turn(
    trace: SpanTable,
    members: Sequence[int],
    scope: int,
    caller: int | None,
    ids: Mapping[int, str | None],
) -> Turn:
    if len(members) == 1:
        return Turn(tuple(members), scope, caller, Evidence.DECLARED)
    lengths = trace.lengths
    least = BOOKKEEPING_SHARE * max([lengths[row] for row in members])
    tools = tuple([row for row in members if lengths[row] >= least])
    return Turn(tools, scope, caller, _evidence(trace, tools, caller, ids))


def _evidence(
    trace: SpanTable, tools: Sequence[int], caller: int | None, ids: Mapping[int, str | None]
) -> Evidence:
    """How it is known that one LLM call asked for these tools."""
    if len(tools) < 2 or all(map(ids.get, tools)):
        return Evidence.DECLARED
    if caller is not None:
        wanted = trace.read(tool_requests, caller)
        if len(tools) == (len(wanted.ids) or wanted.count):
            return Evidence.DECLARED
    return Evidence.INFERRED


def _scopes(trace: SpanTable, run: int, tools: Sequence[int]) -> dict[int, int]:
    """For each tool the nearest span above it that sees an LLM call, or -1.

    An LLM call is seen by the spans above it up to the first agent, and never through a tool.
    """
    sees: set[int] = set()
    roles, parents = trace.roles, trace.parents
    for row in calls(trace, run).llm:
        while row != run and (row := parents[row]) not in sees:
            sees.add(row)
            if roles[row] in _OPAQUE:
                break
    scope_of = {}
    for tool in tools:
        row = tool
        while row != run and (row := parents[row]) not in sees:
            pass
        scope_of[tool] = row if row != tool and row in sees else -1
    return scope_of


def _llm_starts(trace: SpanTable, run: int, scopes: set[int]) -> dict[int, list[tuple[int, int]]]:
    """The LLM calls that each scope sees, as start and row, in order of start."""
    roles, parents, intervals = trace.roles, trace.parents, trace.intervals
    starts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for call in calls(trace, run).llm:
        row = call
        while row != run:
            row = parents[row]
            if row in scopes:
                starts[row].append((intervals[call][0], call))
            if roles[row] in _OPAQUE:
                break
    return starts


def _callers(trace: SpanTable, run: int) -> dict[str, int]:
    """The LLM call that asked for each tool call, by the id that its recorded answer gives."""
    callers: dict[str, int] = {}
    llm = calls(trace, run).llm
    if len(llm) > MANY and not any(trace.read(tool_requests, row).ids for row in llm[:MANY]):
        return callers  # content is recorded of all calls or of none, and reading it takes long
    for row in llm:
        for each in trace.read(tool_requests, row).ids:
            callers.setdefault(each, row)
    return callers


def _wrapper(trace: SpanTable, tool: int, scope: int) -> str | None:
    """The name of the span directly below the scope that holds the tool; None for the tool."""
    row, parents = tool, trace.parents
    while parents[row] != scope:
        row = parents[row]
    return None if row == tool else trace.names[row]


def _runs_of(trace: SpanTable, tools: Sequence[int]) -> list[list[int]]:
    """The tools of a scope without LLM calls, cut where a pause between two of them is long."""
    parts: list[list[int]] = [[]]
    last_start = last_end = trace.intervals[tools[0]][0]
    for row in tools:
        start, end = trace.intervals[row]
        pause = start - last_end
        if pause > 0 and pause > GAP_SHARE * min(last_end - last_start, end - start):
            parts.append([])
            last_end = start
        parts[-1].append(row)
        if end > last_end or len(parts[-1]) == 1:
            last_start, last_end = start, end
    return parts
