"""Time in which spans were suspended for no reason that their process knows.

What waits there may be a limit that lets one after the other in, so it denies a proof.
"""

from collections.abc import Iterable

import msgspec

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.verdict.work import is_from_cache
from trading_graph.otel.vocabularies import witness

LEAST_MS = 20.0
LEAST_SHARE = 0.05
"""Time is missing in a span from both of these on: less is imprecision."""

_ALIKE = 0.9
"""A span explains the missing time of those above it if it has at least this share of it."""


class Unaccounted(msgspec.Struct, frozen=True):
    """A span, and how much of its time is not accounted for."""

    row: int
    time_ms: float
    share: float


def unaccounted(trace: SpanTable, rows: Iterable[int]) -> Unaccounted | None:
    """The span at or below these of which most time is missing; None where little is missing.

    Of spans of one task, which miss the same time, it is the deepest. Only what is below a member
    whose process accounts for its time counts. A span that takes what another fetches waits for it.
    """
    missing = _missing(trace)
    above = _at_or_above(trace)
    if above.isdisjoint(rows := list(rows)):
        return None
    found = [
        missing[each]
        for row in rows
        if row in above and accounts_for_time(trace, row)
        for each in _followed(trace, row, above)
        if each in missing
    ]
    if not found:
        return None
    most = max(each.time_ms for each in found)
    alike = [each for each in found if each.time_ms >= _ALIKE * most]
    return max(alike, key=lambda each: (trace.depth(each.row), each.time_ms))


def _followed(trace: SpanTable, row: int, above: set[int]) -> Iterable[int]:
    """The spans at or below one that miss time, or have such spans below them."""
    pending = [row]
    while pending:
        current = pending.pop()
        if current not in above or is_from_cache(trace, current):
            continue
        yield current
        pending += trace.child_rows[current]


@once_per_trace
def _missing(trace: SpanTable) -> dict[int, Unaccounted]:
    """The spans of which so much time is missing that it matters."""
    if witness.UNACCOUNTED_MS not in trace.keys:
        return {}
    found = {}
    for row, time_ms in trace.numbers_of(witness.unaccounted_ms):
        length_ms = trace.lengths[row] / 1e6
        if time_ms > LEAST_MS and time_ms > LEAST_SHARE * length_ms:
            share = min(time_ms / length_ms, 1.0) if length_ms > 0 else 1.0
            found[row] = Unaccounted(row, time_ms, share)
    return found


@once_per_trace
def _at_or_above(trace: SpanTable) -> set[int]:
    rows: set[int] = set()
    parents = trace.parents
    for row in _missing(trace):
        while row >= 0 and row not in rows:
            rows.add(row)
            row = parents[row]
    return rows


def accounts_for_time(trace: SpanTable, row: int) -> bool:
    """Whether the process of a span declares, on it or above it, that it accounts for its time."""
    while row >= 0:
        if trace.read(witness.accounts_for_time, row):
            return True
        row = trace.parents[row]
    return False
