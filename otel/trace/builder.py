"""Builds a trace from spans that come in any order, some of them twice."""

from operator import attrgetter

import numpy as np

from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.records import SpanRecord
from trading_graph.otel.trace.table import ORPHAN, ROOT, SpanTable


class TraceBuilder:
    """Collects the spans of one trace in any order; a span that comes twice counts once."""

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self._places: dict[str, int] = {}
        self._records: list[SpanRecord] = []
        self._flaws: dict[str, None] = {}
        self._repeated = 0

    def add(self, record: SpanRecord) -> None:
        """Add a span; of two versions of one span, the one with an end counts.

        The file of a killed process may lack the end of a span that a backend has: the recorded end
        then counts, not the one that was made up for the file. A run that failed and was resumed
        has ended several times, and its last end counts.
        """
        records = self._records
        place = self._places.setdefault(record.span_id, len(records))
        if place == len(records):
            records.append(record)
            return
        self._repeated += 1
        earlier = records[place]
        if not earlier.end_ns:
            records[place] = record
        elif record.end_ns and _identity(earlier) != _identity(record):
            if _killed(earlier) != _killed(record):
                records[place] = record if _killed(earlier) else earlier
                return
            if _resumed(earlier) or _resumed(record):
                if record.end_ns > earlier.end_ns:
                    records[place] = record
                return
            self.flaw(f"Two different spans have the id {record.span_id}.")

    def flaw(self, sentence: str) -> None:
        """Note that part of the trace could not be read; `sentence` says which."""
        self._flaws[sentence] = None

    def build(self) -> SpanTable:
        """Build the table of all spans that were added."""
        ids, records = list(self._places), self._records
        start = np.fromiter(map(attrgetter("start_ns"), records), np.int64, len(records))
        end = np.fromiter(map(attrgetter("end_ns"), records), np.int64, len(records))
        order = np.lexsort((-end, start))
        starts, ends = start[order], end[order]
        if ((starts[1:] == starts[:-1]) & (ends[1:] == ends[:-1])).any():
            # Ids decide between equal times, so that the order of spans in a file does not matter.
            order = np.lexsort((np.array(ids, np.str_), -end, start))

        # Rows of the parents, first in the order of reading and then sorted. To look the parents up
        # in the order of start instead would jump about in memory.
        places = self._places
        above = np.array(
            [
                places.get(parent, ORPHAN) if (parent := each.parent_id) else ROOT
                for each in records
            ],
            np.int32,
        )[order]
        row_of = np.empty(len(ids) + 2, np.int32)
        row_of[order] = np.arange(len(ids))
        row_of[ROOT], row_of[ORPHAN] = ROOT, ORPHAN
        rows: list[int] = order.tolist()
        records = [records[row] for row in rows]
        return SpanTable(
            trace_id=self.trace_id,
            span_ids=tuple([ids[row] for row in rows]),
            names=tuple([record.name for record in records]),
            start=starts,
            end=ends,
            parent=row_of[above],
            flaws=tuple(self._flaws),
            repeated=self._repeated,
            _records=tuple(records),
        )


def _identity(record: SpanRecord) -> tuple[str, str, int, int]:
    return record.parent_id or "", record.name, record.start_ns, record.end_ns


def _resumed(record: SpanRecord) -> bool:
    return bool(record.attributes().get(semconv.RESUMED))


def _killed(record: SpanRecord) -> bool:
    return record.attributes().get(semconv.ERROR_TYPE) == semconv.KILLED
