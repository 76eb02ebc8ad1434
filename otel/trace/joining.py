"""Traces that belong together as one: what a link caused hangs below the span that it links to.

A program that starts a trace for each job or message leaves several, with links between them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from trading_graph.otel.trace.builder import TraceBuilder
from trading_graph.otel.trace.records import SpanValues
from trading_graph.otel.trace.table import Attributes, SpanTable
from trading_graph.otel.vocabularies import witness


def linked_groups(traces: Sequence[SpanTable]) -> list[list[SpanTable]]:
    """The traces in groups that links connect; groups, and the traces of each, by their start."""
    group_of = {each.trace_id: [each] for each in traces}
    for trace_id, _, other_id, _ in _links(traces):
        group, other = group_of[trace_id], group_of[other_id]
        if group is not other:
            group += other
            group_of |= {each.trace_id: group for each in other}
    groups = {id(group): sorted(group, key=_start) for group in group_of.values()}
    return sorted(groups.values(), key=lambda group: _start(group[0]))


def join(traces: Sequence[SpanTable]) -> SpanTable:
    """The traces of a group as one, with the id and the root of the first.

    The root of another hangs below the span that a link joins it to, if that had started before,
    and else below the first root. What is above only caused it, and did not wait for it.
    """
    first = traces[0]
    if len(traces) == 1:
        return first
    builder = TraceBuilder(first.trace_id)
    top = first.span_ids[next(iter(first.roots), 0)]
    parents = _parents(traces, top)
    for each in traces:
        for row, span_id in enumerate(each.span_ids):
            builder.add(
                SpanValues(
                    span_id=span_id,
                    parent_id=parents.get(span_id) or each.parent_id(row),
                    name=each.names[row],
                    kind=int(each.kind[row]),
                    start_ns=each.intervals[row][0],
                    end_ns=each.intervals[row][1],
                    status=int(each.status[row]),
                    attributes=partial(_without_count, each, row),
                    events=partial(each.events, row),
                    links=partial(each.links, row),
                    resource=each.resources[row],
                    follows=span_id in parents or row in each.followers,
                )
            )
        for flaw in (*each.flaws, *_count_flaws(each)):
            builder.flaw(flaw)
    return builder.build()


def _without_count(trace: SpanTable, row: int) -> Attributes:
    """The attributes of a span; a root without its count, which holds for its own trace alone."""
    attributes = trace.attributes(row)
    if row not in trace.roots or witness.SPANS_STARTED not in attributes:
        return attributes
    return {key: value for key, value in attributes.items() if key != witness.SPANS_STARTED}


def _count_flaws(trace: SpanTable) -> Iterator[str]:
    """A sentence for each root that declares another number of spans than are here."""
    for root in trace.roots:
        declared = witness.spans_started(trace.attributes(root))
        end = trace.intervals[root][1]
        count = sum(trace.intervals[row][0] <= end for row in trace.tree_rows(root))
        if declared not in (None, count):
            yield f"{trace.names[root]!r} declares {declared} spans, and {count} are here."


def _parents(traces: Sequence[SpanTable], top: str) -> Mapping[str, str]:
    """The span above each root but the first, by the id of the root."""
    partners: dict[str, list[str]] = defaultdict(list)
    for _, span_id, _, other_id in _links(traces):
        partners[span_id].append(other_id)
        partners[other_id].append(span_id)
    start = {
        span_id: each.intervals[row][0]
        for each in traces
        for row, span_id in enumerate(each.span_ids)
    }
    roots = [each.span_ids[row] for each in traces for row in each.roots]
    return {
        root: next((each for each in partners[root] if start[each] < start[root]), top)
        for root in roots
        if root != top
    }


def _links(traces: Sequence[SpanTable]) -> Iterator[tuple[str, str, str, str]]:
    """The links between recorded spans of two traces: trace and span, of either end."""
    by_id = {each.trace_id: each for each in traces}
    for trace in traces:
        for row in sorted(trace.linked):
            for link in trace.links(row):
                other = by_id.get(link.trace_id)
                if other is not None and other is not trace and link.span_id in other.row_of:
                    yield trace.trace_id, trace.span_ids[row], link.trace_id, link.span_id


def _start(trace: SpanTable) -> int:
    return trace.intervals[0][0] if len(trace) else 0
