"""Which nodes belong to one branch, as far as a trace records it.

A call id that an LLM call of one node wrote and a tool of the next stage carries, the name of an
agent that both record, and triggers that name the node before.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from trading_graph.otel.trace.structure.stages import Stage, Visit, sources
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, agent_name, call_id, tool_requests


def branch_labels(trace: SpanTable, stages: Sequence[Stage]) -> Mapping[str, int]:
    """A number for each node whose branch is known; nodes of one branch have the same number.

    A kind of evidence that puts two nodes of one stage into one branch does not count.
    """
    labels: dict[str, int] = {}
    for pairs in (_by_trigger(stages), _by_call_id(trace, stages), _by_agent(trace, stages)):
        merged = _merge(labels, pairs)
        if not any(_collide(stage, merged) for stage in stages):
            labels = merged
    return labels


def _merge(labels: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    merged = dict(labels)
    for one, other in pairs:
        old = merged.setdefault(other, len(merged) and max(merged.values()) + 1)
        new = merged.setdefault(one, old)
        if new != old:
            merged = {node: new if label == old else label for node, label in merged.items()}
    return merged


def _collide(stage: Stage, labels: Mapping[str, int]) -> bool:
    known = [labels[node] for node in stage.nodes if node in labels]
    return len(set(known)) < len(known)


def _by_trigger(stages: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    for before, after in pairwise(stages):
        for visit in after.visits:
            named = sources(visit, before.nodes)
            if len(named) == 1:
                yield visit.node, min(named)


def _by_call_id(trace: SpanTable, stages: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    for before, after in pairwise(stages):
        carried = {visit.node: _ids_of_calls(trace, visit) for visit in after.visits}
        if not any(carried.values()):
            continue
        wanted = {visit.node: _ids_of_answers(trace, visit) for visit in before.visits}
        for node, ids in carried.items():
            named = [origin for origin, said in wanted.items() if not ids.isdisjoint(said)]
            if len(named) == 1:
                yield node, named[0]


def _by_agent(trace: SpanTable, stages: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    nodes: dict[str, list[str]] = defaultdict(list)
    for visit in {visit.node: visit for stage in stages for visit in stage.visits}.values():
        names = {
            name
            for row in _below(trace, visit)
            # A node inside the node has a name of its own, which is no agent's of this graph.
            if (task := trace.graph_tasks[row]) is None or task.node == visit.node
            if (name := agent_name(trace.attributes(row))) is not None
        }
        # Where a span names no agent, the node counts as its name.
        names = names - {visit.node} or names
        if len(names) == 1:
            nodes[names.pop()].append(visit.node)
    for first, *others in nodes.values():
        for other in others:
            yield first, other


def _ids_of_calls(trace: SpanTable, visit: Visit) -> frozenset[str]:
    """The ids of the calls that the tools of a visit carry."""
    return frozenset(
        carried
        for row in _below(trace, visit)
        if trace.roles[row] is Role.TOOL
        if (carried := trace.read(call_id, row)) is not None
    )


def _ids_of_answers(trace: SpanTable, visit: Visit) -> frozenset[str]:
    """The ids of the calls that the LLM asked for in a visit."""
    return frozenset(
        call
        for row in _below(trace, visit)
        if trace.roles[row] is Role.LLM
        for call in trace.read(tool_requests, row).ids
    )


def _below(trace: SpanTable, visit: Visit) -> Iterator[int]:
    for row in visit.rows:
        yield from trace.subtree(row)
