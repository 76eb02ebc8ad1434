"""Superstep barriers: branches that wait for each other after each of their nodes.

LangGraph starts the nodes of a step when every node of the step before has ended. Branches of
several nodes are therefore idle after each node until the slowest branch is done with its own. No
trace says which node belongs to which branch; `pairing.py` plays what agrees with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import pairwise

import msgspec

from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.structure.sends import tasks_apart
from trading_graph.otel.trace.structure.stages import (
    Stage,
    StageGraph,
    declared_graphs,
    follows,
    sources,
    stage_graphs,
)
from trading_graph.otel.trace.table import SpanTable

LEAST_SHARE = 0.01
"""The least loss that counts, as a share of the run."""


class Barrier(msgspec.Struct, frozen=True, dict=True):
    """The end of a stage for which the branches of the next stage waited."""

    before: Stage
    after: Stage

    @cached_property
    def loss_ns(self) -> Mapping[str, int]:
        """How long each node of the stage before had ended when the slowest ended."""
        end = self.before.end_ns
        return {visit.node: end - visit.end_ns for visit in self.before.visits}


class Lockstep(msgspec.Struct, frozen=True, dict=True):
    """Stages in succession, each with two or more different nodes: branches with barriers between.

    `stages` are the wide stages, and after them those with one node of a branch that went on.
    `tail` are those with one node that follow: of a longer branch, or what joins the branches.
    """

    graph: StageGraph
    stages: tuple[Stage, ...]
    tail: tuple[Stage, ...]

    @property
    def is_declared(self) -> bool:
        """Whether the steps were recorded; otherwise a limit on concurrency fits as well."""
        return self.graph.is_declared

    @property
    def start_ns(self) -> int:
        """When its first stage started."""
        return self.stages[0].start_ns

    @property
    def end_ns(self) -> int:
        """When its last stage ended."""
        return self.stages[-1].end_ns

    @cached_property
    def barriers(self) -> tuple[Barrier, ...]:
        """The barriers between the stages."""
        return tuple(Barrier(before, after) for before, after in pairwise(self.stages))

    @cached_property
    def loss_ns(self) -> Mapping[str, int]:
        """The time that nodes lost at all barriers, by node, of those whose branches went on.

        Where it is unknown whose did, those that lost least count.
        """
        return self._losses(1)

    @cached_property
    def most_ns(self) -> Mapping[str, int]:
        """The same, but where it is unknown which went on, those that lost most count."""
        return self._losses(-1)

    def _losses(self, sign: int) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for place, barrier in enumerate(self.barriers):
            loss_ns = barrier.loss_ns
            again = self.stages[place + 2].nodes if place + 2 < len(self.stages) else frozenset()
            nodes = barrier.before.nodes & again
            count = len(barrier.after.nodes)
            if len(nodes) != count:
                known = self._ends - again
                order = sorted(loss_ns, key=lambda n: (n in known, sign * loss_ns[n]))
                nodes = frozenset(order[:count])
            total.update({node: loss_ns[node] for node in nodes})
        return total

    @cached_property
    def _ends(self) -> frozenset[str]:
        """The last nodes of branches that a join after the stages names."""
        if not self.tail:
            return frozenset()
        named = sources(self.tail[0].visits[0], self.nodes)
        return named if len(named) > 1 else frozenset()

    @property
    def idle_ns(self) -> int:
        """The loss of all branches together."""
        return sum(self.loss_ns.values())

    @property
    def longest_ns(self) -> int:
        """The greatest loss of one node."""
        return max(self.loss_ns.values(), default=0)

    @property
    def waiting(self) -> tuple[int, ...]:
        """The spans that started after a barrier, in order of start."""
        after = [visit for barrier in self.barriers for visit in barrier.after.visits]
        return tuple(sorted(row for visit in after for row in visit.rows))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of the stages, in order of their first start."""
        return tuple(dict.fromkeys(visit.node for stage in self.stages for visit in stage.visits))


