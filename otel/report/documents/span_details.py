"""One span in all its details, as a page shows them when it is opened.

Values of attributes are text, as people read them: whoever recorded them may have put anything
there. Long ones are cut.
"""

import json
from collections.abc import Mapping, Sequence

from trading_graph.otel.diagnosis import Diagnosis, ranking_of, slack_ns
from trading_graph.otel.report.documents.document import Document
from trading_graph.otel.report.documents.trace_view import (
    Columns,
    TraceViewJson,
    named_by,
    trace_view,
)
from trading_graph.otel.report.documents.verdict import VerdictJson, verdict_document
from trading_graph.otel.report.time_use import time_use
from trading_graph.otel.trace import Trace
from trading_graph.otel.trace.waits import own_waits
from trading_graph.otel.verdict import Verdict
from trading_graph.otel.vocabularies import Attributes, finite, witness

LONGEST = 4_000
"""The most characters of a value."""
MOST = 200
"""The most attributes, events or links of a span."""

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")


class AttributeJson(Document, frozen=True, kw_only=True):
    """An attribute; `value` is a text as it is, and anything else as JSON."""

    key: str
    value: str


class SpanEventJson(Document, frozen=True, kw_only=True):
    """An event of a span; `after_s` is seconds after the span's start."""

    name: str
    after_s: float
    attributes: list[AttributeJson]


class SpanLinkJson(Document, frozen=True, kw_only=True):
    """A link to another span; `here` says that this trace holds it."""

    trace_id: str
    span_id: str
    here: bool
    attributes: list[AttributeJson]


class TimeUseJson(Document, frozen=True, kw_only=True):
    """A part of a span's time, and what it was used for."""

    what: str
    seconds: float


class SpanDetailsJson(Document, frozen=True, kw_only=True):
    """A span; null stands for what the trace does not record.

    `own_on_path_s` is the time in which the run waited for the span itself, and `slack_s` how much
    later it could have ended without delaying the run. `checks` are the ids of the failed checks
    and `findings` the numbers of the findings that name it. `left_out` counts the attributes,
    events and links that are not listed.
    """

    span_id: str
    parent_id: str
    kind: str
    status: str
    start_unix_s: float
    duration_s: float
    own_on_path_s: float | None
    slack_s: float | None
    loop_lag_ms: float | None
    cpu_over_wall: float | None
    wait_ms: float | None
    wait_kind: str | None
    gc_ms: float | None
    time_use: list[TimeUseJson]
    checks: list[str]
    findings: list[int]
    attributes: list[AttributeJson]
    resource: list[AttributeJson]
    events: list[SpanEventJson]
    links: list[SpanLinkJson]
    left_out: int


class ViewExportJson(Document, frozen=True, kw_only=True):
    """What `trading-graph diagnose --export view` prints: a page's worth of a trace.

    `details` are those of each span, in the order of the columns.
    """

    view: TraceViewJson
    verdict: VerdictJson
    details: list[SpanDetailsJson]


def view_export(trace: Trace, judgement: Diagnosis | Verdict) -> ViewExportJson:
    """All that a page shows of a recorded trace, from its diagnosis or its verdict alone."""
    diagnosis = judgement if isinstance(judgement, Diagnosis) else None
    verdict = judgement.verdict if isinstance(judgement, Diagnosis) else judgement
    view = trace_view(trace, verdict, diagnosis)
    return ViewExportJson(
        view=view,
        verdict=verdict_document(verdict),
        details=span_details(trace, view, verdict, diagnosis),
    )


def span_details(
    trace: Trace, view: TraceViewJson, verdict: Verdict | None, diagnosis: Diagnosis | None
) -> list[SpanDetailsJson]:
    """The details of every span, in the order of the view's columns."""
    columns = Columns.of(trace, verdict)
    table, checks_and_findings = columns.recorded, named_by(view)
    waits = own_waits(columns.table)
    own: Mapping[int, int] = {}
    slack: Mapping[int, int] = {}
    if diagnosis is not None:
        schedule = ranking_of(diagnosis).schedule
        own, slack = schedule.path.self_ns, slack_ns(schedule)
    details: list[SpanDetailsJson] = []
    for at, span_id in enumerate(columns.ids):
        row = table.row_of[span_id]
        attributes, events, links = table.attributes(row), table.events(row), table.links(row)
        start, end = table.intervals[row]
        resource = table.resources[row]
        parts = (attributes, resource, events, links)
        wait = sum(end_ns - start_ns for start_ns, end_ns in waits.get(at, ())) / 1e6
        details.append(
            SpanDetailsJson(
                span_id=span_id,
                parent_id=table.parent_id(row),
                kind=_word(_KINDS, table.kind[row]),
                status=_word(_STATUSES, table.status[row]),
                start_unix_s=start / 1e9,
                duration_s=max(end - start, 0) / 1e9,
                own_on_path_s=None if diagnosis is None else own.get(at, 0) / 1e9,
                slack_s=slack[at] / 1e9 if at in slack else None,
                loop_lag_ms=table.read(witness.loop_lag_ms, row),
                cpu_over_wall=table.read(witness.cpu_over_wall, row),
                wait_ms=wait or table.read(witness.wait_ms, row),
                wait_kind=table.read(witness.wait_kind, row),
                gc_ms=finite(attributes.get(witness.GC_MS)),
                time_use=[
                    TimeUseJson(what=what, seconds=seconds)
                    for seconds, what in time_use(table, row)
                ],
                checks=checks_and_findings[0].get(at, []),
                findings=checks_and_findings[1].get(at, []),
                attributes=_attributes(attributes),
                resource=_attributes(resource),
                events=[
                    SpanEventJson(
                        name=_text(each.name),
                        after_s=(each.time_ns - start) / 1e9,
                        attributes=_attributes(each.attributes),
                    )
                    for each in events[:MOST]
                ],
                links=[
                    SpanLinkJson(
                        trace_id=each.trace_id,
                        span_id=each.span_id,
                        here=each.trace_id == table.trace_id and each.span_id in columns.place,
                        attributes=_attributes(each.attributes),
                    )
                    for each in links[:MOST]
                ],
                left_out=sum(max(len(each) - MOST, 0) for each in parts),
            )
        )
    return details


def _word(words: Sequence[str], number: int) -> str:
    return words[number] if 0 <= number < len(words) else str(number)


def _attributes(attributes: Attributes) -> list[AttributeJson]:
    """The first attributes, by name."""
    keys = sorted(attributes)[:MOST]
    return [AttributeJson(key=_text(key), value=_text(attributes[key])) for key in keys]


def _text(value: object) -> str:
    """A value in words; a long one is cut, and says so."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... ({len(text):,} characters)"
