"""What TRACE means on the command line: files, `-`, a trace id, or `last`."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import parse, read
from trading_graph.otel.sources.document import MAX_BYTES
from trading_graph.otel.trace import SpanTable
from trading_graph.service.run.folder import TRACE, unfinished_sentence

if TYPE_CHECKING:
    from trading_graph.otel.sources.jaeger import JaegerQuery
    from trading_graph.service.settings import Settings

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def find_trace(words: tuple[str, ...], source: str | None, id: str | None = None) -> SpanTable:
    """The trace that the command line names; raises TraceError.

    `source` is `file`, `jaeger` or `langsmith`, or None: a file where there is one, then the runs
    of this folder, then Jaeger. Several words are files that hold parts of one trace. `id` picks
    one of several traces.
    """
    if source in (None, "file") and all(Path(word).is_file() for word in words):
        for word in words:
            _over(Path(word))
        return _one(read(*map(Path, words)), id, ", ".join(words))
    if len(words) > 1:
        missing = next(word for word in words if not Path(word).is_file())
        raise TraceError(f"{missing} is no file; several words have to be files of one trace.")
    (word,) = words
    if word == "-":
        content = sys.stdin.buffer.read(MAX_BYTES)
        return _one(parse(content, "standard input"), id, "standard input")
    settings = _settings()
    if word == "last":
        return _last(settings, source, id)
    trace_id = _trace_id(word)
    file = settings.out / trace_id / TRACE
    if source in (None, "file") and file.is_file():
        return _one(read(_over(file)), id, str(file))
    if source == "file":
        raise TraceError(f"There is no run {trace_id} in {settings.out}.")
    if source == "langsmith":
        # Not above: it needs an extra.
        from trading_graph.otel.sources.langsmith import LangSmithQuery

        url = settings.langsmith_url
        key = settings.langsmith_api_key
        trace = LangSmithQuery(
            url, key.get_secret_value() if key else None, settings.langsmith_project
        ).trace(trace_id)
        if trace is None:
            raise TraceError(
                f"LangSmith at {url} has no trace {trace_id}, by that id or sent over OTLP to the "
                f"project {settings.langsmith_project}."
            )
        return trace
    jaeger = _jaeger(settings)
    trace = jaeger.complete(trace_id) if jaeger.trace(trace_id) else None
    if trace is None:
        raise TraceError(f"Neither {settings.out} nor Jaeger at {settings.jaeger_url} has {word}.")
    return trace


def trace_file(word: str, settings: "Settings") -> Path:
    """The file that a word names: a file, a run's id, or `last`; raises TraceError."""
    if word == "last":
        return newest_run(settings.out) / TRACE
    if Path(word).is_file():
        return Path(word)
    file = settings.out / _trace_id(word) / TRACE
    if not file.is_file():
        raise TraceError(f"There is no run {word} in {settings.out}.")
    return file


def configured_jaeger() -> "JaegerQuery":
    """The Jaeger that the settings name; raises SettingsError."""
    return _jaeger(_settings())


def _settings() -> "Settings":
    # Not above: this import takes longer than to read and judge the file of a run.
    from trading_graph.service.settings import read_settings

    return read_settings()


def _jaeger(settings: "Settings") -> "JaegerQuery":
    # Not above: a trace in a file needs no HTTP.
    from trading_graph.otel.sources.jaeger import JaegerQuery

    return JaegerQuery(settings.jaeger_url)


def newest_run(out: Path) -> Path:
    """The folder of the newest run; run ids are ordered by time."""
    folders = sorted(folder for folder in out.glob("*") if (folder / TRACE).is_file())
    if not folders:
        raise TraceError(f"There is no run in {out} yet; make one with: trading-graph run AAPL")
    return folders[-1]


def _over(trace: Path) -> Path:
    """The trace file, if its run is over; else raises TraceError with what was recorded so far."""
    if sentence := unfinished_sentence(trace.parent):
        raise TraceError(sentence)
    return trace


def _last(settings: "Settings", source: str | None, id: str | None) -> SpanTable:
    if source == "langsmith":
        raise TraceError("LangSmith has no `last` here; name the trace id that the run printed.")
    if source != "jaeger":
        return _one(read(_over(newest_run(settings.out) / TRACE)), id, "the newest run")
    service = os.environ.get("OTEL_SERVICE_NAME", "trading-graph")
    jaeger = _jaeger(settings)
    newest = jaeger.newest(service)
    if newest is None:
        services = ", ".join(jaeger.services()) or "none"
        raise TraceError(
            f"Jaeger at {settings.jaeger_url} has no trace of the service {service} in the last "
            f"two weeks; its services: {services}. OTEL_SERVICE_NAME names another."
        )
    return jaeger.complete(newest.trace_id) or newest


def _trace_id(word: str) -> str:
    if not _TRACE_ID.fullmatch(word) and not _UUID.fullmatch(word):
        raise TraceError(f"{word} is neither a file nor a trace id of 32 hexadecimal digits.")
    return word.replace("-", "").lower()


def _one(traces: list[SpanTable], id: str | None, origin: str) -> SpanTable:
    """The only trace, or the one with the id; the id of a run picks none, so one must be alone."""
    if not traces:
        raise TraceError(f"There is no trace in {origin}.")
    named = [trace for trace in traces if trace.trace_id == id]
    if named:
        return named[0]
    if len(traces) > 1:
        ids = ", ".join(trace.trace_id for trace in traces[:3])
        more = ", ..." if len(traces) > 3 else ""
        raise TraceError(
            f"There are {len(traces)} traces in {origin} ({ids}{more}); name one with --id."
        )
    return traces[0]
