"""Siblings that were released together, and siblings that stand in a row.

A fan-out is declared by links to one dispatcher, or by LangGraph, which releases the tasks of one
step together. All else is inferred from times: siblings of one role that overlap by more than a
clock's granularity belong together, and those that never overlap are a row. The labels were right
in 97 of 97 groups of known structure; overlap itself is never proof (docs/proven.md).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from trading_graph.otel.trace.evidence import Evidence
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.structure.calls import calls
from trading_graph.otel.trace.structure.turns import turns
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import GraphTask, Role

LEAST_SHARE = 0.01
"""A sibling shorter than this share of the longest, and a family shorter than this of the run, does
not count."""

OVERLAP_SHARE = 0.1
"""Two siblings overlap if they share more than this part of the shorter."""

ROW_SHARE = 0.05
"""A span shorter than this share of the longest of its role beside it is no member of a row."""

PAUSE_SHARE = 0.5
"""A pause over this share of the shorter neighbour ends a row: something unrecorded ran there."""

_PAIRS_OF = 200
"""Up to this number of spans at once, each is compared with each."""

_TASKS = frozenset({Role.CHAIN, Role.AGENT, Role.OTHER})
_NEVER = frozenset({Role.RUN, Role.DISPATCH, Role.JOIN, Role.PREFETCH, Role.INTERRUPTION})


class Shape(StrEnum):
    """How the members of a group lie in time."""

    TOGETHER = "released together"
    ROW = "in a row"
    MIXED = "mixed"


class FanOut(msgspec.Struct, frozen=True):
    """Branches that belong together, in order of start.

    `dispatcher` is the span to which they link, `step` LangGraph's step, where these declare the
    fan-out. `parent` is the row above all of them.
    """

    branches: tuple[int, ...]
    parent: int
    evidence: Evidence
    shape: Shape
    dispatcher: int | None = None
    step: int | None = None


class Row(msgspec.Struct, frozen=True):
    """Siblings of one role, each of which starts after the one before it; no sign of independence.

    A branch is a span, or several where a node is visited again: an agent and its tools, for
    example, or two agents in turn.
    """

    branches: tuple[tuple[int, ...], ...]
    parent: int
    role: Role

    @property
    def spans(self) -> tuple[int, ...]:
        """The spans of all branches, in order of start."""
        return tuple(row for branch in self.branches for row in branch)


class Siblings(msgspec.Struct, frozen=True):
    """The fan-outs and the rows of a run, in order of start."""

    fan_outs: tuple[FanOut, ...]
    rows: tuple[Row, ...]


@once_per_trace
def siblings(trace: SpanTable, run: int) -> Siblings:
    """The fan-outs and rows of the run at a row; cached by row."""
    fan_outs, rows = list(_linked(trace, run)), list[Row]()
    taken = {row for each in fan_outs for row in each.branches}
    taken |= _inside_turns(trace, run) | _bookkeeping(trace, run)
    least_ns = LEAST_SHARE * trace.lengths[run]
    for parent in trace.tree_rows(run):
        family = trace.child_rows[parent]
        if len(family) < 2 or (parent != run and trace.lengths[parent] < least_ns):
            continue
        found, row = _family(trace, parent, family, taken)
        fan_outs += found
        rows += row
    return Siblings(
        tuple(sorted(fan_outs, key=lambda each: each.branches[0])),
        tuple(sorted(rows, key=lambda each: each.branches[0][0])),
    )


def _linked(trace: SpanTable, run: int) -> Iterator[FanOut]:
    """The fan-outs that are declared by links of their branches to one dispatcher."""
    branches_of: dict[int, list[int]] = defaultdict(list)
    for row in sorted(trace.linked):
        if trace.parents[row] < 0 and row != run:
            continue
        for link in trace.links(row):
            sender = trace.row_of.get(link.span_id)
            if sender is not None and trace.roles[sender] is Role.DISPATCH:
                branches_of[sender].append(row)
                break
    inside = set(trace.tree_rows(run)) if branches_of else set()
    for sender, branches in branches_of.items():
        members = tuple([row for row in branches if row in inside])
        if members:
            shape = _shape(trace, members)
            yield FanOut(members, trace.parents[members[0]], Evidence.DECLARED, shape, sender)


def _inside_turns(trace: SpanTable, run: int) -> set[int]:
    """The tools of all turns, and the spans that wrap one of several tools of a turn."""
    inside: set[int] = set()
    for turn in turns(trace, run):
        for tool in turn.tools:
            inside.add(tool)
            row = trace.parents[tool]
            while row != turn.scope and row != run and row >= 0 and len(turn.tools) > 1:
                inside.add(row)
                row = trace.parents[row]
    return inside


def _bookkeeping(trace: SpanTable, run: int) -> set[int]:
    """The LLM spans that are neither calls nor around one."""
    llm = set(trace.of_role(Role.LLM, run))
    found = calls(trace, run).llm
    if len(found) == len(llm):
        return set()
    real = set(found)
    for call in found:
        row = trace.parents[call]
        while row in llm:
            real.add(row)
            row = trace.parents[row]
    return llm - real


def _family(
    trace: SpanTable, parent: int, family: Sequence[int], taken: set[int]
) -> tuple[list[FanOut], list[Row]]:
    """The fan-outs and rows among the children of one span."""
    roles, lengths = trace.roles, trace.lengths
    least_ns = LEAST_SHARE * max([lengths[row] for row in family])
    members = [row for row in family if lengths[row] >= least_ns and roles[row] not in _NEVER]
    # Neither a fan-out nor a row is made of spans that belong to turns alone.
    if len(members) < 2 or taken.issuperset(members):
        return [], []
    tasks_of = trace.graph_tasks if trace.is_graph else None
    tasks = {row: task for row in members if (task := tasks_of[row])} if tasks_of else {}
    steps = {
        row: task.step
        for row, task in tasks.items()
        if task.step is not None and is_task(trace, row, task)
    }
    fan_outs: list[FanOut] = []
    if steps:
        taken = taken | _later_parts(trace, steps, tasks)
        fan_outs += _steps(trace, parent, steps, taken)
    groups = _joined_batches(trace, _groups(trace, members, steps))
    for group in groups:
        free = [row for row in group if row not in taken and row not in steps]
        # Fetches are a tool's own affair, unless many follow each other.
        if len(free) > 1 and trace.roles[free[0]] is not Role.FETCH:
            shape = _shape(trace, free)
            fan_outs.append(FanOut(tuple(free), parent, Evidence.INFERRED, shape))
    rows = [
        row
        for sequence in _sequences(trace, groups, taken, tasks)
        if len(sequence) > 1 and (row := _row(trace, parent, sequence, bool(steps)))
    ]
    return fan_outs, rows


def is_task(trace: SpanTable, row: int, task: GraphTask) -> bool:
    """Whether a span is a task of LangGraph, and not a part of one, which inherits its metadata.

    A task is the topmost span of its namespace. Where no namespace is recorded, calls are parts.
    """
    if not task.namespace:
        return trace.roles[row] in _TASKS
    above = trace.graph_tasks[trace.parents[row]] if trace.parents[row] >= 0 else None
    return above is None or above.namespace != task.namespace


def _steps(
    trace: SpanTable, parent: int, steps: dict[int, int], taken: set[int]
) -> Iterator[FanOut]:
    """The tasks of each step of LangGraph that has several."""
    by_step: dict[int, list[int]] = defaultdict(list)
    for row, step in steps.items():
        if row not in taken:
            by_step[step].append(row)
    for step, rows in by_step.items():
        if len(rows) > 1:
            shape = _shape(trace, rows)
            yield FanOut(tuple(rows), parent, Evidence.DECLARED, shape, step=step)


def _later_parts(
    trace: SpanTable, steps: Mapping[int, int], tasks: Mapping[int, GraphTask]
) -> set[int]:
    """The spans that follow another of their node in one step, where no namespace is recorded.

    They are parts of one task. In a step of one node they may also be tasks of a Send.
    """
    nodes: dict[int, set[str | None]] = defaultdict(set)
    last_end: dict[tuple[int, str | None], int] = {}
    parts: set[int] = set()
    bare = [(row, tasks[row].node) for row in steps if not tasks[row].namespace]
    for row, node in bare:
        nodes[steps[row]].add(node)
    for row, node in bare:
        start, end = trace.intervals[row]
        if len(nodes[steps[row]]) > 1 and start >= last_end.get((steps[row], node), start + 1):
            parts.add(row)
        last_end[steps[row], node] = max(end, last_end.get((steps[row], node), end))
    return parts


def _groups(trace: SpanTable, members: Sequence[int], steps: dict[int, int]) -> list[list[int]]:
    """Siblings of one role joined where they overlap, or by step; in order of start."""
    groups: list[list[int]] = []
    open_groups: dict[object, list[int]] = {}
    roles = trace.roles
    for row in members:
        kind: object = ("step", steps[row]) if row in steps else roles[row]
        current = open_groups.get(kind)
        if current is not None and (row in steps or _touches(trace, current, row)):
            current.append(row)
        else:
            current = open_groups[kind] = [row]
            groups.append(current)
    return groups


def _joined_batches(trace: SpanTable, groups: list[list[int]]) -> list[list[int]]:
    """Groups of equal size and one name that follow each other are batches of one group."""
    joined: list[list[int]] = []
    size = 0
    for group in groups:
        if 1 < len(group) <= size:
            before = joined[-1]
            if len({trace.names[row] for row in (before[0], *group)}) == 1:
                before += group
                continue
        joined.append(list(group))
        size = len(group)
    return joined


def _touches(trace: SpanTable, group: Sequence[int], row: int) -> bool:
    """Whether a span overlaps one of those that started before it."""
    intervals = trace.intervals
    start, end = intervals[row]
    for other in reversed(group[-_PAIRS_OF:]):
        other_start, other_end = intervals[other]
        shorter = min(end - start, other_end - other_start)
        if min(end, other_end) - start > OVERLAP_SHARE * shorter:
            return True
    return False


def _shape(trace: SpanTable, rows: Sequence[int]) -> Shape:
    """How siblings, in order of start, lie in time."""
    first_end = min(trace.intervals[row][1] for row in rows)
    last_start = trace.intervals[rows[-1]][0]
    if last_start < first_end:
        return Shape.TOGETHER
    alone = all(not _touches(trace, rows[:at], rows[at]) for at in range(1, min(len(rows), 50)))
    return Shape.ROW if alone and len(rows) <= 50 else Shape.MIXED


def _sequences(
    trace: SpanTable,
    groups: Sequence[Sequence[int]],
    taken: set[int],
    tasks: Mapping[int, GraphTask],
) -> Iterator[list[int]]:
    """The sequences of single siblings of one role, with nothing else between them."""
    sequence: list[int] = []
    roles, lengths = trace.roles, trace.lengths
    longest: dict[Role, int] = defaultdict(int)  # many small calls count beside a long agent
    for group in groups:
        role = roles[group[0]]
        longest[role] = max(longest[role], lengths[group[0]])
    for group in groups:
        row = group[0]
        single = len(group) == 1 and row not in taken
        if single and lengths[row] < ROW_SHARE * longest[roles[row]]:
            continue  # what comes before and after the rest gains nothing beside it
        if sequence and not (single and _follows(trace, sequence[-1], row, tasks)):
            yield sequence
            sequence = []
        if single:
            sequence.append(row)
    yield sequence


def _follows(trace: SpanTable, before: int, row: int, tasks: Mapping[int, GraphTask]) -> bool:
    """Whether a span goes on with a row: the same role, soon after, and no repeated attempt."""
    both_tasks = before in tasks and row in tasks
    if trace.roles[before] is not trace.roles[row] and not both_tasks:
        return False
    pause = trace.intervals[row][0] - trace.intervals[before][1]
    shorter = min(trace.lengths[before], trace.lengths[row])
    return pause <= PAUSE_SHARE * shorter and before not in trace.failed


def _row(trace: SpanTable, parent: int, rows: Sequence[int], by_step: bool) -> Row | None:
    """The row of these siblings; None where they are the turns, or the returns, of one branch."""
    names = {trace.names[row] for row in rows}
    role = trace.roles[rows[0]]
    if role in (Role.CHAIN, Role.OTHER) and not by_step and _are_turns(trace, rows):
        return None
    is_node = role in (Role.CHAIN, Role.AGENT)
    branches = (
        _without_returns(trace, rows)
        if by_step or (is_node and len(names) > 1)
        else [(row,) for row in rows]
    )
    return Row(tuple(branches), parent, role) if len(branches) > 1 else None


def _are_turns(trace: SpanTable, rows: Sequence[int]) -> bool:
    """Whether spans are turns of one agent: each holds an LLM call, and all but the last end with
    the tools that it asked for.
    """
    llm = [_last_start(trace, span, Role.LLM) for span in rows]
    tools = [_last_start(trace, span, Role.TOOL) for span in rows]
    return all(llm) and all(call < tool for call, tool in zip(llm[:-1], tools[:-1], strict=True))


def _last_start(trace: SpanTable, span: int, role: Role) -> int:
    """When the last span of a role below a span starts, down to the first agents; 0 for none."""
    last = 0
    pending = list(trace.child_rows[span])
    while pending:
        row = pending.pop()
        if trace.roles[row] is role:
            last = max(last, trace.intervals[row][0])
        if trace.roles[row] is not Role.AGENT:
            pending += trace.child_rows[row]
    return last


def _without_returns(trace: SpanTable, rows: Sequence[int]) -> list[tuple[int, ...]]:
    """The branches of a row of nodes: all between two visits of one node is one branch."""
    branches: list[list[int]] = []
    place: dict[str, int] = {}
    for row in rows:
        at = place.get(trace.names[row])
        if at is None:
            place[trace.names[row]] = len(branches)
            branches.append([row])
            continue
        for later in branches[at + 1 :]:
            branches[at] += later
        branches[at].append(row)
        del branches[at + 1 :]
        place = {name: min(number, at) for name, number in place.items()}
    return [tuple(branch) for branch in branches]


_PLURAL = {
    Role.AGENT: "agents",
    Role.CHAIN: "nodes",
    Role.LLM: "LLM calls",
    Role.TOOL: "tool calls",
    Role.HTTP: "requests",
    Role.RPC: "remote calls",
    Role.DATABASE: "queries",
    Role.MESSAGING: "messages",
    Role.RETRIEVAL: "retrievals",
    Role.FETCH: "fetches",
}


def plural(role: Role) -> str:
    """What several spans of a role are called."""
    return _PLURAL.get(role, "spans")
