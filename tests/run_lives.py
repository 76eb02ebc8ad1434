"""A run in several processes, of which each but the last dies before the run is over."""

from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from trading_graph.otel.export import TraceFile
from trading_graph.otel.files.journal import Journal
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
        self.trace, self.path = folder / "trace.jsonl", folder / "open.jsonl"
        self._redactor = Redactor(secrets, environment={})

    def begin(self) -> TraceFile:
        self.journal = Journal.begin(self.path)
        return TraceFile(self.trace, self._redactor, self.journal)

    def take_up(self) -> TraceFile:
        journal = Journal.take_up(self.path)
        assert journal is not None
        self.journal = journal
        self.journal.mend()
        return TraceFile(self.trace, self._redactor, self.journal)

    def die(self, file: TraceFile) -> None:
        file.close()
        self.journal.close(over=False)

    def end(self, file: TraceFile) -> SpanTable:
        file.close()
        self.journal.close(over=True)
        (trace,) = read(self.trace)
        return trace
