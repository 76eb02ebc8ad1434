"""What the command line names: TRACE (files, `-`, a trace id, or `last`), and dependencies."""

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trading_graph.otel.errors import DependenciesError, TraceError
from trading_graph.otel.sources import parse, read
from trading_graph.otel.sources.trace_files import MAX_BYTES
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.trace.parts import Part, runs
from trading_graph.otel.trace.parts import join as as_one
from trading_graph.otel.verdict import run_ids
from trading_graph.service.lazy_import import load
from trading_graph.service.run.folder import RECEIVED, TRACE, unfinished_sentence

if TYPE_CHECKING:
    from trading_graph.otel.sources.jaeger_query import JaegerQuery
    from trading_graph.otel.sources.langsmith_query import LangSmithQuery
    from trading_graph.service.settings import Settings

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SHOWN = 3
_LONGEST_NAME = 60
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


WHOLE = Part()


def find_trace(
    words: tuple[str, ...],
    source: str | None,
    id: str | None = None,
    part: Part = WHOLE,
    join: bool = False,
) -> SpanTable:
    """The trace that the command line names; raises TraceError.

    `source` is `file`, `jaeger` or `langsmith`, or None: a file where there is one, then the runs,
    received traces and portfolios of this folder, then Jaeger. Several words are files that hold
    parts of one trace. `id` picks one of several traces, and `join` takes those of one run
    together.
    """
    traces, origin = _read(words, source)
    if join:
        return part.of(_one_run(traces, id, origin), origin)
    return part.of(_one(traces, id, origin), origin)


def find_traces(
    words: tuple[str, ...], source: str | None, part: Part = WHOLE, join: bool = False
) -> list[SpanTable]:
    """All traces that the command line names, or all runs of them; raises TraceError."""
    traces, origin = _read(words, source)
    if not traces:
        raise TraceError(f"There is no trace in {origin}.")
    whole = [as_one(group) for group in runs(traces)] if join else traces
    return [part.of(trace, origin) for trace in whole]


def _read(words: tuple[str, ...], source: str | None) -> tuple[list[SpanTable], str]:
    """All traces of a source, and what it is called in errors; raises TraceError."""
    if source in (None, "file") and all(Path(word).is_file() for word in words):
        for word in words:
            _over(Path(word))
        return read(*map(Path, words)), ", ".join(words)
    if len(words) > 1:
        missing = next(word for word in words if not Path(word).is_file())
        raise TraceError(f"{missing} is no file; several words have to be files of one trace.")
    (word,) = words
    if word == "-":
        return parse(sys.stdin.buffer.read(MAX_BYTES), "standard input"), "standard input"
    settings = _settings()
    if word == "last":
        return _last(settings, source)
    trace_id = _trace_id(word)
    if source in (None, "file") and (file := _file_here(trace_id, settings)) is not None:
        return read(_over(file)), str(file)
    if source == "file":
        raise TraceError(f"{_not_here(trace_id, settings)}.")
    return [_from_backend(settings, source, trace_id)], word


def _from_backend(settings: "Settings", source: str | None, trace_id: str) -> SpanTable:
    """The trace with an id in LangSmith or in Jaeger; raises TraceError."""
    if source == "langsmith":
        # Not above: it needs an extra.
        query_class: type[LangSmithQuery] = load("otel.sources.langsmith_query:LangSmithQuery")
        url = settings.langsmith_url
        key = settings.langsmith_api_key
        trace = query_class(
            url, key.get_secret_value() if key else None, settings.langsmith_project
        ).trace(trace_id)
        if trace is None:
            raise TraceError(
                f"LangSmith at {url} has no trace {trace_id}, by that id or sent over OTLP to the "
                f"project {settings.langsmith_project}."
            )
        return trace
    jaeger = _jaeger(settings)
    absent = "" if source == "jaeger" else f"{_not_here(trace_id, settings)}; "
    try:
        trace = jaeger.complete(trace_id) if jaeger.trace(trace_id) else None
    except TraceError as error:
        raise TraceError(f"{absent}{error}") from error
    if trace is None:
        raise TraceError(f"{absent}Jaeger at {settings.jaeger_url} has no trace {trace_id}.")
    return trace


