"""The API of runs: start, list, follow and cancel them, and read their results."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trading_graph.graph.decisions import Decision
from trading_graph.otel.report.documents.diagnosis import DiagnosisJson
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.otel.spans import uuid7
from trading_graph.service.portfolio.engine import PortfolioStatus
from trading_graph.service.run.folder import CHART, DECISION, REPORT, TRACE, RunFolder
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.api_documents import (
    RUN_REQUEST,
    DiagnosisQuery,
    EventsQuery,
    RunDocument,
    RunList,
    RunsQuery,
    run_document,
)
from trading_graph.service.server.audit import AuditAction, write_audit_line
from trading_graph.service.server.base_path import address
from trading_graph.service.server.clients import following
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.inputs import body_of, id_of, query_of
from trading_graph.service.server.judging import Judgement
from trading_graph.service.server.openapi import EVENT_STREAM, ApiAnswer, Operation, ok
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.run_events import RUN_EVENTS, RunEvents, read_events
from trading_graph.service.store import RunState, StoredRun, now
from trading_graph.toolkit.symbols import parse_symbol

IDEMPOTENCY_KEY = "Idempotency-Key"
_LONGEST_KEY = 200


async def start_run(request: web.Request) -> web.Response:
    """Start a run, or get the one that this idempotency key started."""
    body = await body_of(request, RUN_REQUEST)
    run, created = await queue_run(request, body, key_of(request))
    document = run_document(request.app[SERVICE], run)
    return web.json_response(
        text=document.model_dump_json(),
        status=HTTPStatus.ACCEPTED if created else HTTPStatus.OK,
        headers={"Location": document.links.self},
    )


def key_of(request: web.Request) -> str | None:
    """The idempotency key of a request; raises Problem."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not (key.isascii() and 0 < len(key) <= _LONGEST_KEY):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"{IDEMPOTENCY_KEY} has 1 to {_LONGEST_KEY} ASCII characters; send such a one.",
        )
    return key


async def queue_run(
    request: web.Request, body: RunRequest, key: str | None = None
) -> tuple[StoredRun, bool]:
    """Queue a request; raises Problem if that fails now, BadRequestError if it always will."""
    service = request.app[SERVICE]
    # A request without a date means another day tomorrow.
    day = service.default_date
    run_request = body.resolve(day)
    caller = TraceContextTextMapPropagator().extract(request.headers)
    context = trace.get_current_span(caller).get_span_context()
    run_id = uuid7().hex
    run, is_queued = await service.queue.submit(
        StoredRun(
            id=run_id,
            request=run_request,
            symbol=run_request.symbol,
            date=run_request.date or service.default_date,
            state=RunState.QUEUED,
            trace_id=f"{context.trace_id:032x}" if context.is_valid else run_id,
            traceparent=request.headers.get("traceparent") if context.is_valid else None,
            # A digest: keys are text of clients, and are only compared.
            idempotency_key=key and hashlib.sha256(key.encode()).hexdigest(),
            created=now(),
        )
    )
    if is_queued:
        write_audit_line(request, AuditAction.START_RUN, run.id)
    return run, is_queued


async def list_runs(request: web.Request) -> RunList:
    """List runs, newest first."""
    service, query = request.app[SERVICE], query_of(request, RunsQuery)
    runs = await service.store.runs(
        states=[query.state] if query.state else (),
        symbol=parse_symbol(query.symbol) if query.symbol else None,
        before=query.before,
        limit=query.limit + 1,
    )
    page = runs[: query.limit]
    return RunList(
        runs=[run_document(service, run) for run in page],
        next=page[-1].id if len(runs) > len(page) else None,
    )


async def get_run(request: web.Request) -> RunDocument:
    """One run."""
    return run_document(request.app[SERVICE], await run_of(request))


async def cancel_run(request: web.Request) -> RunDocument:
    """Cancel a run; one that is over stays as it is."""
    run = await run_of(request)
    if not run.state.final:
        await cancel(request, run)
        run = await run_of(request)
    return run_document(request.app[SERVICE], run)


