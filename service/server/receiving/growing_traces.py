"""The received traces that have no verdict yet: what the pages show of them while they grow.

Their changes are told twice a second, and only of traces that were not judged in between: a program
may send thousands of spans a second.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.document import Document
from trading_graph.otel.sources import parse
from trading_graph.otel.trace import SpanTable
from trading_graph.service.server.feed_api import TraceNews
from trading_graph.service.server.receiving.growing import GrowingTrace
from trading_graph.service.server.receiving.ledger import Ledger
from trading_graph.service.store import StoredVerdict

TOPIC = "trace"
_MOST_BYTES = 4 * 2**20
"""The largest trace that is read in the service's process, for a page that shows it growing."""
_EVERY_S = 0.5
_MOST_TOLD = 50
"""How many growing traces are told of at a time; the others follow when these are judged."""

Publish = Callable[[str, object], None]
"""Tells those who follow the service, by topic."""


def publish_nowhere(topic: str, data: object) -> None:
    """Tell nobody."""


class GrowingTraceDocument(Document, frozen=True, kw_only=True):
    """A trace of which spans have come and that is not judged yet; the name is its root's."""

    trace_id: str
    service: str
    name: str
    spans: int
    started: datetime | None


class GrowingTraces:
    """The received traces that are not judged."""

    def __init__(
        self, ledger: Ledger, find: Callable[[str], Awaitable[Path | None]], publish: Publish
    ) -> None:
        self._ledger = ledger
        self._find = find
        self._publish = publish
        self._changed: dict[str, None] = {}

    def documents(self) -> list[GrowingTraceDocument]:
        """The traces, the one that started last first."""
        traces = sorted(self._ledger.all_growing(), key=lambda each: each.started, reverse=True)
        return [
            GrowingTraceDocument(
                trace_id=each.trace_id,
                service=each.service or each.origin,
                name=each.name,
                spans=each.spans,
                started=_utc(each.started),
            )
            for each in traces
        ]

    async def trace(self, trace_id: str) -> SpanTable | None:
        """The spans that have come of a trace; None if there is none, or if it is too large."""
        growing = self._ledger.growing(trace_id)
        if growing is None or growing.size > _MOST_BYTES:
            return None
        path = await self._find(trace_id)
        return None if path is None else await asyncio.to_thread(_read, path)

    def note_change(self, trace: GrowingTrace) -> None:
        """Note that spans of a trace have come."""
        self._changed[trace.trace_id] = None

    def note_judged(self, trace: GrowingTrace, verdict: StoredVerdict | None) -> None:
        """Note that a trace was judged, and tell it if there is a verdict."""
        self._changed.pop(trace.trace_id, None)
        if verdict is None:
            return
        change = TraceNews(
            trace_id=verdict.trace_id,
            state="judged",
            service=verdict.service,
            name=verdict.name,
            passed=verdict.passed,
        )
        self._publish(TOPIC, change)

    async def tell_changes(self) -> None:
        """Tell of traces that grow, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            for trace_id in list(self._changed)[:_MOST_TOLD]:
                del self._changed[trace_id]
                if (trace := self._ledger.growing(trace_id)) is not None:
                    self._publish(TOPIC, _growing(trace))


def _growing(trace: GrowingTrace) -> TraceNews:
    return TraceNews(
        trace_id=trace.trace_id,
        state="growing",
        service=trace.service or trace.origin,
        name=trace.name,
        passed=None,
    )


def _read(path: Path) -> SpanTable | None:
    try:
        with path.open("rb") as file:
            traces = parse(file.read(_MOST_BYTES), "the received trace")
    except (OSError, TraceError):
        return None  # It was judged meanwhile and has moved, or cannot be judged at all.
    return traces[0] if len(traces) == 1 else None


def _utc(seconds: float) -> datetime | None:
    return None if math.isinf(seconds) else datetime.fromtimestamp(seconds, UTC)