def _file_here(trace_id: str, settings: "Settings") -> Path | None:
    """The file of a run, a portfolio or a received trace of this folder."""
    received = settings.out / RECEIVED
    files = (
        settings.out / trace_id / TRACE,
        settings.portfolios / trace_id / TRACE,
        *(received / state / f"{trace_id}.jsonl" for state in ("judged", "growing")),
    )
    return next((file for file in files if file.is_file()), None)


def _not_here(trace_id: str, settings: "Settings") -> str:
    return (
        f"{trace_id} is not here, as a run or received trace in {settings.out} or a portfolio in "
        f"{settings.portfolios}"
    )


def runs_folder() -> Path:
    """The folder of runs; raises SettingsError."""
    return _settings().out


def trace_file(word: str, settings: "Settings") -> Path:
    """The file that a word names: a file, the id of a run, portfolio or received trace, or `last`.

    Raises TraceError.
    """
    if word == "last":
        return newest_run(settings.out) / TRACE
    if Path(word).is_file():
        return Path(word)
    if (file := _file_here(_trace_id(word), settings)) is None:
        raise TraceError(f"{_not_here(word, settings)}.")
    return file


def configured_jaeger() -> "JaegerQuery":
    """The Jaeger that the settings name; raises SettingsError."""
    return _jaeger(_settings())


def _settings() -> "Settings":
    # Not above: this import takes longer than to read and judge the file of a run.
    settings: Settings = load("service.settings:read_settings")()
    return settings


def _jaeger(settings: "Settings") -> "JaegerQuery":
    # Not above: a trace in a file needs no HTTP.
    jaeger: JaegerQuery = load("otel.sources.jaeger_query:JaegerQuery")(settings.jaeger_url)
    return jaeger


def newest_run(out: Path) -> Path:
    """The folder of the run that was recorded last; an id of a portfolio's run tells no time."""
    traces = [trace for folder in out.glob("*") if (trace := folder / TRACE).is_file()]
    if not traces:
        raise TraceError(f"There is no run in {out} yet; make one with: trading-graph run AAPL")
    return max(traces, key=lambda each: (each.stat().st_mtime_ns, each.parent.name)).parent


def _over(trace: Path) -> Path:
    """The trace file, if its run is over; else raises TraceError with what was recorded so far."""
    if sentence := unfinished_sentence(trace.parent):
        raise TraceError(sentence)
    return trace


def _last(settings: "Settings", source: str | None) -> tuple[list[SpanTable], str]:
    if source == "langsmith":
        raise TraceError("LangSmith has no `last` here; name the trace id that the run printed.")
    if source != "jaeger":
        return read(_over(newest_run(settings.out) / TRACE)), "the newest run"
    jaeger = _jaeger(settings)
    service = _service()
    newest = jaeger.newest(service)
    if newest is None:
        raise TraceError(_nothing_of(jaeger, service))
    return [jaeger.complete(newest.trace_id) or newest], "Jaeger"


def newest_traces(settings: "Settings", source: str, most: int) -> list[SpanTable]:
    """The newest traces in a backend, of the service that OTEL_SERVICE_NAME names.

    Raises TraceError where there is none, or where they cannot be listed.
    """
    if source != "jaeger":
        raise TraceError("LangSmith lists no traces here; name the trace id that the run printed.")
    jaeger, service = _jaeger(settings), _service()
    now = datetime.now(UTC)
    traces = jaeger.search(service, now - timedelta(days=14), now + timedelta(minutes=1), most)
    if not traces:
        raise TraceError(_nothing_of(jaeger, service))
    return traces


