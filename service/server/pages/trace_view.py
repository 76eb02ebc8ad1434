"""The trace view on a page: what its script draws, and the same as a table for whoever has none."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.diagnosis import FindingKind
from trading_graph.otel.report.documents.trace_view import FindingMarkJson, TraceViewJson
from trading_graph.otel.report.durations import brief
from trading_graph.otel.verdict import Outcome
from trading_graph.service.server.api_documents import Query
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import id_of, query_of
from trading_graph.service.server.pages.layout import page
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.trace_views import KeptView
from trading_graph.service.server.traces_api import trace_word

MOST_ROWS = 1_000
"""The most rows of a table on one page."""

_DEEPEST = 8
_MUCH = 0.05
"""The share of the whole time from which a gain is shown without being asked for."""
_IN_SERIES = (
    FindingKind.SERIAL_FAN_OUT,
    FindingKind.SERIAL_AGENTS,
    FindingKind.SERIAL_TOOLS,
    FindingKind.SERIAL_CALLS,
)
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A span as a line of the table; `marks` says what is special about it."""

    id: str
    name: str
    depth: int
    role: str
    start: str
    took: str
    on_path: str
    waited: str
    marks: str
    failed: bool


@dataclass(frozen=True, slots=True)
class TraceSection:
    """The trace view of a page: `trace_id` is its address, and `problem` why there is none.

    `status` is that of the problem, and `grows` says that spans of the trace still come.
    """

    trace_id: str
    kept: KeptView | None
    rows: Sequence[SpanRow] = ()
    problem: str = ""
    status: HTTPStatus = HTTPStatus.NOT_FOUND
    grows: bool = False

    @property
    def view(self) -> TraceViewJson | None:
        """The view itself."""
        return None if self.kept is None else self.kept.document

    @property
    def gain_s(self) -> float:
        """What fixing one of the findings gains at most, in seconds."""
        findings = () if self.view is None else self.view.findings
        return max((each.gain_s.high for each in findings), default=0.0)

    @property
    def can_gain(self) -> bool:
        """Whether a fix may save so much of the time that a reader should see it at once."""
        return self.view is not None and self.gain_s >= _MUCH * self.view.duration_ns / 1e9

    @property
    def in_series(self) -> FindingMarkJson | None:
        """The first finding on work in series that may save so much."""
        if self.view is None:
            return None
        least_s = _MUCH * self.view.duration_ns / 1e9
        series = (each for each in self.view.findings if each.kind in _IN_SERIES)
        return next((each for each in series if each.gain_s.high >= least_s), None)

    @property
    def left_out(self) -> int:
        """How many spans are on further pages of the table."""
        return 0 if self.view is None else len(self.view.spans.id) - len(self.rows)


async def trace_section(request: web.Request, trace_id: str) -> TraceSection:
    """The trace view of a trace or run; one that cannot be made says why."""
    service = request.app[SERVICE]
    try:
        view = await service.views.view(await trace_word(service, trace_id))
    except Problem as problem:
        return TraceSection(trace_id, None, problem=problem.detail, status=problem.status)
    rows = await asyncio.to_thread(span_rows, view.document, 0, MOST_ROWS)
    grows = any(each.trace_id == trace_id for each in service.receiver.growing.documents())
    return TraceSection(trace_id, view, rows, grows=grows)


class _TableQuery(Query):
    """The page of the table, from 1 on."""

    page: int = 1


async def show_table(request: web.Request) -> web.Response:
    """All spans of a trace or run as a table, a part of a long one a page."""
    service, trace_id = request.app[SERVICE], id_of(request, "trace_id")
    number = max(query_of(request, _TableQuery).page, 1)
    view = await service.views.view(await trace_word(service, trace_id))
    pages = -(-len(view.document.spans.id) // MOST_ROWS)
    if number > pages:
        raise Problem(HTTPStatus.NOT_FOUND, f"The table of this trace has {pages} pages.")
    first = (number - 1) * MOST_ROWS
    rows = await asyncio.to_thread(span_rows, view.document, first, first + MOST_ROWS)
    return page(
        request,
        "spans.html",
        f"Spans of {view.document.names[0][:_LONGEST]}",
        trace_id=trace_id,
        view=view.document,
        rows=rows,
        number=number,
        pages=pages,
    )


def span_rows(view: TraceViewJson, first: int, end: int) -> list[SpanRow]:
    """The rows of a part of the table, parents before children, each as it starts."""
    order, depths = _order(view)
    here = order[first:end]
    spans, inside = view.spans, set(here)
    on_path, waited = _sums(view.path, inside), _sums(view.waits, inside)
    marks: dict[int, list[str]] = {at: [] for at in here}
    for fan_out in view.fan_outs:
        for number, at in enumerate(fan_out.spans, 1):
            if at in inside:
                marks[at].append(f"branch {number} of {len(fan_out.spans)} of {fan_out.name}")
    for check in view.checks:
        for at in inside.intersection(check.spans if check.outcome is Outcome.FAIL else ()):
            marks[at].append(f"fails: {check.title}")
    for finding in view.findings:
        for at in inside.intersection(finding.spans):
            marks[at].append(f"finding {finding.number}: {finding.kind}")
    failed, cut = set(view.failed).difference(view.cut), set(view.cut)
    return [
        SpanRow(
            id=spans.id[at],
            name=view.names[spans.name[at]][:_LONGEST] or "(unnamed)",
            depth=min(depths[at], _DEEPEST),
            role=view.roles[spans.role[at]],
            start=brief(spans.start_ns[at] / 1e9),
            took=brief((spans.end_ns[at] - spans.start_ns[at]) / 1e9),
            on_path=brief(on_path[at] / 1e9) if at in on_path else "",
            waited=brief(waited[at] / 1e9) if at in waited else "",
            marks="; ".join([*(["cancelled"] if at in cut else []), *marks[at]]),
            failed=at in failed,
        )
        for at in here
    ]


def _order(view: TraceViewJson) -> tuple[list[int], list[int]]:
    """The spans as a tree from the top down, and how deep each is in it."""
    spans = view.spans
    children: dict[int, list[int]] = {}
    for at in sorted(range(len(spans.id)), key=lambda at: (spans.start_ns[at], at), reverse=True):
        children.setdefault(max(spans.parent[at], -1), []).append(at)
    depths, order = [0] * len(spans.id), list[int]()
    pending = children.get(-1, [])
    while pending:
        at = pending.pop()
        order.append(at)
        for child in children.get(at, ()):
            depths[child] = depths[at] + 1
            pending.append(child)
    return order, depths


def _sums(parts: Sequence[tuple[int, int, int]], inside: set[int]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for at, start, end in parts:
        if at in inside:
            sums[at] = sums.get(at, 0) + end - start
    return sums
