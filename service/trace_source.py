"""What TRACE means on the command line: a file, `-`, a trace id, or `last`."""

import re
import sys
from pathlib import Path

from otel.errors import TraceError
from otel.sources import JaegerQuery, parse, read
from otel.trace import Trace
from service.run_folder import TRACE
from service.settings import Settings

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_MAX_STDIN = 2**30


def find_trace(text: str, settings: Settings, source: str | None) -> Trace:
    """The trace that a word of the command line names; raises TraceError.

    `source` is `file` or `jaeger`, or None: a file where there is one, then the runs of this
    folder, then Jaeger.
    """
    if text == "-":
        return _only(parse(sys.stdin.buffer.read(_MAX_STDIN), "standard input"), "standard input")
    if text == "last" and source != "jaeger":
        return _only(read(newest_run(settings.out) / TRACE), "the newest run")
    if text == "last":
        raise TraceError("Jaeger has no `last` yet; name the trace id that the run printed.")
    if source != "jaeger" and Path(text).is_file():
        return _only(read(Path(text)), text)
    if not _TRACE_ID.fullmatch(text):
        raise TraceError(f"{text} is neither a file nor a trace id of 32 hexadecimal digits.")
    trace_id = text.lower()
    kept = settings.out / trace_id / TRACE
    if source != "jaeger" and kept.is_file():
        return _only(read(kept), str(kept))
    if source == "file":
        raise TraceError(f"There is no run {trace_id} in {settings.out}.")
    found = JaegerQuery(settings.jaeger_url).trace(trace_id)
    if found is None:
        raise TraceError(f"Neither {settings.out} nor Jaeger at {settings.jaeger_url} has {text}.")
    return found


def newest_run(out: Path) -> Path:
    """The folder of the newest run; run ids are ordered by time."""
    folders = sorted(folder for folder in out.glob("*") if (folder / TRACE).is_file())
    if not folders:
        raise TraceError(f"There is no run in {out} yet; make one with: trading-graph run AAPL")
    return folders[-1]


def _only(traces: list[Trace], origin: str) -> Trace:
    if not traces:
        raise TraceError(f"There is no trace in {origin}.")
    if len(traces) > 1:
        ids = ", ".join(trace.trace_id for trace in traces[:3])
        raise TraceError(f"There are {len(traces)} traces in {origin} ({ids}); name one by its id.")
    return traces[0]
