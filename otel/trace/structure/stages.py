"""The stages of a graph: which of its nodes ran together, and which followed which.

LangGraph starts the nodes of a step when all nodes of the step before have ended. Where spans
record the step, a stage is a step. Elsewhere a stage is inferred from names and times: it begins
where a span starts after all spans before it have ended.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby

import msgspec
import numpy as np

from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import GraphTask, Role

CLOCK_SHARE = 0.05
"""An overlap up to this share of the shorter of two spans is granularity of the clock."""

_LEAST_CHILDREN = 4
"""Fewer children cannot show two stages of two nodes."""

_NODES = frozenset({Role.RUN, Role.DISPATCH, Role.JOIN, Role.AGENT, Role.CHAIN, Role.OTHER})
"""The roles of spans that may be nodes of a graph where nothing says so; tools beside them too."""


class NodeTask(msgspec.Struct, frozen=True):
    """One execution of a node; times in nanoseconds since the epoch.

    `rows` are its topmost spans, in order of start: one, unless the node itself has no span.
    `triggers` are LangGraph's, which do not always tell what ran before.
    """

    node: str
    rows: tuple[int, ...]
    step: int | None
    is_send: bool
    triggers: tuple[str, ...]
    start_ns: int
    end_ns: int


class Visit(msgspec.Struct, frozen=True):
    """All tasks of one node in one stage; `number` is 0 for the first visit of the node."""

    node: str
    number: int
    tasks: tuple[NodeTask, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """The topmost spans of its tasks, in order of start."""
        return tuple(sorted(row for task in self.tasks for row in task.rows))

    @property
    def start_ns(self) -> int:
        """The first start."""
        return min(task.start_ns for task in self.tasks)

    @property
    def end_ns(self) -> int:
        """The last end."""
        return max(task.end_ns for task in self.tasks)

    @property
    def duration_ns(self) -> int:
        """The time from the first start to the last end."""
        return self.end_ns - self.start_ns


class Stage(msgspec.Struct, frozen=True, dict=True):
    """The nodes that ran together, in order of start; `step` is LangGraph's, where recorded."""

    step: int | None
    visits: tuple[Visit, ...]

    @cached_property
    def nodes(self) -> frozenset[str]:
        """The names of the nodes."""
        return frozenset([visit.node for visit in self.visits])

    @cached_property
    def durations(self) -> Mapping[str, int]:
        """The duration of each visit by its node, in nanoseconds."""
        return {visit.node: visit.duration_ns for visit in self.visits}

    def visit(self, node: str) -> Visit:
        """The visit of a node; raises KeyError."""
        return self._by_node[node]

    @cached_property
    def _by_node(self) -> Mapping[str, Visit]:
        return {visit.node: visit for visit in self.visits}

    @property
    def size(self) -> int:
        """The number of tasks."""
        return sum(len(visit.tasks) for visit in self.visits)

    @cached_property
    def start_ns(self) -> int:
        """The first start."""
        return min(visit.start_ns for visit in self.visits)

    @cached_property
    def end_ns(self) -> int:
        """The last end."""
        return max(visit.end_ns for visit in self.visits)


class StageGraph(msgspec.Struct, frozen=True):
    """One run of a graph as its stages, in order.

    `parent` is the row that its nodes have as parent, or a value of the parent column.
    `is_declared` says that the steps were recorded; otherwise stages are inferred from times.
    """

    parent: int
    stages: tuple[Stage, ...]
    is_declared: bool

    @property
    def chains(self) -> list[tuple[Visit, ...]]:
        """The longest runs of stages in succession that have one task each, two stages or more.

        They are serial by the edges of the graph. A node that follows itself is part of its chain.
        """
        chains: list[list[Visit]] = [[]]
        last: Stage | None = None
        for stage in self.stages:
            is_single = len(stage.visits) == 1 and len(stage.visits[0].tasks) == 1
            if chains[-1] and not (is_single and last is not None and follows(last, stage)):
                chains.append([])
            if is_single:
                chains[-1].append(stage.visits[0])
            last = stage
        return [tuple(chain) for chain in chains if len(chain) > 1]


def follows(before: Stage, after: Stage) -> bool:
    """Whether one stage came directly after another, by their steps and by their times."""
    if before.step is not None and after.step != before.step + 1:
        return False
    last = max(before.visits, key=lambda visit: visit.end_ns)
    first = min(after.visits, key=lambda visit: visit.start_ns)
    overlap = last.end_ns - first.start_ns
    return overlap <= CLOCK_SHARE * min(last.duration_ns, first.duration_ns)


