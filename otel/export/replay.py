"""Sending spans again that a backend did not take, each of them once.

Jaeger keeps a span twice that it is sent twice, and a slow one takes a batch that was given up on.
So it is asked for the span ids that it has, and is sent the rest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import TraceError
from trading_graph.otel.export.backend import Exporter
from trading_graph.otel.export.span_queue import BATCH
from trading_graph.otel.export.spool import Spool

KnownSpans = Callable[[str], Iterable[str]]
"""The ids of the spans that a backend has of a trace, both in lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one batch, in spans: sent now, there already, or not taken again."""

    sent: int = 0
    there: int = 0
    refused: int = 0
    unreadable: str | None = None
    """Why the batch cannot be read, where it cannot."""


class Replay:
    """Sends to one backend what it does not have."""

    def __init__(self, exporter: Exporter, known: KnownSpans) -> None:
        self._exporter = exporter
        self._ask = known
        self._known: dict[str, set[str]] = {}

    @property
    def endpoint(self) -> str:
        """Where spans are sent to."""
        return self._exporter.endpoint

    def spool(self, spool: Spool) -> Iterator[Replayed]:
        """Send the batches of a spool, the oldest first, and delete what has arrived.

        Ends at the first that is refused. Raises OSError, and TraceError where the backend cannot
        be asked.
        """
        for batch in spool.batches():
            try:
                spans = batch.read()
            except TraceError as error:
                yield Replayed(refused=batch.spans, unreadable=str(error))
                continue
            done = self._send(spans)
            if done.refused:
                yield done
                return
            batch.remove()
            yield done

    def spans(self, spans: Sequence[ReadableSpan]) -> Iterator[Replayed]:
        """Send spans, such as those of a trace file; ends at the first batch that is refused."""
        for begin in range(0, len(spans), BATCH):
            done = self._send(spans[begin : begin + BATCH])
            yield done
            if done.refused:
                return

    def _send(self, spans: Sequence[ReadableSpan]) -> Replayed:
        missing: list[ReadableSpan] = []
        sending: dict[str, set[str]] = defaultdict(set)
        for span in spans:
            context = span.get_span_context()
            assert context is not None  # what was stored has one
            trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            if trace_id not in self._known:
                self._known[trace_id] = set(self._ask(trace_id))
            if span_id not in self._known[trace_id] | sending[trace_id]:
                missing.append(span)
                sending[trace_id].add(span_id)
        there = len(spans) - len(missing)
        if missing and not self._exporter.send(missing):
            return Replayed(there=there, refused=len(missing))
        for trace_id, span_ids in sending.items():
            self._known[trace_id] |= span_ids
        return Replayed(sent=len(missing), there=there)
