"""Traces drawn span by span, each with its own attributes."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from trading_graph.otel.trace import Event, SpanTable, SpanValues, TraceBuilder

BEGIN = 1_763_100_000 * 10**9
MS = 1_000_000
ERROR = 2
CLIENT = 3

Drawn = tuple[str, str, int, int, Mapping[str, Any]]
"""Id, the parent's id, start and end in milliseconds, and attributes."""


def drawn(
    *spans: Drawn,
    failed: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    events: Mapping[str, Sequence[Event]] | None = None,
) -> SpanTable:
    """A trace of these spans; each is named by its id, unless `names` says otherwise."""
    builder = TraceBuilder("d" * 32)
    for span_id, parent, start, end, attributes in spans:
        builder.add(
            SpanValues(
                span_id=span_id,
                parent_id=parent,
                name=(names or {}).get(span_id, span_id),
                kind=CLIENT,
                start_ns=BEGIN + start * MS,
                end_ns=BEGIN + end * MS,
                status=ERROR if span_id in failed else 0,
                attributes=partial(dict, attributes),
                events=partial(list, (events or {}).get(span_id, ())),
            )
        )
    return builder.build()
