"""A part of a trace, or several traces as one: what is judged where no one root is above all.

Nothing recorded says that trees which are put below one span belonged together, so nothing is ever
proven across them: `SpanTable.joints` are their tops.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from msgspec import structs

from trading_graph.otel.errors import TraceError
from trading_graph.otel.trace.builder import TraceBuilder
from trading_graph.otel.trace.records import NO_RESOURCE, SpanValues, no_events
from trading_graph.otel.trace.table import Attributes, SpanTable
from trading_graph.otel.vocabularies import Role, session, witness

_GAP_SHARE = 0.1
"""The share of what ran so far after which another trace of a process is still the same run."""

_CALLERS = frozenset({Role.RUN, Role.DISPATCH, Role.AGENT, Role.CHAIN, Role.OTHER})

_SHOWN, _LONGEST = 3, 60
"""How many spans an error names, and with how many characters."""

_TOP = "joined"
"""The id of a span that is put above trees; ids are hexadecimal, so no span has it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of a trace is judged: below a span, by its id or its name, or all its trees as one."""

    root: str | None = None
    forest: bool = False

    def of(self, trace: SpanTable, origin: str) -> SpanTable:
        """That part of a trace; raises TraceError, which names `origin`."""
        if self.root is not None:
            return below(trace, _row(trace, self.root, origin))
        return forest(trace) if self.forest else trace


def rows_of(trace: SpanTable, word: str) -> list[int]:
    """The spans that a word names: the one with that id, else all of that name."""
    row = trace.row_of.get(word.lower().removeprefix("0x"), trace.row_of.get(word))
    return [row] if row is not None else [i for i, name in enumerate(trace.names) if name == word]


def _row(trace: SpanTable, word: str, origin: str) -> int:
    """The row of the one span that a word names; raises TraceError."""
    rows = rows_of(trace, word)
    if len(rows) == 1:
        return rows[0]
    if rows:
        ids = ", ".join(trace.span_ids[row] for row in rows[:_SHOWN])
        more = ", ..." if len(rows) > _SHOWN else ""
        raise TraceError(
            f"{len(rows)} spans in {origin} are called {word!r}; name one by its id ({ids}{more})."
        )
    tops = ", ".join(
        f"{trace.span_ids[row]} {trace.names[row][:_LONGEST]!r}"
        for row in [*trace.roots, *trace.orphans][:_SHOWN]
    )
    raise TraceError(
        f"No span in {origin} has the id or the name {word!r}; those without a parent are: {tops}."
    )


def below(trace: SpanTable, row: int) -> SpanTable:
    """The part of a trace that is at or below a span, which is its root."""
    builder, top = TraceBuilder(trace.trace_id), trace.span_ids[row]
    for each in trace.tree_rows(row):
        builder.add(_record(trace, each, {top: ""}))
    part = builder.build()
    note = (
        f"Judged below {trace.names[row]!r} alone: {len(part)} of {len(trace)} spans. What called "
        "it may have waited for longer."
    )
    return replace(part, flaws=trace.flaws, notes=(*trace.notes, note), joints=trace.joints)


def forest(trace: SpanTable) -> SpanTable:
    """A trace with several roots, or with spans whose parents are not here, below one span."""
    tops = sorted([*trace.roots, *trace.orphans])
    if len(tops) < 2:
        return trace
    note = (
        f"{len(tops)} trees are judged as one run, because that was asked for: nothing is proven "
        "across them."
    )
    return _under_one(trace.trace_id, [trace], "forest", note)


def join(traces: Sequence[SpanTable]) -> SpanTable:
    """Several traces of one run as one, with the id of the first.

    They hang below the root that encloses all of them in time, if there is one that is no call, and
    else below a span that is put above them.
    """
    if len(traces) == 1:
        return traces[0]
    note = (
        f"{len(traces)} traces are judged as one run, because that was asked for: nothing is "
        "proven across them."
    )
    return _under_one(traces[0].trace_id, traces, "joined traces", note)


def _with_own_ids(traces: Sequence[SpanTable]) -> list[SpanTable]:
    """The traces with span ids that differ: some formats count them within a trace."""
    seen, found = set[str](), list[SpanTable]()
    for trace in traces:
        if not seen.isdisjoint(trace.span_ids):
            builder = TraceBuilder(trace.trace_id)
            ids = {id: f"{trace.trace_id}-{id}" for id in trace.span_ids}
            for row in range(len(trace)):
                span = _record(trace, row, {})
                parent = ids.get(span.parent_id, span.parent_id)
                builder.add(structs.replace(span, span_id=ids[span.span_id], parent_id=parent))
            trace = replace(builder.build(), notes=trace.notes, flaws=trace.flaws)
        seen.update(trace.span_ids)
        found.append(trace)
    return found


def _under_one(trace_id: str, traces: Sequence[SpanTable], name: str, note: str) -> SpanTable:
    traces = _with_own_ids(traces)
    tops = [(each, row) for each in traces for row in (*each.roots, *each.orphans)]
    start = min(each.intervals[row][0] for each, row in tops)
    end = max(max(stop for _, stop in each.intervals) for each in traces)
    own = next(
        (
            each.span_ids[row]
            for each, row in tops
            if each.intervals[row] == (start, end) and _may_call(each, row)
        ),
        None,
    )
    above = own or _TOP
    parents = {each.span_ids[row]: above for each, row in tops if each.span_ids[row] != own}
    if own:
        parents[own] = ""
    builder = TraceBuilder(trace_id)
    if not own:
        resources = [each.resources[row] for each, row in tops]
        one = all(resource == resources[0] for resource in resources)
        builder.add(
            SpanValues(
                span_id=_TOP,
                parent_id="",
                name=name,
                kind=1,
                start_ns=start,
                end_ns=end,
                status=0,
                attributes=dict,
                events=no_events,
                resource=resources[0] if one else NO_RESOURCE,
            )
        )
    for each in traces:
        for row in range(len(each)):
            builder.add(_record(each, row, parents))
        for flaw in each.flaws:
            builder.flaw(flaw)
    notes = [sentence for each in traces for sentence in each.notes]
    joints = frozenset(parents) - {own}
    return replace(builder.build(), notes=(*notes, note), joints=joints)


def _may_call(trace: SpanTable, row: int) -> bool:
    """Whether a span can have called all others: it is a root, and no call itself."""
    return row in trace.roots and trace.roles[row] in _CALLERS


def _record(trace: SpanTable, row: int, parents: Mapping[str, str]) -> SpanValues:
    """A span as it is, but for its parent, where `parents` names another."""
    span_id = trace.span_ids[row]
    attributes = partial(_without_count if span_id in parents else _attributes, trace, row)
    return SpanValues(
        span_id=span_id,
        parent_id=parents.get(span_id, trace.parent_id(row)),
        name=trace.names[row],
        kind=int(trace.kind[row]),
        start_ns=trace.intervals[row][0],
        end_ns=trace.intervals[row][1],
        status=int(trace.status[row]),
        attributes=attributes,
        events=no_events if row in trace.eventless else partial(trace.events, row),
        links=partial(trace.links, row),
        resource=trace.resources[row],
        follows=span_id not in parents and row in trace.followers,
    )


def _attributes(trace: SpanTable, row: int) -> Attributes:
    return trace.attributes(row)


def _without_count(trace: SpanTable, row: int) -> Attributes:
    """The attributes without the number of spans, which holds for the whole trace alone."""
    attributes = trace.attributes(row)
    return {key: each for key, each in attributes.items() if key != witness.SPANS_STARTED}


def runs(traces: Sequence[SpanTable]) -> list[list[SpanTable]]:
    """The traces in groups that may be one run each, by the start of the first.

    Traces with one session, thread or conversation are a run. Of the others, those of one process
    are that overlap, or begin soon after the one before.
    """
    by_session: dict[str, list[SpanTable]] = {}
    others = list[SpanTable]()
    for trace in sorted((each for each in traces if len(each)), key=_start):
        name = next(iter(_sessions(trace)), None)
        if name:
            by_session.setdefault(name, []).append(trace)
        else:
            others.append(trace)
    groups = [*by_session.values(), *_close(others)]
    return sorted(groups, key=lambda group: _start(group[0]))


def _close(traces: Sequence[SpanTable]) -> list[list[SpanTable]]:
    """Traces of one process in groups that are close in time; `traces` are in order of start."""
    groups = list[list[SpanTable]]()
    for trace in traces:
        for group in groups:
            start, end = _start(group[0]), max(map(_end, group))
            room = _GAP_SHARE * max(end - start, _end(trace) - _start(trace))
            if _process(group[0]) == _process(trace) and _start(trace) <= end + room:
                group.append(trace)
                break
        else:
            groups.append([trace])
    return groups


def _process(trace: SpanTable) -> Attributes:
    return trace.resources[0]


def _sessions(trace: SpanTable) -> Iterator[str]:
    for row in range(len(trace)):
        if name := session(trace.attributes(row)):
            yield name


def _start(trace: SpanTable) -> int:
    return trace.intervals[0][0]


def _end(trace: SpanTable) -> int:
    return max(end for _, end in trace.intervals)