def _service() -> str:
    return os.environ.get("OTEL_SERVICE_NAME", "trading-graph")


def _nothing_of(jaeger: "JaegerQuery", service: str) -> str:
    services = ", ".join(jaeger.services()) or "none"
    return (
        f"Jaeger at {jaeger.base_url} has no trace of the service {service} in the last two weeks; "
        f"its services: {services}. OTEL_SERVICE_NAME names another."
    )


def _trace_id(word: str) -> str:
    if not _TRACE_ID.fullmatch(word) and not _UUID.fullmatch(word):
        raise TraceError(f"{word} is neither a file nor a trace id of 32 hexadecimal digits.")
    return word.replace("-", "").lower()


def _one(traces: list[SpanTable], id: str | None, origin: str) -> SpanTable:
    """The only trace, or the one with the id, or with the run of that id."""
    if not traces:
        raise TraceError(f"There is no trace in {origin}.")
    if id is not None:
        return _named(traces, id, origin)
    if len(traces) > 1:
        count = len(runs(traces))
        joined = "one run" if count == 1 else f"{count} runs"
        join_ = f", take them as {joined} with --join" if count < len(traces) else ""
        raise TraceError(
            f"There are {len(traces)} traces in {origin} ({_listed(traces)}); name one with "
            f"--id{join_}, or judge each with --each."
        )
    return traces[0]


def _named(traces: Sequence[SpanTable], id: str, origin: str) -> SpanTable:
    """The first trace with the id, or else with a run of that id; raises TraceError."""
    for trace in traces:
        if trace.trace_id == id:
            return trace
    for trace in traces:
        if id in run_ids(trace):
            return trace
    raise TraceError(f"There is no trace {id} in {origin}; it has {_listed(traces)}.")


def _one_run(traces: list[SpanTable], id: str | None, origin: str) -> SpanTable:
    """The traces of the only run as one, or of the run to which the trace with the id belongs."""
    if not traces:
        raise TraceError(f"There is no trace in {origin}.")
    groups = runs(traces)
    if id is not None:
        named = _named(traces, id, origin)
        holds = (group for group in groups if any(each is named for each in group))
        return as_one(next(holds, [named]))
    if len(groups) > 1:
        raise TraceError(
            f"The {len(traces)} traces in {origin} are {len(groups)} runs, by their sessions or "
            f"their processes and times ({_listed([group[0] for group in groups])}); name a trace "
            "of one with --id, or judge each with --each."
        )
    return as_one(groups[0])


def _listed(traces: Sequence[SpanTable]) -> str:
    """Traces by id, name and size."""
    shown = [
        f"{trace.trace_id} {_name(trace)}, {len(trace)} span{'' if len(trace) == 1 else 's'}"
        for trace in sorted(traces, key=len, reverse=True)[:_SHOWN]
    ]
    return "; ".join(shown) + ("; ..." if len(traces) > _SHOWN else "")


def head_of(trace: SpanTable) -> str:
    """What a line about a trace begins with: its id, name, size, and time."""
    if not len(trace):
        return f"{trace.trace_id}  empty"
    took = (max(end for _, end in trace.intervals) - trace.intervals[0][0]) / 1e9
    return f"{trace.trace_id}  {_name(trace)}  {len(trace)} spans  {took:.3f} s"


def _name(trace: SpanTable) -> str:
    row = next(iter((*trace.roots, *trace.orphans, 0)))
    return repr(trace.names[row][:_LONGEST_NAME]) if len(trace) else "empty"


def read_dependencies(file: str | None) -> Dependencies | None:
    """The dependencies of a file, or None without one; raises DependenciesError."""
    if file is None:
        return None
    try:
        return Dependencies.from_json(Path(file).read_bytes())
    except OSError as error:
        raise DependenciesError(f"{file} cannot be read: {error.strerror or error}.") from None
    except DependenciesError as error:
        raise DependenciesError(f"{file} cannot be used. {error}") from None
