"""What a run would save without its barriers, over all ways to give each node to a branch.

Nothing says which tools node belongs to which agent. Those ways count that agree with what is
recorded (`same_branch.py`) and with who was present: a branch has a node in each stage until it
ends.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice, pairwise, product

import msgspec

from trading_graph.otel.trace.structure.barriers import Lockstep, locksteps
from trading_graph.otel.trace.structure.same_branch import branch_labels
from trading_graph.otel.trace.structure.stages import Stage, Visit, sources
from trading_graph.otel.trace.table import SpanTable

MOST = 1_000
"""The most pairings of a trace that are played, from the quickest and from the slowest on."""

TRIES = 50
"""How often, for each pairing to play, a search tries to give a node to a branch."""

LEAST = 24
"""As many pairings are played of each lockstep, if a trace has that many locksteps."""


class Pairing(msgspec.Struct, frozen=True):
    """The visits of each branch, in order, and what the run saves if no other is waited for."""

    branches: tuple[tuple[Visit, ...], ...]
    saving_ns: int


class Pairings(msgspec.Struct, frozen=True):
    """The pairings with the least, the median and the greatest saving, and how many there are.

    Where not all were played (`is_complete`), there are `count` or more. `ready_ns` is, by the
    first row of a visit, when what it needed had ended in every pairing.
    """

    least: Pairing
    median: Pairing
    greatest: Pairing
    count: int
    is_complete: bool
    ready_ns: Mapping[int, int]


def pairings(trace: SpanTable, lockstep: Lockstep) -> Pairings | None:
    """All pairings that agree with a trace, or None where there is none; cached."""
    key = pairings, lockstep.waiting
    if key not in trace.memo:
        trace.memo[key] = _pairings(trace, lockstep)
    found: Pairings | None = trace.memo[key]
    return found


class _Rule(Enum):
    """What is asked of a pairing, the strictest first; the next counts where nothing fits.

    RETURNING: one node of a branch a stage, and a node that the branch returns to is returned to.
    PRESENT: one node of a branch a stage. ANY: a branch may have several nodes at once.
    """

    RETURNING = 1
    PRESENT = 2
    ANY = 3


_Branches = Mapping[str, int]
"""The number of the branch of each node."""


def _pairings(trace: SpanTable, lockstep: Lockstep) -> Pairings | None:
    labels = branch_labels(trace, (*lockstep.stages, *lockstep.tail))
    certain, possible = _tail_lengths(lockstep, labels)
    replays: list[_Replay] = []
    likely: list[_Replay] = []
    ready_ns: dict[int, int] = {}
    most = max(MOST // len(locksteps(trace)), LEAST)
    is_complete = True
    for length in range(certain, possible + 1):
        stages = (*lockstep.stages, *lockstep.tail[:length])
        some, complete = _replays(stages, labels, most)
        is_complete = is_complete and complete
        replays += some
        if not likely:
            likely = sorted(replays, key=_saving)
            for replay in likely:
                for row, ready in replay.ready_ns().items():
                    ready_ns[row] = max(ready_ns.get(row, 0), ready)
    if not likely:
        return None
    return Pairings(
        least=min(replays, key=_saving).pairing(),
        median=likely[len(likely) // 2].pairing(),
        greatest=max(replays, key=_saving).pairing(),
        count=len(likely) if is_complete else min(len(likely), most),
        is_complete=is_complete,
        ready_ns=ready_ns,
    )


def _tail_lengths(lockstep: Lockstep, labels: Mapping[str, int]) -> tuple[int, int]:
    """How many of the single nodes after a lockstep belong to one branch: least and most.

    A node whose branch is recorded does. Of others nothing tells whether they join the branches or
    are the next nodes of a longer branch. All up to the last that the branches have visited may be.
    After it at most as many as there are stages are taken for that, and none that is visited again
    or that other branches follow, which is what comes after a join.
    """
    branches = {labels[node] for node in lockstep.nodes if node in labels}
    single = [stage.visits[0] for stage in lockstep.tail]
    joins = [len(sources(visit, lockstep.nodes)) > 1 for visit in single]
    certain = 0
    while certain < len(single) and labels.get(single[certain].node) in branches:
        certain += 1
    counts = Counter(visit.node for visit in single)
    is_last = not single or lockstep.tail[-1] is lockstep.graph.stages[-1]
    back = max((n for n, visit in enumerate(single, 1) if visit.node in lockstep.nodes), default=0)
    possible = certain if any(joins[:back]) else max(certain, back)
    for visit, is_join in list(zip(single, joins, strict=True))[possible : len(lockstep.stages)]:
        if is_join or counts[visit.node] > 1 or not (is_last or visit is not single[-1]):
            break
        possible += 1
    return certain, possible


def _replays(
    stages: Sequence[Stage], labels: Mapping[str, int], most: int
) -> tuple[list["_Replay"], bool]:
    """The stages played in each way to give nodes to branches, and whether these are all ways."""
    for rule in _Rule:
        search = _Search(stages, labels, rule, slowest_first=False)
        some = [_Replay(stages, each) for each in islice(search.run(TRIES * most), most + 1)]
        if len(some) > most or (some and search.is_cut_off):
            search = _Search(stages, labels, rule, slowest_first=True)
            slow = islice(search.run(TRIES * most), most)
            some += [_Replay(stages, each) for each in slow]
            return [*some, *(_extreme(search, some, sign, most) for sign in (1, -1))], False
        if some:
            return some, True
    return [], True


def _extreme(search: "_Search", some: Sequence["_Replay"], sign: int, tries: int) -> "_Replay":
    """The quickest of some replays (sign 1) or the slowest (-1), and then by exchanges of nodes.

    Each exchange that is tried is between the longest branch and another.
    """

    def ends(replay: _Replay) -> list[int]:
        return [sign * end for end in replay.ends_ns]

    best = min(some, key=ends)
    while tries > 0:
        least = ends(best)
        for branches in search.exchanges(best.branches, best.longest):
            tries -= 1
            if search.fits(branches):
                other = _Replay(best.stages, branches)
                if ends(other) < least:
                    best = other
                    break
            if not tries:
                return best
        else:
            break
    return best


class _Search:
    """A search for ways to give nodes to branches, stage by stage."""

    def __init__(
        self,
        stages: Sequence[Stage],
        labels: Mapping[str, int],
        rule: _Rule,
        *,
        slowest_first: bool,
    ) -> None:
        self._labels = labels
        self._rule = rule
        self._nodes = [stage.nodes for stage in stages]
        self._time: Counter[str] = Counter()
        visits: Counter[str] = Counter()
        for stage in stages:
            for visit in stage.visits:
                self._time[visit.node] += visit.duration_ns
                visits[visit.node] += 1
        self._returning = {node for node, count in visits.items() if count > 1}
        self._sign = -1 if slowest_first else 1
        self._tries = 0

    @property
    def is_cut_off(self) -> bool:
        """Whether the last search ended before all ways were tried."""
        return self._tries < 0

    def run(self, tries: int) -> Iterator[_Branches]:
        """All ways that as many tries find, those that come out quickest, or slowest, first."""
        self._tries = tries
        first = sorted(self._nodes[0])
        return self._stage(1, {node: number for number, node in enumerate(first)})

    def exchanges(self, branches: _Branches, branch: int) -> Iterator[_Branches]:
        """The ways in which a branch and another exchange their nodes of a stage, or from it on."""
        first = {
            node: place for place, nodes in reversed([*enumerate(self._nodes)]) for node in nodes
        }
        last = len(self._nodes) - 1
        for place, other in product(range(1, last + 1), sorted({*branches.values()} - {branch})):
            to = {branch: other, other: branch}
            for end in {place, last}:
                moves = {
                    node: to[now]
                    for node, now in branches.items()
                    if now in to and place <= first[node] <= end
                }
                if moves and moves.keys().isdisjoint(self._labels):
                    yield {**branches, **moves}

    def fits(self, branches: _Branches) -> bool:
        """Whether all stages agree with those beside them."""
        return all(self._fits(place, branches) for place in range(1, len(self._nodes)))

    def _stage(self, place: int, branches: dict[str, int]) -> Iterator[_Branches]:
        if place == len(self._nodes):
            yield branches
            return
        new = [node for node in self._nodes[place] if node not in branches]
        new.sort(key=lambda node: (-self._time[node], node))
        yield from self._node(place, branches, new)

    def _node(
        self, place: int, branches: dict[str, int], new: Sequence[str]
    ) -> Iterator[_Branches]:
        """Give the new nodes of a stage to branches, the longest first."""
        if not new:
            if self._fits(place, branches):
                yield from self._stage(place + 1, branches)
            return
        node, *rest = new
        busy: Counter[int] = Counter()
        for each, branch in branches.items():
            busy[branch] += self._time[each]
        taken = {branches[each] for each in self._nodes[place] if each in branches}
        free = {
            branches[each]
            for each in self._nodes[place - 1]
            if self._rule is not _Rule.RETURNING or self._returns(each, place + 1)
        }
        if self._rule is not _Rule.ANY:
            free -= taken
        label = self._labels.get(node)
        own = {branches[each] for each in branches if label is not None and self._is(each, label)}
        for branch in sorted(free & own if own else free, key=lambda b: self._sign * busy[b]):
            self._tries -= 1
            if self._tries < 0:
                return
            yield from self._node(place, {**branches, node: branch}, rest)

    def _is(self, node: str, label: int) -> bool:
        return self._labels.get(node) == label

    def _fits(self, place: int, branches: _Branches) -> bool:
        """Whether a stage agrees with those beside it."""
        before = {branches[node]: node for node in self._nodes[place - 1]}
        now = [branches[node] for node in self._nodes[place]]
        if not before.keys() >= set(now):
            return False
        if self._rule is _Rule.ANY:
            return True
        if len(set(now)) < len(now):
            return False
        if self._rule is _Rule.PRESENT:
            return True
        return all(self._returns(before[branch], place + 1) for branch in now)

    def _returns(self, node: str, place: int) -> bool:
        """Whether a stage has a node to which its branch has to return then, if it ever does."""
        if node not in self._returning or place == len(self._nodes):
            return True
        return node in self._nodes[place]


class _Replay:
    """Stages played again: each visit starts when its branch's visit in the stage before ended."""

    def __init__(self, stages: Sequence[Stage], branches: _Branches) -> None:
        # `ends_ns` is when each branch ends, the last first, and `longest` the branch that does.
        self.stages = stages
        self.branches = branches
        # For each stage but the first, the node that each node waited for.
        self._before: list[dict[str, str]] = []
        ends = {visit.node: visit.end_ns for visit in stages[0].visits}
        until = {branches[node]: end for node, end in ends.items()}
        for stage in stages[1:]:
            latest: dict[int, str] = {}
            for node in sorted(ends, key=ends.__getitem__):
                latest[branches[node]] = node
            before = {node: latest[branches[node]] for node in stage.durations}
            ends = {node: ends[before[node]] + length for node, length in stage.durations.items()}
            for node, end in ends.items():
                until[branches[node]] = max(until.get(branches[node], 0), end)
            self._before.append(before)
        self.longest = max(until, key=until.__getitem__)
        self.ends_ns = sorted(until.values(), reverse=True)
        self.saving_ns = max(stages[-1].end_ns - self.ends_ns[0], 0)

    def ready_ns(self) -> dict[int, int]:
        """When what a visit waited for had ended in the recorded run, by its first row."""
        return {
            after.visit(node).rows[0]: before.visit(earlier).end_ns
            for (before, after), pairs in zip(pairwise(self.stages), self._before, strict=True)
            for node, earlier in pairs.items()
        }

    def pairing(self) -> Pairing:
        """The visits of each branch."""
        paths: dict[str, tuple[Visit, ...]] = {
            visit.node: (visit,) for visit in self.stages[0].visits
        }
        done: list[tuple[Visit, ...]] = []
        for stage, pairs in zip(self.stages[1:], self._before, strict=True):
            gone_on = set(pairs.values())
            done += [path for node, path in paths.items() if node not in gone_on]
            paths = {node: (*paths[earlier], stage.visit(node)) for node, earlier in pairs.items()}
        return Pairing((*done, *paths.values()), self.saving_ns)


def _saving(replay: _Replay) -> int:
    return replay.saving_ns
