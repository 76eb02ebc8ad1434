"""The limits that a run declares, and what its spans were granted of them."""

from collections.abc import Mapping, Sequence

import msgspec

from trading_graph.otel.trace.intervals import Interval
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.records import Event
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import limits as names
from trading_graph.otel.vocabularies.limits import DeclaredLimit, declared_limits, grant_note


class Grant(msgspec.Struct, frozen=True):
    """Something that a span was granted of one or more limits; times in nanoseconds.

    It was asked for at `asked_ns`, which may be before the span began, and used until `end_ns`,
    when `more` was booked. `waited_for` is the limit that made it wait; empty where none did. A
    grant that is used until the end of its span is `whole`.
    """

    row: int
    amounts: Mapping[str, float]
    more: Mapping[str, float]
    asked_ns: int
    given_ns: int
    end_ns: int
    waited_for: str
    whole: bool

    @property
    def wait_ns(self) -> int:
        """How long was waited for it."""
        return self.given_ns - self.asked_ns


@once_per_trace
def limits_of(trace: SpanTable, run: int) -> Mapping[str, DeclaredLimit]:
    """The limits that are declared at, above or below a run, by name; the highest span counts."""
    if declared_limits.keys.isdisjoint(trace.keys):
        return {}
    declared = trace.column_of(declared_limits)
    rows = [*reversed(trace.ancestors(run)), *trace.tree_rows(run)]
    found: dict[str, DeclaredLimit] = {}
    for row in rows:
        for each in declared[row]:
            found.setdefault(each.name, each)
    return found


@once_per_trace
def grants_of(trace: SpanTable, run: int) -> Sequence[Grant]:
    """What the spans of a run were granted of limits, in order of asking.

    Without a declared limit nothing is looked for. An event that a span above repeats counts once,
    for the deepest.
    """
    if not limits_of(trace, run):
        return ()
    eventful, found = trace.eventful, dict[tuple[object, ...], Grant]()
    for row in trace.tree_rows(run):  # parents before children
        for event in trace.events(row) if row in eventful else ():
            if event.name == names.GRANT and (grant := _grant(trace, row, event)):
                key = (grant.given_ns, grant.end_ns, tuple(grant.amounts.items()))
                own = key if not grant.whole else (*key, row)
                found[own] = grant
    return sorted(found.values(), key=lambda each: (each.asked_ns, each.given_ns, each.row))


@once_per_trace
def granted_or_declaring(trace: SpanTable, run: int) -> frozenset[int]:
    """The spans that declare limits, and those that waited for a declared one."""
    limits = limits_of(trace, run)
    if not limits:
        return frozenset()
    declaring = [row for row in trace.tree_rows(run) if trace.read(declared_limits, row)]
    waited = [each.row for each in grants_of(trace, run) if each.waited_for in limits]
    return frozenset(declaring).union(waited)


def _grant(trace: SpanTable, row: int, event: Event) -> Grant | None:
    note = grant_note(event.attributes)
    if note is None or event.time_ns <= 0:
        return None
    given, end = event.time_ns, trace.intervals[row][1]
    if note.held_ms is not None:
        end = given + round(note.held_ms * 1e6)
    wait_ns = round(note.wait_ms * 1e6)
    return Grant(
        row,
        note.amounts,
        note.more,
        given - wait_ns,
        given,
        max(end, given),
        note.waited_for if wait_ns else "",
        note.held_ms is None,
    )


def uses(limit: DeclaredLimit, grants: Sequence[Grant]) -> list[tuple[Interval, float]]:
    """When how much of a limit was in use: while it was held, or for the window of a rate."""
    window_ns = int(limit.window_s * 1e9)
    found: list[tuple[Interval, float]] = []
    for each in grants:
        amount = each.amounts.get(limit.name)
        if amount is None:
            continue
        end = each.given_ns + window_ns if limit.is_rate else each.end_ns
        found.append(((each.given_ns, end), amount))
        if limit.is_rate and (more := each.more.get(limit.name)):
            found.append(((each.end_ns, each.end_ns + window_ns), more))
    return found
