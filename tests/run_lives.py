"""A run in several processes, of which each but the last dies before the run is over."""

from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from trading_graph.otel.export import TraceFile
from trading_graph.otel.files.run_log import JOURNAL, RunLog
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.files.unfinished_run import read_log
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.sources import read
from trading_graph.otel.spans import RecordingProcessor, UUIDv7IdGenerator
from trading_graph.otel.trace import SpanTable


def _raise(error: BaseException) -> None:
    raise error


def provider() -> TracerProvider:
    tracer_provider = TracerProvider(id_generator=UUIDv7IdGenerator(), shutdown_on_exit=False)
    tracer_provider.add_span_processor(RecordingProcessor(_raise))
    return tracer_provider


class Life:
    """One process of a run, and the files that it leaves when it dies."""

    def __init__(self, folder: Path, secrets: tuple[str, ...] = ()) -> None:
        self.trace = folder / "trace.jsonl"
        self._redactor = Redactor(secrets, environment={})

    def begin(self) -> TraceFile:
        self.log = RunLog.begin(self.trace)
        return TraceFile(self.log, self._redactor)

    def take_up(self) -> TraceFile:
        log = RunLog.take_up(self.trace)
        assert log is not None
        self.log = log
        return TraceFile(self.log, self._redactor)

    def die(self, file: TraceFile) -> None:
        file.close()
        self.log.close(over=False)

    def end(self, file: TraceFile) -> SpanTable:
        file.close()
        self.log.close(over=True)
        (trace,) = read(self.trace)
        return trace


def names_of_ended(trace: Path) -> list[str]:
    """The names of the spans that have ended, as far as a log has them."""
    return [span.name for span in from_lines(trace.read_bytes(), str(trace))]


def of_an_earlier_release(log: Path) -> None:
    """Write what is in a log as two files, as 0.1 did: ended spans, and spans that have started."""
    spans = read_log(log)
    log.write_bytes(b"".join(to_line([span]) for span in spans if span.end_time))
    log.with_name(JOURNAL).write_bytes(to_line([span for span in spans if not span.end_time]))
