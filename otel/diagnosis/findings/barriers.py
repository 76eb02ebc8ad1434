"""Branches that waited for each other at superstep barriers."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from trading_graph.otel.diagnosis.actions import RemoveBarrier
from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace.structure import Lockstep, Pairing, Pairings, locksteps, pairings

_SHOWN = 4
"""The most branches and losses that a sentence lists."""

_NODES = 10
"""The most nodes that a sentence lists."""


Runs = Sequence[tuple[Lockstep, Pairings]]
"""The runs of one graph, and all ways to give its nodes to branches."""


def barriers(schedule: Schedule) -> Iterator[Candidate]:
    """Branches of several nodes that waited for each other after each; one finding a graph.

    Runs of one graph are one finding, and so are graphs that run at once, such as subgraphs of
    several branches: to mend one of them may gain nothing.
    """
    tree = schedule.tree
    within = frozenset(tree.rows) if locksteps(tree.trace) else frozenset()
    graphs: dict[tuple[frozenset[str], bool], list[tuple[Lockstep, Pairings]]] = defaultdict(list)
    for lockstep in locksteps(tree.trace):
        played = pairings(tree.trace, lockstep) if within.issuperset(lockstep.waiting) else None
        if played is not None:
            graphs[frozenset(lockstep.nodes), lockstep.is_declared].append((lockstep, played))
    for together in _at_once([*graphs.values()]):
        yield _finding(tree, together)


def _at_once(graphs: Sequence[Runs]) -> list[list[Runs]]:
    """The graphs by what ran at once; those whose steps are not recorded stay alone."""
    groups: list[list[Runs]] = []
    for runs in graphs:
        beside = [group for group in groups if any(_overlap(runs, other) for other in group)]
        groups = [group for group in groups if group not in beside]
        groups.append([*[other for group in beside for other in group], runs])
    return groups


def _overlap(runs: Runs, others: Runs) -> bool:
    return any(
        one.is_declared
        and other.is_declared
        and one.start_ns < other.end_ns
        and other.start_ns < one.end_ns
        for one, _ in runs
        for other, _ in others
    )


def _finding(tree: CallTree, graphs: Sequence[Runs]) -> Candidate:
    runs = [each for graph in graphs for each in graph]
    first, _ = runs[0]
    rows = tuple(sorted(row for lockstep, _ in runs for row in lockstep.waiting))
    said = [f"{_loss(graph)} {_branches(graph[0][1])}" for graph in graphs[:_SHOWN]]
    if len(graphs) > _SHOWN:
        said.append(f"So did {len(graphs) - _SHOWN} more graphs at the same time.")
    return Candidate(
        kind=FindingKind.BARRIER,
        place=place_of(tree, first.graph.parent) if first.graph.parent >= 0 else first.nodes[0],
        evidence=" ".join(said),
        rows=rows,
        actions=tuple(_action(tree, each.median) for _, each in runs),
        proven=False,
        only_if="no branch reads another's result of that round"
        if first.is_declared
        else "no limit on concurrency held the branches back, and none reads another's result of "
        "that round",
        at_best=tuple(_action(tree, each.greatest) for _, each in runs),
    )


def _loss(runs: Runs) -> str:
    """What the branches lost, and at which nodes most."""
    first, _ = runs[0]
    loss_ns: dict[str, int] = defaultdict(int)
    for lockstep, _ in runs:
        for node, loss in lockstep.loss_ns.items():
            loss_ns[node] += loss
    least = sum(loss_ns.values())
    most = sum(sum(lockstep.most_ns.values()) for lockstep, _ in runs)
    lost = seconds(least) if least == most else f"{least / 1e9:.3f} to {seconds(most)}"
    order = sorted(loss_ns.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{node} {seconds(loss)}" for node, loss in order[:_SHOWN] if loss)
    more = ", ..." if len(order) > _SHOWN else ""
    where = f" ({shown}{more})" if shown else ""
    nodes = ", ".join(first.nodes[:_NODES])
    if len(first.nodes) > _NODES:
        nodes += f" and {len(first.nodes) - _NODES} more"
    count = sum(len(each.before.visits) > 1 for lockstep, _ in runs for each in lockstep.barriers)
    times = "once" if count == 1 else f"{count} times"
    why = (
        f"{nodes} ran in steps, and the branches waited {times} for the slowest node of a step"
        if first.is_declared
        else f"{nodes} ran in stages, and {times} a stage waited for the slowest "
        f"node of the one before: superstep barriers, or a limit on concurrency (no steps are "
        f"recorded)"
    )
    return f"{why}; {lost} lost in all{where}."


def _branches(played: Pairings) -> str:
    """Which nodes are of one branch, as far as that is known."""
    paths = sorted(played.median.branches, key=lambda path: (path[0].start_ns, path[0].node))
    branches = [list(dict.fromkeys(visit.node for visit in path)) for path in paths]
    if played.count > 1:
        some = "at least " if not played.is_complete else ""
        return (
            f"Which node is of which of the {len(branches)} branches is not recorded; "
            f"{some}{played.count} ways fit."
        )
    shown = "; ".join(" and ".join(each) for each in branches[:_SHOWN])
    more = "; ..." if len(branches) > _SHOWN else ""
    return f"Branches: {shown}{more}."


def _action(tree: CallTree, pairing: Pairing) -> RemoveBarrier:
    """Let each span of a visit wait for the end of its branch's visit before, and for no other."""
    steps: dict[int, int] = {}
    for branch in pairing.branches:
        for before, after in pairwise(branch):
            last = max(before.rows, key=tree.end.__getitem__)
            for place, row in enumerate(after.rows):
                # A node without a span of its own has several spans, one after the other.
                inside = [r for r in after.rows[:place] if tree.end[r] <= tree.start[row]]
                target = max(inside, key=tree.end.__getitem__, default=last)
                if tree.parents[target] == tree.parents[row]:
                    steps[row] = target
    return RemoveBarrier(tuple((before, row) for row, before in steps.items()))
