"""Log records over OTLP, only where `OTEL_LOGS_EXPORTER=otlp` asks for them.

The SDK's own `LoggingHandler` is deprecated, and neither it nor its successor lets a line name the
span that it is about, or takes secrets out.
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

from trading_graph.otel.export import otlp
from trading_graph.otel.export.gate import TIMEOUT_S, Gate, within
from trading_graph.otel.export.otlp import Signal
from trading_graph.otel.log_span import span_of
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import error_type

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Logs:
    """The process's logger provider, or none: then no log record is sent."""

    provider: LoggerProvider | None
    redactor: Redactor

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Send what is logged for the duration of the block, without secrets."""
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
        """Send what is queued; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or within(timeout_s, self.provider.force_flush)

    def close(self, timeout_s: float) -> bool:
        """Flush and stop; false when that takes longer than the timeout. Blocks."""
        return self.provider is None or within(timeout_s, self.provider.shutdown)


def logs_over_otlp(resource: Resource, redactor: Redactor) -> Logs:
    """Logs as the standard variables describe them; raises BadExporterSettings."""
    if not otlp.is_wanted(Signal.LOGS, default=False):
        return Logs(None, redactor)
    chosen = otlp.protocol(Signal.LOGS)
    endpoint = otlp.endpoint(Signal.LOGS, chosen)
    exporter = _GatedExporter(_sdk_exporter(chosen, endpoint), Gate(endpoint))
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return Logs(provider, redactor)


class _Handler(logging.Handler):
    """Queues a record for the sending thread; runs where the line is logged."""

    def __init__(self, provider: LoggerProvider, redactor: Redactor) -> None:
        super().__init__()
        self._provider = provider
        self._redactor = redactor

    def emit(self, record: logging.LogRecord) -> None:
        if not is_instrumentation_enabled():
            return  # it is about sending, and would be followed by another of its kind
        error = record.exc_info[1] if record.exc_info else None
        self._provider.get_logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=trace.set_span_in_context(trace.NonRecordingSpan(span_of(record))),
                # DEBUG, INFO, WARNING, ERROR and CRITICAL are 5, 9, 13, 17 and 21.
                severity_number=SeverityNumber(min(record.levelno // 10, 5) * 4 + 1),
                severity_text=record.levelname,
                body=self._redactor.text(record.getMessage()),
                # Its text and stack hold values of the program.
                attributes={"exception.type": error_type(error)} if error else None,
            )
        )


class _GatedExporter(LogRecordExporter):
    """The SDK's exporter, which it keeps from a missing backend; that is logged once."""

    def __init__(self, exporter: LogRecordExporter, gate: Gate) -> None:
        self._exporter = exporter
        self._gate = gate
        self._warned = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        if self._gate.send(lambda: self._exporter.export(batch) is _SUCCESS):
            return _SUCCESS
        if not self._warned:
            self._warned = True
            _LOG.warning("%s does not take log records; the file has them.", self._gate.endpoint)
        return LogRecordExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True  # nothing is kept here

    def shutdown(self) -> None:
        self._exporter.shutdown()


_SUCCESS = LogRecordExportResult.SUCCESS


def _sdk_exporter(protocol: str, endpoint: str) -> LogRecordExporter:
    timeout = otlp.timeout_s(Signal.LOGS, TIMEOUT_S)
    # Not above: few ask for logs, and fewer for gRPC, whose library is large.
    if protocol == otlp.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc

        return grpc.OTLPLogExporter(endpoint=endpoint, timeout=timeout)
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(endpoint=endpoint, timeout=timeout)