async def cancel(request: web.Request, run: StoredRun) -> None:
    """Cancel a run that is not over; raises Problem for one of a portfolio."""
    if owner := await owner_of(request, run):
        raise Problem(
            HTTPStatus.CONFLICT,
            f"The run is one of the portfolio {owner.order.id}, which is cancelled as a whole: "
            f"POST {address(f'/v1/portfolios/{owner.order.id}/cancel')}",
        )
    write_audit_line(request, AuditAction.CANCEL_RUN, run.id)
    await request.app[SERVICE].queue.cancel(run.id)


async def owner_of(request: web.Request, run: StoredRun) -> PortfolioStatus | None:
    """The portfolio of a run, None where it was started alone."""
    service = request.app[SERVICE]
    if service.queue.run(run.id) or await service.store.run(run.id):
        return None
    return await service.portfolios.owner(run.id)


async def events_of(service: ServiceContext, run: StoredRun) -> RunEvents:
    """The events of a run; of one that is not under way here, those until now."""
    live = service.queue.events(run.id)
    if live is not None:
        return live
    is_own = await service.store.run(run.id) is not None
    folder = RunFolder(service.out, run.id)
    told = await asyncio.to_thread(read_events, run, folder, is_own=is_own)
    return RunEvents(run.id, told, ended=True)


async def follow_run(request: web.Request) -> web.StreamResponse:
    """Follow a run: server-sent events, each one line of JSON, resumable by Last-Event-ID."""
    run, service = await run_of(request), request.app[SERVICE]
    after = query_of(request, EventsQuery).after
    last = request.headers.get("Last-Event-ID", "")
    if last.isascii() and last.isdecimal() and len(last) < 16:
        after = int(last)
    events = await events_of(service, run)
    if run.state.final and after and len(events.told) <= after:
        # It tells a browser not to connect again.
        return web.Response(status=HTTPStatus.NO_CONTENT)
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"})
    with following(request), contextlib.suppress(ConnectionError):  # then the client has left
        await response.prepare(request)
        async for chunk in events.follow(after):
            await response.write(chunk)
        await response.write_eof()
    return response


async def get_decision(request: web.Request) -> web.StreamResponse:
    """The decision of a run that is done."""
    return await _file(request, DECISION, "application/json")


async def get_report(request: web.Request) -> web.StreamResponse:
    """The report of a run that is done, Markdown."""
    return await _file(request, REPORT, "text/markdown; charset=utf-8")


async def get_chart(request: web.Request) -> web.StreamResponse:
    """The chart of a run that is done: the prices that it saw and its levels, SVG."""
    return await _file(request, CHART, SVG, {"Content-Security-Policy": _CHART_POLICY})


async def get_trace(request: web.Request) -> web.StreamResponse:
    """The trace of a run, as far as it is recorded: OTLP JSON lines."""
    return await _file(request, TRACE, "application/x-ndjson")


async def get_verdict(request: web.Request) -> web.Response:
    """The verdict on a run that is over."""
    run = await run_of(request)
    stored = await request.app[SERVICE].store.verdict(run.id)
    if stored is None:
        raise _not_there(run, "verdict")
    return web.json_response(text=stored.document)


async def get_diagnosis(request: web.Request) -> web.Response:
    """Where the time of a run went, and what each fix would gain."""
    query, run = query_of(request, DiagnosisQuery), await run_of(request)
    path = await _stored_file(request, run, TRACE)
    service = request.app[SERVICE]
    async with service.judging.place() as folder:
        judgement = await service.judging.command_on_file(_diagnose(query), path, folder)
    return _diagnosis(judgement, query, f"/runs/{run.id}")


async def diagnosis_response(
    service: ServiceContext,
    words: Sequence[str],
    query: DiagnosisQuery,
    folder: Path,
    page: str | None = None,
) -> web.Response:
    """The diagnosis of the trace that the words name, in the format of the query.

    As HTML it leads back to the `page` of the trace, where there is one.
    """
    judgement = await service.judging.command([*_diagnose(query), *words], folder)
    return _diagnosis(judgement, query, page)


def _diagnose(query: DiagnosisQuery) -> list[str]:
    """The command that answers a query."""
    target = [] if query.target is None else [f"--target={query.target}"]
    return ["diagnose", *target, f"--format={query.format}"]


