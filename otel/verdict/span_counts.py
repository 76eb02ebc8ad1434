"""Are all the spans here that the processes of a run declare to have started?

Each process counts its own spans: a run those below it, and a process that was called those below
the span with which it answers. A process that says nothing counts as part of the one that called
it, or as a stranger: a count holds in either case.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.clocks import is_elsewhere
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.vocabularies import witness


class SpanCounts(msgspec.Struct, frozen=True):
    """What the declared counts of a run say.

    `missing` has a sentence for each that does not hold. `declared` is their sum, and `are_all`
    says that every span here is one that was declared.
    """

    missing: tuple[str, ...]
    declared: int
    are_all: bool


@once_per_trace
def count_spans(trace: SpanTable, run: int) -> SpanCounts:
    """Compare the counts that are declared at or below a run with the spans that are here."""
    declared = trace.column_of(witness.declared_spans)
    starts = [
        row
        for row in sorted(trace.rows_with(witness.declared_spans.keys))
        if declared[row] is not None and (row == run or run in trace.ancestors(row))
    ]
    below: dict[int, list[int]] = {row: [] for row in starts}
    for row in starts:
        for above in trace.ancestors(row):
            if above in below:
                below[above].append(row)
    missing, are_all, total = list[str](), run in starts, 0
    for start in starts:
        number = declared[start]
        who = "the run" if start == run else f"the process of {trace.names[start]!r}"
        if not isinstance(number, int):
            missing.append(f"{_capital(who)} declares {number!r} spans, which is no number.")
            continue
        if start == run or _begins_a_part(trace, start):
            total += number
        parts = [row for row in below[start] if _begins_a_part(trace, row)]
        count = _count(trace, start, parts)
        if number == count or number == _nested_count(trace, start, parts):
            continue
        are_all = False
        if number != _own_count(trace, start, parts):
            missing.append(_difference(who, number, count))
    return SpanCounts(tuple(missing), total, are_all and not missing)


def _nested_count(trace: SpanTable, start: int, parts: Sequence[int]) -> int:
    """The count if equal resources are one process, which declares a part of its spans twice."""
    return _count(trace, start, [row for row in parts if is_elsewhere(trace, row)])


def _own_count(trace: SpanTable, start: int, parts: Sequence[int]) -> int:
    """The count without processes that are strangers: they declare nothing."""
    strangers = [row for row in trace.tree_rows(start)[1:] if is_elsewhere(trace, row)]
    return _count(trace, start, [*strangers, *parts])


def _begins_a_part(trace: SpanTable, start: int) -> bool:
    """Whether a span that declares a count may begin the part of another process."""
    return is_elsewhere(trace, start) is not False


def _count(trace: SpanTable, start: int, others: Iterable[int]) -> int:
    """How many spans at or below one started before its end, without those at or below others."""
    rows, intervals = trace.below(start), trace.intervals
    if below := {each for row in others for each in trace.subtree(row)}:
        rows = [row for row in rows if row not in below]
    return bisect_right(rows, intervals[start][1], key=lambda row: intervals[row][0])


def _difference(who: str, number: int, count: int) -> str:
    if count < number:
        return f"{number - count} of the {number} spans that {who} started are missing."
    return f"{_capital(who)} declares {number} spans, and {count} are here."


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