@once_per_trace
def locksteps(trace: SpanTable) -> tuple[Lockstep, ...]:
    """The locksteps of a trace in which a branch may have lost 1 % of the run; cached."""
    inferred = [each for each in stage_graphs(trace, least_wide=2) if not each.is_declared]
    return *declared_locksteps(trace), *_costly(trace, inferred)


@once_per_trace
def declared_locksteps(trace: SpanTable) -> tuple[Lockstep, ...]:
    """Those of the same locksteps whose steps are recorded; cached."""
    return _costly(trace, declared_graphs(trace, least_wide=1))


def _costly(trace: SpanTable, graphs: Iterable[StageGraph]) -> tuple[Lockstep, ...]:
    return tuple(
        lockstep
        for graph in graphs
        for lockstep in _locksteps(tasks_apart(graph))
        if max(lockstep.most_ns.values()) >= LEAST_SHARE * _run_ns(trace, graph)
    )


class BarrierWaits(msgspec.Struct, frozen=True):
    """How long branches waited at barriers, in nanoseconds, and the spans that started after one.

    `idle_ns` is the sum over all branches, `longest_ns` the most that one node lost.
    """

    idle_ns: int
    longest_ns: int
    waiting: tuple[int, ...]


NO_WAITS = BarrierWaits(0, 0, ())


def waits_at_barriers(trace: SpanTable, rows: Iterable[int]) -> BarrierWaits:
    """What the spans at some rows, or the nodes that they are in, waited at recorded barriers."""
    declared = declared_locksteps(trace)
    if not declared:
        return NO_WAITS
    members = set(rows)
    parents = trace.parent.tolist()
    pending = list(members)
    while pending:
        above = parents[pending.pop()]
        if above >= 0 and above not in members:
            members.add(above)
            pending.append(above)
    found = [each for each in declared if _spans_stages(each, members)]
    return BarrierWaits(
        sum(each.idle_ns for each in found),
        max((each.longest_ns for each in found), default=0),
        tuple(sorted({row for each in found for row in each.waiting})),
    )


def _spans_stages(lockstep: Lockstep, rows: Set[int]) -> bool:
    """Whether some rows are of several branches and of several stages of a lockstep."""
    visits = [
        (place, visit.node)
        for place, stage in enumerate(lockstep.stages)
        for visit in stage.visits
        if not rows.isdisjoint(visit.rows)
    ]
    return len({place for place, _ in visits}) > 1 and len({node for _, node in visits}) > 2


def _locksteps(graph: StageGraph) -> list[Lockstep]:
    stages, found = graph.stages, list[Lockstep]()
    ends = _barriers(graph)
    begin = 0
    while begin < len(stages) - 1:
        end = begin
        while end in ends:
            end += 1
        wide, tail = stages[begin : end + 1], _tail(stages, end)
        certain = _certain(wide, tail) if end > begin else _joined(stages[begin], tail)
        if end > begin or (certain and graph.is_declared):
            found.append(Lockstep(graph, (*wide, *tail[:certain]), tail[certain:]))
        begin = end + 1
    return found


def _barriers(graph: StageGraph) -> frozenset[int]:
    """The places of the stages at whose end branches wait for each other."""
    count = len(graph.stages) - 1
    if not graph.is_declared:
        return frozenset(filter(lambda place: _is_in_loop(graph, place), range(count)))
    ends = {place for place in range(count) if _is_barrier(*graph.stages[place : place + 2])}
    return frozenset(ends | _repeats(graph.stages, ends))


def _is_barrier(before: Stage, after: Stage) -> bool:
    """Whether branches wait for each other between two recorded stages.

    Where no node is new or none is gone, nothing shows branches: agents that speak once a round
    hear each other. Where each new node joins all nodes before, nobody waits for another branch.
    """
    if min(len(before.nodes), len(after.nodes)) < 2 or not follows(before, after):
        return False
    new = after.nodes - before.nodes
    if not new or not before.nodes - after.nodes:
        return False
    return not all(sources(visit, before.nodes) == before.nodes for visit in after.visits)