def sources(visit: Visit, nodes: Iterable[str]) -> frozenset[str]:
    """The nodes that the triggers of a visit name as what ran before it.

    LangGraph names the sources of a join; its versions before 1.0 those of other edges too.
    """
    known, named = frozenset(nodes), set[str]()
    for task in visit.tasks:
        for trigger in task.triggers:
            kind, *rest = trigger.split(":")
            if trigger in known:
                named.add(trigger)
            elif kind == "join" and len(rest) == 2:
                named |= known.intersection(rest[0].split("+"))
            elif kind == "branch" and len(rest) == 3:
                named |= known.intersection(rest[:1])
    return frozenset(named)


@once_per_trace
def stage_graphs(trace: SpanTable, *, least_wide: int = 0) -> tuple[StageGraph, ...]:
    """Every graph with this many stages of two or more spans; cached.

    Where no steps are recorded, only those whose nodes ran more than once.
    """
    return (
        *declared_graphs(trace, least_wide=least_wide),
        *_inferred(trace, node_tasks(trace), least_wide),
    )


@once_per_trace
def declared_graphs(trace: SpanTable, *, least_wide: int = 0) -> tuple[StageGraph, ...]:
    """Those of the same graphs whose steps are recorded; cached."""
    return tuple(
        graph
        for (parent, _), tasks in node_tasks(trace).items()
        for graph in _declared(parent, tasks)
        if sum(stage.size > 1 for stage in graph.stages) >= least_wide
    )


@once_per_trace
def node_tasks(trace: SpanTable) -> Mapping[tuple[int, str], Sequence[NodeTask]]:
    """The node tasks of a trace by graph, in order of start; cached.

    A graph is named by the parent of its nodes and the namespace above theirs. Every span below a
    node inherits the node's namespace and step, so only the topmost span is the node's.
    """
    if not trace.is_graph:
        return {}
    recorded = {
        row: task
        for row, task in enumerate(trace.graph_tasks)
        if task is not None and task.node is not None
    }
    spans: dict[tuple[object, ...], list[int]] = defaultdict(list)
    parents = trace.parent.tolist()
    for row in _topmost(parents, recorded):
        task = recorded[row]
        # Without a namespace nothing tells that two spans are of one task.
        spans[parents[row], task.namespace or row, task.node, task.step].append(row)
    graphs: dict[tuple[int, str], list[NodeTask]] = defaultdict(list)
    for rows in spans.values():
        task = recorded[rows[0]]
        assert task.node is not None
        graphs[parents[rows[0]], task.graph].append(
            NodeTask(
                node=task.node,
                rows=tuple(rows),
                step=task.step,
                is_send=task.is_send,
                triggers=task.triggers,
                start_ns=trace.intervals[rows[0]][0],
                end_ns=max(trace.intervals[row][1] for row in rows),
            )
        )
    return dict(graphs)


@once_per_trace
def later_visits(trace: SpanTable) -> frozenset[int]:
    """The topmost spans of all visits of a node but its first; cached."""
    return frozenset(
        row
        for graph in stage_graphs(trace)
        for stage in graph.stages
        for visit in stage.visits
        if visit.number
        for row in visit.rows
    )


def _topmost(parents: Sequence[int], recorded: Mapping[int, GraphTask]) -> Iterator[int]:
    """The spans whose nearest ancestor with such metadata belongs to another task."""
    nearest: dict[int, int] = {}
    for row, task in recorded.items():
        above, way = parents[row], list[int]()
        while above >= 0 and above not in recorded and above not in nearest and above != row:
            way.append(above)
            above = parents[above]
            if len(way) > len(parents):
                break  # parents in a circle
        known = above if above in recorded else nearest.get(above, -1)
        nearest.update(dict.fromkeys(way, known))
        outer = recorded.get(known)
        if outer is None or not _is_same_task(task, outer):
            yield row


def _is_same_task(task: GraphTask, outer: GraphTask) -> bool:
    return task.namespace == outer.namespace and task.step == outer.step and task.node == outer.node


