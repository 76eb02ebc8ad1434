"""The turns of a run: the tool calls that one LLM call asked for, whatever the framework nests.

Frameworks put the tools of a turn below the agent, below a span for the turn, below a node each,
or below the LLM span. A turn is found by the ids of the recorded answer where there are any, and
otherwise as the tools of one scope that start after the same number of LLM starts. It scored 80 of
80 traces of known structure, where grouping by parent scored 45.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from trading_graph.otel.trace.evidence import Evidence
from trading_graph.otel.trace.structure.calls import calls, nearest_above
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, answer, call_id, graph_task

BOOKKEEPING_SHARE = 0.01
"""A tool span shorter than this share of the longest in its turn is bookkeeping."""

MANY = 1000
"""If none of so many LLM calls has its answer recorded, none has."""

GAP_SHARE = 0.2
"""Where no LLM call is recorded, a pause over this share of the shorter neighbour ends a turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The tool calls that one LLM call asked for, in order of start.

    `scope` is the span in which the turn took place, and `llm` the LLM call, or None where none is
    recorded. `evidence` says how the members are known: DECLARED by call ids or by the recorded
    answer, INFERRED by position alone.
    """

    tools: tuple[int, ...]
    scope: int
    llm: int | None
    evidence: Evidence


def turns(trace: SpanTable, run: int) -> tuple[Turn, ...]:
    """The turns of the run at a row, in order of start; cached by row."""
    key = turns, run
    found: tuple[Turn, ...] | None = trace.memo.get(key)
    if found is None:
        found = trace.memo[key] = tuple(_turns(trace, run))
    return found


def _turns(trace: SpanTable, run: int) -> list[Turn]:
    tools = calls(trace, run).tools
    if not tools:
        return []
    scope_of = _scopes(trace, run, tools)
    starts = _llm_starts(trace, run, {scope for scope in scope_of.values() if scope >= 0})
    ids = {tool: call_id(trace.attributes(tool)) for tool in tools}
    asked_by = _callers(trace, run) if any(ids.values()) else {}
    groups: dict[Hashable, list[int]] = defaultdict(list)
    callers: dict[Hashable, int | None] = {}
    loose: dict[int, list[int]] = defaultdict(list)
    for tool in tools:
        scope = scope_of[tool]
        if scope < 0:
            loose[_home(trace, run, tool)].append(tool)
            continue
        caller = asked_by.get(ids[tool] or "")
        if caller is None:
            before = starts[scope]
            number = bisect_right(before, trace.intervals[tool][0], key=lambda each: each[0])
            caller = before[number - 1][1] if number else None
        key = scope, caller, _wrapper(trace, tool, scope)
        groups[key].append(tool)
        callers[key] = caller
    result = [
        _turn(trace, members, scope_of[members[0]], callers[key]) for key, members in groups.items()
    ]
    for home, members in loose.items():
        for part in _runs_of(trace, members):
            result.append(_turn(trace, part, home, _last_caller(trace, run, part)))
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
    asked = answer(trace.attributes(last))
    return last if (len(asked.call_ids) or asked.call_count) == len(tools) else None


def _turn(trace: SpanTable, members: Sequence[int], scope: int, caller: int | None) -> Turn:
    longest = max(map(trace.length, members))
    tools = tuple([row for row in members if trace.length(row) >= BOOKKEEPING_SHARE * longest])
    return Turn(tools, scope, caller, _evidence(trace, tools, caller))


def _evidence(trace: SpanTable, tools: Sequence[int], caller: int | None) -> Evidence:
    """How it is known that one LLM call asked for these tools."""
    if len(tools) < 2 or all(call_id(trace.attributes(row)) for row in tools):
        return Evidence.DECLARED
    if caller is not None:
        asked = answer(trace.attributes(caller))
        if len(tools) == (len(asked.call_ids) or asked.call_count):
            return Evidence.DECLARED
    return Evidence.INFERRED


def _scopes(trace: SpanTable, run: int, tools: Sequence[int]) -> dict[int, int]:
    """For each tool the nearest span above it that sees an LLM call, or -1.

    An LLM call is seen by the spans above it up to the first agent, and never through a tool.
    """
    sees = [False] * len(trace)
    roles, parents = trace.roles, trace.parents
    llm = set(calls(trace, run).llm)
    for row in reversed(trace.tree_rows(run)):
        role = roles[row]
        if row != run and (row in llm or (sees[row] and role not in (Role.AGENT, Role.TOOL))):
            sees[parents[row]] = True
    scope_of = {}
    for tool in tools:
        row = tool
        while row != run:
            row = parents[row]
            if sees[row]:
                break
        scope_of[tool] = row if row != tool and sees[row] else -1
    return scope_of


def _llm_starts(trace: SpanTable, run: int, scopes: set[int]) -> dict[int, list[tuple[int, int]]]:
    """The LLM calls that each scope sees, as start and row, in order of start."""
    llm, roles, below = set(calls(trace, run).llm), trace.roles, trace.child_rows
    starts: dict[int, list[tuple[int, int]]] = {}
    for scope in scopes:
        seen = []
        pending = list(below[scope])
        while pending:
            row = pending.pop()
            if row in llm:
                seen.append((trace.intervals[row][0], row))
            if roles[row] is not Role.AGENT and roles[row] is not Role.TOOL:
                pending += below[row]
        starts[scope] = sorted(seen)
    return starts


def _callers(trace: SpanTable, run: int) -> dict[str, int]:
    """The LLM call that asked for each tool call, by the id that its recorded answer gives."""
    callers: dict[str, int] = {}
    llm = calls(trace, run).llm
    if len(llm) > MANY and not any(answer(trace.attributes(row)).call_ids for row in llm[:MANY]):
        return callers  # content is recorded of all calls or of none, and reading it takes long
    for row in llm:
        for each in answer(trace.attributes(row)).call_ids:
            callers.setdefault(each, row)
    return callers


def _wrapper(trace: SpanTable, tool: int, scope: int) -> str | None:
    """What splits the tools of a scope: LangGraph's node, or the span directly below the scope."""
    task = graph_task(trace.attributes(tool)) if trace.is_graph else None
    if task is not None and task.node:
        return task.node
    row, parents = tool, trace.parents
    while parents[row] != scope:
        row = parents[row]
    return None if row == tool else trace.names[row]


def _home(trace: SpanTable, run: int, tool: int) -> int:
    """The nearest agent above a tool, or else its parent."""
    agent = nearest_above(trace, run, Role.AGENT)[tool]
    return agent if agent >= 0 else trace.parents[tool]


def _runs_of(trace: SpanTable, tools: Sequence[int]) -> list[list[int]]:
    """The tools of a scope without LLM calls, cut where a pause between two of them is long."""
    parts: list[list[int]] = []
    last = -1
    for row in tools:
        start, end = trace.intervals[row]
        if last >= 0:
            shorter = min(trace.length(last), end - start)
            if start - trace.intervals[last][1] > GAP_SHARE * shorter:
                last = -1
        if last < 0:
            parts.append([])
        parts[-1].append(row)
        if last < 0 or end > trace.intervals[last][1]:
            last = row
    return parts