def _repeats(stages: Sequence[Stage], ends: Set[int]) -> set[int]:
    """The places beside barriers after which only nodes run again that left and returned there.

    A node that a branch leaves and returns to may also follow itself, in all branches at once.
    """
    more = set[int]()
    for begin, end in _runs(ends):
        back = _returning(stages[begin : end + 1])
        for way in (range(begin - 1, -1, -1), range(end, len(stages) - 1)):
            for place in way:
                before, after = stages[place : place + 2]
                again = after.nodes <= before.nodes & back and len(after.nodes) > 1
                if place in ends or not (again and follows(before, after)):
                    break
                more.add(place)
    return more


def _runs(places: Set[int]) -> Iterator[tuple[int, int]]:
    """The first and the last stage of each run of barriers."""
    for place in sorted(places):
        if place - 1 not in places:
            end = place
            while end in places:
                end += 1
            yield place, end


def _returning(stages: Sequence[Stage]) -> frozenset[str]:
    """The nodes that some stages have again after one without them."""
    back = set[str]()
    for first, between, again in zip(stages, stages[1:], stages[2:], strict=False):
        back |= (first.nodes & again.nodes) - between.nodes
    return frozenset(back)


def _is_in_loop(graph: StageGraph, place: int) -> bool:
    """Whether a stage that is inferred from times ends amid a loop of two or more branches."""
    before, after = graph.stages[place : place + 2]
    if min(len(before.nodes - after.nodes), len(after.nodes - before.nodes)) < 2:
        return False
    return follows(before, after) and (
        _is_amid_loop(graph, place) or _is_amid_loop(graph, place - 1)
    )


def _is_amid_loop(graph: StageGraph, place: int) -> bool:
    """Whether two or more nodes of a stage run again two stages later, and as many between."""
    if not 0 <= place < len(graph.stages) - 2:
        return False
    first, between, again = (stage.nodes for stage in graph.stages[place : place + 3])
    back = first & again
    return len(back) >= 2 and not between & first and len(between) >= len(back)


def _tail(stages: Sequence[Stage], end: int) -> tuple[Stage, ...]:
    """The stages of one node that directly follow the stage at a place."""
    last = end
    while (
        last + 1 < len(stages)
        and len(stages[last + 1].visits) == 1
        and follows(stages[last], stages[last + 1])
    ):
        last += 1
    return tuple(stages[end + 1 : last + 1])


def _certain(wide: Sequence[Stage], tail: Sequence[Stage]) -> int:
    """How many of the single nodes after the wide stages are surely of one branch.

    A node that the branches have visited is, and so are what joins some of the last stage's nodes
    and what comes before a join that names it.
    """
    known = frozenset[str]().union(*[stage.nodes for stage in wide])
    before, certain = known, 0
    for length, stage in enumerate(tail):
        named = sources(stage.visits[0], before)
        if len(named) > 1:
            if not named < wide[-1].nodes:
                return length if named - known else certain
            certain = length + 1
        before |= stage.nodes
    single = [stage.visits[0].node for stage in tail]
    back = next((n for n, node in enumerate(single) if node not in known), len(single))
    return max(back, certain)


def _joined(wide: Stage, tail: Sequence[Stage]) -> int:
    """How many single nodes after a wide stage are of one branch, as a join of it and others says.

    The join names a node of the wide stage beside the last of them.
    """
    before = wide.nodes
    for length, stage in enumerate(tail):
        named = sources(stage.visits[0], before)
        if len(named) > 1:
            return length if named & wide.nodes and named - wide.nodes else 0
        before |= stage.nodes
    return 0


def _run_ns(trace: SpanTable, graph: StageGraph) -> int:
    """The duration of the run that a graph is part of."""
    row = top = graph.parent
    for _ in range(len(trace)):
        if row < 0:
            break
        top, row = row, int(trace.parent[row])
    own_ns = graph.stages[-1].end_ns - graph.stages[0].start_ns
    return max(own_ns, trace.intervals[top][1] - trace.intervals[top][0] if top >= 0 else 0)