def _diagnosis(judgement: Judgement, query: DiagnosisQuery, page: str | None) -> web.Response:
    headers = {"Content-Type": _CONTENT[query.format]}
    text = judgement.text
    if query.format == "html":
        headers["Content-Security-Policy"] = REPORT_POLICY
        if page is not None:
            way_back = f'<main>\n<p><a href="{address(page)}">Back to the trace</a></p>\n'
            text = text.replace(b"<main>\n", way_back.encode(), 1)
    return web.Response(body=text, headers=headers)


_CONTENT = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}
DIAGNOSIS = ok(DiagnosisJson, other=("text/html", "text/markdown", "text/plain"))
"""The answer to each operation that diagnoses a trace."""

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""A report's own policy is stricter: its style sheet by hash. Both apply."""

SVG = "image/svg+xml"
_CHART_POLICY = f"{REPORT_POLICY}; sandbox"
"""An SVG that is opened by itself is a document: it has its own style, and nothing else."""


async def run_of(request: web.Request) -> StoredRun:
    """The run that the path names; raises Problem."""
    service, run_id = request.app[SERVICE], id_of(request, "run_id")
    run = service.queue.run(run_id) or await service.store.run(run_id)
    run = run or await service.portfolios.run(run_id)
    if run is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"There is no such run; {address('/v1/runs')} lists those there are.",
        )
    return run


async def _file(
    request: web.Request, name: str, content: str, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    run = await run_of(request)
    path = await _stored_file(request, run, name)
    return web.FileResponse(path, headers={"Content-Type": content, **(headers or {})})


async def _stored_file(request: web.Request, run: StoredRun, name: str) -> Path:
    # The id comes from the store, and is 32 hexadecimal digits.
    path = request.app[SERVICE].out / run.id / name
    if not await asyncio.to_thread(path.is_file):
        raise _not_there(run, name)
    return path


def _not_there(run: StoredRun, what: str) -> Problem:
    if run.state.final:
        return Problem(
            HTTPStatus.NOT_FOUND,
            f"Run {run.id} is {run.state} and left no {what}; "
            f"GET {address(f'/v1/runs/{run.id}')} says why.",
        )
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"Run {run.id} is {run.state}; its {what} comes at its end: follow its events.",
        state=run.state,
    )


_RUN = "/v1/runs/{run_id}"
_QUEUED = ApiAnswer((RunDocument,), headers=("Location",))

OPERATIONS = (
    Operation(
        "POST",
        "/v1/runs",
        start_run,
        {
            HTTPStatus.ACCEPTED: replace(_QUEUED, what="It is queued."),
            HTTPStatus.OK: replace(_QUEUED, what="It was queued before."),
        },
        body=RunRequest,
        headers={
            IDEMPOTENCY_KEY: "The same key with the same request starts one run only.",
            "traceparent": "The caller's span, as W3C Trace Context writes it.",
        },
        fails=(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_TIMEOUT),
    ),
    Operation("GET", "/v1/runs", list_runs, ok(RunList), query=RunsQuery),
    Operation("GET", _RUN, get_run, ok(RunDocument)),
    Operation("POST", f"{_RUN}/cancel", cancel_run, ok(RunDocument), fails=(HTTPStatus.CONFLICT,)),
    Operation(
        "GET",
        f"{_RUN}/events",
        follow_run,
        {
            HTTPStatus.OK: ApiAnswer(RUN_EVENTS, EVENT_STREAM),
            HTTPStatus.NO_CONTENT: ApiAnswer(what="The run is over, and that event was its last."),
        },
        query=EventsQuery,
        headers={"Last-Event-ID": "The number of the last event that was seen."},
    ),
    Operation("GET", f"{_RUN}/decision", get_decision, ok(Decision)),
    Operation("GET", f"{_RUN}/report", get_report, ok(content="text/markdown")),
    Operation("GET", f"{_RUN}/{CHART}", get_chart, ok(content=SVG)),
    Operation("GET", f"{_RUN}/trace", get_trace, ok(content="application/x-ndjson")),
    Operation("GET", f"{_RUN}/verdict", get_verdict, ok(VerdictJson)),
    Operation("GET", f"{_RUN}/diagnosis", get_diagnosis, DIAGNOSIS, query=DiagnosisQuery),
)
