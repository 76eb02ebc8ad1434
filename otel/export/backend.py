"""A backend that spans are sent to, from the end of a span to its delivery.

A backend that is down costs a run nothing and loses nothing: `otlp` notices it at once, on the
queue's thread, and the spans that it did not take go to the spool.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export.otlp import Exporter
from trading_graph.otel.export.span_queue import BATCH, SpanQueue
from trading_graph.otel.export.span_redaction import SpanRedactor
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

_EXIT_SHARE = 0.75
"""The backend's share of the time to exit; the rest is for writing to the spool."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many spans a backend took, how many went to the spool, and how many were lost.

    `answered` is false where nobody has answered at the endpoint.
    """

    backend: str
    endpoint: str
    delivered: int
    spooled: int
    lost: int
    answered: bool


class Backend:
    """Everything between the end of a span and one backend: redaction, queue, exporter, spool."""

    def __init__(
        self,
        exporter: Exporter,
        redactor: Redactor,
        spool: Spool | None,
        *,
        size: int,
        delay_s: float,
        batch: int = BATCH,
    ) -> None:
        self._exporter = exporter
        self._redactor = redactor
        self._span_redactor = SpanRedactor(redactor)
        self._spool = spool
        self._delivered = self._spooled = self._lost = 0
        self._closed = self._warned = False
        self.queue = SpanQueue(
            exporter.backend, self._send, size=size, delay_s=delay_s, batch=batch
        )

    @property
    def delivery(self) -> Delivery:
        """What became of the spans so far."""
        lost = self._lost + self.queue.dropped
        exporter = self._exporter
        return Delivery(
            backend=exporter.backend,
            endpoint=self._redactor.text(exporter.endpoint),
            delivered=self._delivered,
            spooled=self._spooled,
            lost=lost,
            answered=exporter.answered,
        )

    def close(self, timeout_s: float) -> bool:
        """Send the queue, spool what is not sent in time, and stop; false if it was late."""
        rest = self.queue.close(timeout_s * _EXIT_SHARE)
        self._closed = True
        if rest:
            # The queue's thread may still use the other redactor.
            self._put_in_spool(SpanRedactor(self._redactor).redact(rest))
        self._exporter.close()
        return not rest

    def _send(self, spans: Sequence[ReadableSpan]) -> None:
        spans = self._span_redactor.redact(spans)
        success = self._exporter.send(spans)
        if self._closed:
            return  # too late: they are in the spool by now, and counted
        if success:
            self._delivered += len(spans)
        else:
            self._put_in_spool(spans)

    def _put_in_spool(self, spans: Sequence[ReadableSpan]) -> None:
        where = f"{self._exporter.backend} at {self._exporter.endpoint}"
        try:
            if self._spool is None:
                self._lost += len(spans)
                return self._warn(f"{where} does not take spans, and there is no spool.")
            self._spool.put(spans)
            self._spooled += len(spans)
            self._warn(f"{where} does not take spans; they wait in {self._spool.folder}.")
        except OSError as error:
            self._lost += len(spans)
            self._warn(
                f"{where} does not take spans, and they cannot be kept in "
                f"{self._spool.folder if self._spool else '-'}: {error.strerror or error}."
            )

    def _warn(self, sentence: str) -> None:
        """Log the first warning only."""
        if not self._warned:
            self._warned = True
            _LOG.warning(self._redactor.text(sentence))
