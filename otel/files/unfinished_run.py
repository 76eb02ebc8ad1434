"""What the log of a run says to whoever goes on with the run, or follows it."""

import os
import time
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.files.run_log import (
    JOURNAL,
    RunLog,
    as_spans,
    is_log,
    lock,
    started_line,
)
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line
from trading_graph.otel.spans import UnfinishedRun
from trading_graph.otel.trace import semconv


def as_started(span: ReadableSpan) -> ReadableSpan:
    """The span as it is when it starts: it has no end."""
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=dict(span.attributes or {}),
        links=span.links,
        kind=span.kind,
        start_time=span.start_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def read_log(path: Path) -> list[ReadableSpan]:
    """Read what a log says in its order: spans that start, whose end is 0 or None, and that end.

    A trace that is no log has no starts: they are put where they were. Raises OSError or
    TraceError.
    """
    content = path.read_bytes()
    spans = from_lines(as_spans(content), str(path))
    if all(span.end_time for span in spans):
        spans = [*map(as_started, spans), *spans]
        spans.sort(key=_moment)
    return spans


def read_unfinished_run(path: Path, *, or_ended: bool = False) -> UnfinishedRun | None:
    """Read the spans of a killed or failed run from its log, `or_ended` of one that ended well.

    Returns None where there is no span of such a run. Raises OSError or TraceError.
    """
    changed_ns = path.stat().st_mtime_ns
    spans = from_lines(as_spans(path.read_bytes()), str(path))
    starts = _by_id([span for span in spans if not span.end_time])
    ends = _by_id([span for span in spans if span.end_time])
    open_spans = [span for span_id, span in starts.items() if span_id not in ends]
    runs = [span for span in (*open_spans, *ends.values()) if semconv.RUN_ID in _attributes(span)]
    root = next((each for each in runs if or_ended or not _ended_well(each)), None)
    if root is None:
        return None
    failure = ""
    # A process that went on with a failed run may have been killed.
    if root.end_time and not open_spans:
        failure = str(_attributes(root).get(semconv.ERROR_TYPE, semconv.ENDED))
    times = [span.end_time or span.start_time or 0 for span in (*open_spans, *ends.values())]
    return UnfinishedRun(
        root=root,
        open_spans=tuple(span for span in open_spans if span is not root),
        ended_spans=tuple(span for span in ends.values() if span is not root),
        last_sign_ns=max([changed_ns, *times]),
        failure=failure,
    )


def bring_up(trace: Path) -> bool:
    """Make one log of the two files of an earlier release; false where its process still runs.

    What an earlier service told of the run, by numbers, was told in the order of the times. Raises
    OSError or TraceError.
    """
    journal = trace.with_name(JOURNAL)
    try:
        file = FileIO(journal, "r+b")
    except FileNotFoundError:
        return True
    with file:
        if not lock(journal, file):
            return False
        if not is_log(trace):
            spans = from_lines(file.readall(), str(journal))
            spans += from_lines(trace.read_bytes(), str(trace)) if trace.exists() else ()
            lines = (_line(span) for span in sorted(spans, key=_moment))
            log = RunLog.begin(trace, b"".join(lines))
            os.utime(trace, ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
            log.close(over=False)
        journal.unlink()
    return True


def _line(span: ReadableSpan) -> bytes:
    return to_line([span]) if span.end_time else started_line(to_line([span]))


def _moment(span: ReadableSpan) -> int:
    return span.end_time or span.start_time or 0


def _attributes(span: ReadableSpan) -> Mapping[str, AttributeValue]:
    return span.attributes or {}


def _ended_well(span: ReadableSpan) -> bool:
    return bool(span.end_time) and span.status.status_code is not StatusCode.ERROR


def _by_id(spans: Sequence[ReadableSpan]) -> dict[int, ReadableSpan]:
    """Index the spans by id, in the order in which they come first."""
    return {span.context.span_id: span for span in spans}
