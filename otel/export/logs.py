"""Sends log records over OTLP, only if `OTEL_LOGS_EXPORTER=otlp`.

The SDK's own `LoggingHandler` is deprecated. Neither it nor its successor lets a log line name its
span, or redacts secrets.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext

from trading_graph.otel.export import otlp
from trading_graph.otel.export.otlp import Endpoint, Signal, finish_within
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import error_type


@dataclass(frozen=True, slots=True)
class Logs:
    """The process's logger provider; without one, no log record is sent."""

    provider: LoggerProvider | None
    redactor: Redactor

    @contextmanager
    def attach(self) -> Iterator[None]:
        """Send what is logged while the block runs, without secrets."""
        if self.provider is None:
            yield
            return
        root, handler = logging.getLogger(), _Handler(self.provider, self.redactor)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def flush(self, timeout_s: float) -> bool:
        """Send the queue; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or finish_within(timeout_s, self.provider.force_flush)

    def close(self, timeout_s: float) -> bool:
        """Flush and stop; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or finish_within(timeout_s, self.provider.shutdown)


def logs_over_otlp(resource: Resource, redactor: Redactor) -> Logs:
    """Set up logs as the standard variables describe them; raises ExporterSettingsError."""
    if not otlp.is_enabled(Signal.LOGS, default=False):
        return Logs(None, redactor)
    exporter, url = otlp.sdk_exporter(Signal.LOGS)
    endpoint = Endpoint(url, "does not take log records; the file has them.")
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(_LogExporter(exporter, endpoint)))
    return Logs(provider, redactor)


class _Handler(logging.Handler):
    """Queues a record for the sending thread; runs on the thread that logs."""

    def __init__(self, provider: LoggerProvider, redactor: Redactor) -> None:
        super().__init__()
        self._provider = provider
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        if not is_instrumentation_enabled():
            return  # it reports on sending, and sending it would cause the next one
        error = record.exc_info[1] if record.exc_info else None
        span: SpanContext | None = getattr(record, "span", None)  # of the line's `extra`
        if span is None:
            span = trace.get_current_span().get_span_context()
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=trace.set_span_in_context(trace.NonRecordingSpan(span)),
                # DEBUG, INFO, WARNING, ERROR and CRITICAL are 5, 9, 13, 17 and 21.
                severity_number=SeverityNumber(min(record.levelno // 10, 5) * 4 + 1),
                severity_text=record.levelname,
                body=self._redactor.text(record.getMessage()),
                # The message and the stack hold values of the program.
                attributes={"exception.type": error_type(error)} if error else None,
            )
        )


class _LogExporter(LogRecordExporter):
    """Keeps the SDK's exporter away from a missing backend."""

    def __init__(self, exporter: LogRecordExporter, endpoint: Endpoint) -> None:
        self._exporter = exporter
        self._endpoint = endpoint

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        success = self._endpoint.send(lambda: self._exporter.export(batch) is _SUCCESS)
        return _SUCCESS if success else LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True  # this class holds nothing back

    def shutdown(self) -> None:
        self._exporter.shutdown()


_SUCCESS = LogRecordExportResult.SUCCESS
