"""A bounded queue of ended spans, and the thread that sends them in batches.

The SDK's batch processor loses spans without counting them, waits for its exporter however long
that takes, and cannot say what it has not sent (opentelemetry-python issues 4568 and 4555). This
one counts what overflows, stops within a time limit, and returns what remains.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Lock, Thread
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

_LOG = logging.getLogger(__name__)

BATCH = 512


class SpanQueue(SpanProcessor):
    """Passes every sampled span to `send`, at most `delay_s` seconds after it has ended.

    `size` bounds the queue: beyond it the oldest span is dropped and counted; None means no bound.
    `send` runs on the queue's own thread and handles its own faults. So does `beat`, which is
    called at least every `delay_s` seconds.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Sequence[ReadableSpan]], None],
        *,
        delay_s: float,
        batch: int = BATCH,
        size: int | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self._send = send
        self._beat = beat
        self._delay_s = delay_s
        self._batch = batch
        self._size = size
        self._waiting: deque[ReadableSpan] = deque()
        self._in_flight: Sequence[ReadableSpan] = ()
        self._dropped = 0
        self._flush_requests = self._flushes = 0
        self._closing = False
        self._refusing = False
        # Where no thread is woken, the lock is used alone: it takes half the time of a condition.
        self._lock = Lock()
        self._change = Condition(self._lock)
        self._thread = Thread(target=self._run, name=f"spans to {name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many spans were dropped because the queue was full or closed."""
        return self._dropped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: only ended spans are sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        context = span.get_span_context()
        if self._refusing or context is None or not context.trace_flags.sampled:
            return
        with self._lock:
            if self._closing or len(self._waiting) == self._size:
                self._dropped += 1
                if self._closing:
                    return
                self._waiting.popleft()
            self._waiting.append(span)
            if len(self._waiting) == self._batch:
                self._change.notify_all()

    def refuse(self) -> None:
        """Ignore all further spans and do not count them as lost; the queue is still sent."""
        self._refusing = True

    def flush(self, timeout_s: float) -> bool:
        """Send the queue; false when that takes longer than the timeout. Blocks."""
        with self._change:
            self._flush_requests = request = self._flush_requests + 1
            self._change.notify_all()
            return self._change.wait_for(lambda: self._flushes >= request, timeout_s)

    def close(self, timeout_s: float | None = None) -> Sequence[ReadableSpan]:
        """Send the queue and stop; returns the spans that were not sent in time. Blocks.

        They include the batch in flight, which may have arrived, or may still arrive.
        """
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join(timeout_s)
        with self._change:
            remaining = (*self._in_flight, *self._waiting)
            self._waiting.clear()
            self._in_flight = ()
        return remaining

    def shutdown(self) -> None:
        """Close the queue; the provider calls this."""
        self.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the queue; the provider calls this."""
        return self.flush(timeout_millis / 1000)

    def _run(self) -> None:
        while not self._closing or self._waiting:
            requests = self._wait()
            if self._beat is not None:
                self._beat()
            while batch := self._take():
                with suppress_instrumentation():
                    try:
                        self._send(batch)
                    except Exception as error:  # telemetry never breaks a run
                        _LOG.error("Spans could not be handed on: %r", error)
                with self._change:
                    self._in_flight = ()
            with self._change:
                self._flushes = requests
                self._change.notify_all()

    def _wait(self) -> int:
        """Wait for work; returns the number of flush requests so far."""
        until = monotonic() + self._delay_s
        with self._change:
            while (
                not self._closing
                and self._flushes == self._flush_requests
                and len(self._waiting) < self._batch
                and (remaining := until - monotonic()) > 0
            ):
                self._change.wait(remaining)
            return self._flush_requests

    def _take(self) -> Sequence[ReadableSpan]:
        with self._change:
            count = min(self._batch, len(self._waiting))
            self._in_flight = tuple(self._waiting.popleft() for _ in range(count))
            return self._in_flight