def _declared(parent: int, tasks: Sequence[NodeTask]) -> Iterator[StageGraph]:
    """The runs of a graph whose tasks record their step: a run ends where the steps start anew."""
    run: list[NodeTask] = []
    last_end, last_step = 0, -1
    for task in sorted((t for t in tasks if t.step is not None), key=lambda t: t.start_ns):
        assert task.step is not None
        if task.step < last_step and task.start_ns >= last_end:
            yield _stage_graph(parent, _by_step(run), is_declared=True)
            run, last_step = [], -1
        run.append(task)
        last_end, last_step = max(last_end, task.end_ns), max(last_step, task.step)
    if run:
        yield _stage_graph(parent, _by_step(run), is_declared=True)


def _by_step(tasks: Sequence[NodeTask]) -> list[list[NodeTask]]:
    ordered = sorted(tasks, key=lambda task: (task.step or 0, task.start_ns))
    return [list(stage) for _, stage in groupby(ordered, key=lambda task: task.step)]


def _inferred(
    trace: SpanTable,
    recorded: Mapping[tuple[int, str], Sequence[NodeTask]],
    least_wide: int,
) -> Iterator[StageGraph]:
    """The graphs without steps, by names and times alone, whose nodes ran more than once."""
    names, roles, intervals = trace.names, trace.roles, trace.intervals
    nodes = {row: task.node for tasks in recorded.values() for task in tasks for row in task.rows}
    declared = {
        parent for (parent, _), tasks in recorded.items() if any(t.step is not None for t in tasks)
    }
    for parent in _overlapping_families(trace, least_wide):
        children = trace.children(parent)
        if len(children) < _LEAST_CHILDREN or parent in declared:
            continue
        if _NODES.isdisjoint([roles[row] for row in children]):
            continue  # tools of one agent are turns, and no branches return to one
        rows = [row for row in children if roles[row] in _NODES or roles[row] is Role.TOOL]
        stages = _by_time(intervals, rows)
        if len(stages) < 3 or sum(len(stage) > 1 for stage in stages) < least_wide:
            continue
        labels = [nodes.get(row, names[row]) for row in rows]
        if len(set(labels)) == len(labels):
            continue
        graph = _stage_graph(
            parent,
            [
                [
                    NodeTask(nodes.get(row, names[row]), (row,), None, False, (), *intervals[row])
                    for row in stage
                ]
                for stage in stages
            ],
            is_declared=False,
        )
        if any(visit.number for stage in graph.stages for visit in stage.visits):
            yield graph


def _overlapping_families(trace: SpanTable, least: int) -> Iterable[int]:
    """The parents of which this many children, at least, start before the child before has ended.

    The first two spans of a wide stage are such a pair.
    """
    if not least:
        return range(len(trace))
    order = np.argsort(trace.parent, kind="stable")
    parent, start, end = trace.parent[order], trace.start[order], trace.end[order]
    overlap = (parent[1:] == parent[:-1]) & (parent[1:] >= 0) & (start[1:] < end[:-1])
    counts = np.bincount(parent[1:][overlap], minlength=1)
    return np.flatnonzero(counts >= least).tolist()


def _by_time(intervals: Sequence[tuple[int, int]], rows: Sequence[int]) -> list[list[int]]:
    """The rows, in order of start, cut where one starts after all before it have ended."""
    stages: list[list[int]] = []
    last_end = last_length = 0
    for row in rows:
        start, end = intervals[row]
        length = end - start
        if not stages or last_end - start <= CLOCK_SHARE * min(length, last_length):
            stages.append([])
        stages[-1].append(row)
        if end > last_end:
            last_end, last_length = end, length
    return stages


def _stage_graph(
    parent: int, stages: Sequence[Sequence[NodeTask]], *, is_declared: bool
) -> StageGraph:
    """The graph of these stages, with the visits of each node counted.

    Where stages are inferred, a node that runs in two stages in succession may just have waited its
    turn at a limit: that is no other visit.
    """
    visits: dict[str, int] = {}
    last_stage: dict[str, int] = {}
    built = []
    for place, tasks in enumerate(stages):
        by_node: dict[str, list[NodeTask]] = defaultdict(list)
        for task in tasks:
            by_node[task.node].append(task)
        for node in by_node:
            is_again = node in visits and (is_declared or last_stage[node] < place - 1)
            visits[node] = visits.get(node, 0) + is_again
            last_stage[node] = place
        built.append(
            Stage(
                tasks[0].step,
                tuple(Visit(node, visits[node], tuple(each)) for node, each in by_node.items()),
            )
        )
    return StageGraph(parent, tuple(built), is_declared)
