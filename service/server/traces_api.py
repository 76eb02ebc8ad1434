"""The API of traces: verdicts, diagnoses and comparisons, by id or of uploads."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from pydantic import TypeAdapter

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.comparison import ComparisonJson, NoComparisonJson
from trading_graph.otel.report.documents.span_details import SpanDetailsJson
from trading_graph.otel.report.documents.trace_view import TraceViewJson, WhatIfJson
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.run.folder import TRACE
from trading_graph.service.server.api_documents import (
    ComparisonQuery,
    ComparisonRequest,
    DiagnosisQuery,
    UploadedDiagnosisQuery,
    UploadQuery,
    VerdictList,
    VerdictsQuery,
    WhatIfQuery,
    verdict_summary,
)
from trading_graph.service.server.base_path import address
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.inputs import (
    FORM,
    UPLOADS,
    body_of,
    id_of,
    query_of,
    save_body,
    save_parts,
)
from trading_graph.service.server.openapi import ApiAnswer, Operation, ok
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.runs_api import DIAGNOSIS, diagnosis_response
from trading_graph.service.server.trace_views import KeptView
from trading_graph.service.store import StoredRun

_UPLOAD = "upload"
"""The file of an upload, in a folder of its own; error messages name it."""
_COMPARISON = TypeAdapter(ComparisonRequest)
_SIDES = ("base", "new")
_LINES = "application/x-ndjson"
_VERIFY = ("verify", "--format=json")


async def list_verdicts(request: web.Request) -> VerdictList:
    """List the verdicts that are kept, the newest trace first."""
    service, query = request.app[SERVICE], query_of(request, VerdictsQuery)
    verdicts = await service.store.verdicts(
        service=query.service, before=query.before, limit=query.limit + 1
    )
    page = verdicts[: query.limit]
    return VerdictList(
        verdicts=[verdict_summary(service, each) for each in page],
        next=page[-1].id if len(verdicts) > len(page) else None,
    )


async def get_trace_verdict(request: web.Request) -> web.Response:
    """The verdict on a trace or run, by its id: the stored one, else one that is made now."""
    service, trace_id = request.app[SERVICE], id_of(request, "trace_id")
    stored = await service.store.verdict(trace_id)
    if stored is None and (run := await _run(service, trace_id)) is not None:
        stored = await service.store.verdict(run.id)
    if stored is not None:
        return web.json_response(text=stored.document)
    word = await trace_word(service, trace_id)
    async with service.judging.place() as folder:
        judgement = await service.judging.command([*_VERIFY, "--", word], folder)
    return web.json_response(body=judgement.text)


async def get_trace_diagnosis(request: web.Request) -> web.Response:
    """Where the time of a trace went, and what each fix would gain, by its id."""
    service, query = request.app[SERVICE], query_of(request, DiagnosisQuery)
    trace_id = id_of(request, "trace_id")
    word = await trace_word(service, trace_id)
    async with service.judging.place() as folder:
        page = f"/traces/{trace_id}"
        return await diagnosis_response(service, ["--", word], query, folder, page)


async def get_trace_otlp(request: web.Request) -> web.StreamResponse:
    """The spans of a received trace or a run, as far as they have come: OTLP JSON lines."""
    service, trace_id = request.app[SERVICE], id_of(request, "trace_id")
    path = await trace_file(service, trace_id)
    if path is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"This service has no file of the trace {trace_id}: it has those of runs and of "
            "traces that it received.",
        )
    return web.FileResponse(path, headers={"Content-Type": _LINES})


async def get_trace_view(request: web.Request) -> web.Response:
    """All spans of a trace or run, by its id, and what is marked on them: a waterfall as data."""
    kept = await _view(request)
    return web.json_response(body=kept.json)


async def get_trace_span(request: web.Request) -> web.Response:
    """One span of a trace or run in all its details."""
    kept, span_id = await _view(request), request.match_info["span"]
    details = kept.span(span_id)
    if details is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "The trace has no span of this id; its view lists those that it has.",
        )
    return web.json_response(body=details)


async def get_trace_what_if(request: web.Request) -> web.Response:
    """A trace or run played again with the fixes of some of its findings."""
    service, query = request.app[SERVICE], query_of(request, WhatIfQuery)
    word = await trace_word(service, id_of(request, "trace_id"))
    numbers = [int(number) for number in query.findings.split(",")]
    return web.json_response(body=await service.views.what_if(word, numbers))


async def _view(request: web.Request) -> KeptView:
    service = request.app[SERVICE]
    return await service.views.view(await trace_word(service, id_of(request, "trace_id")))


async def judge_trace(request: web.Request) -> web.Response:
    """Judge a trace in any format that is read from a file, packed or not."""
    service, query = request.app[SERVICE], query_of(request, UploadQuery)
    async with service.judging.place() as folder:
        await save_body(request, folder / _UPLOAD)
        judgement = await service.judging.command(
            [*_VERIFY, *_options(query), "--", _UPLOAD], folder
        )
    return web.json_response(body=judgement.text)


async def diagnose_trace(request: web.Request) -> web.Response:
    """Say where the time of an uploaded trace went, and what each fix would gain."""
    service, query = request.app[SERVICE], query_of(request, UploadedDiagnosisQuery)
    async with service.judging.place() as folder:
        await save_body(request, folder / _UPLOAD)
        return await diagnosis_response(service, [*_options(query), "--", _UPLOAD], query, folder)


async def compare_traces(request: web.Request) -> web.Response:
    """Compare two traces or two sets: ids as JSON, or files as a form."""
    service, query = request.app[SERVICE], query_of(request, ComparisonQuery)
    if request.content_type != FORM:
        body = await body_of(request, _COMPARISON)
        answer = await compare_ids(service, body.base, body.new, query.tolerance)
        return web.json_response(body=answer)
    async with service.judging.place() as folder:
        files = await save_parts(request, folder, _SIDES)
        base, new = (files[side] for side in _SIDES)
        if not base or not new:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "A side of the comparison is empty; send a part base and a part new.",
            )
        judgement = await service.judging.command(_compare(base, new, query.tolerance), folder)
    return web.json_response(body=judgement.text)


async def compare_ids(
    service: ServiceContext, base: Sequence[str], new: Sequence[str], tolerance: float | None = None
) -> bytes:
    """The comparison of traces or runs by their ids, as JSON; raises Problem."""
    async with service.judging.place() as folder:
        before = [await trace_word(service, each) for each in base]
        after = [await trace_word(service, each) for each in new]
        return (await service.judging.command(_compare(before, after, tolerance), folder)).text


def _compare(base: Sequence[str], new: Sequence[str], tolerance: float | None) -> list[str]:
    """The words of the command that compares."""
    options = [] if tolerance is None else [f"--tolerance={tolerance}"]
    return ["compare", "--format=json", *options, *base, "--with", *new]


def _options(query: UploadQuery) -> list[str]:
    """The options of a command that say what of an upload is meant; its model checks the values."""
    return [
        *([f"--id={query.id}"] if query.id else []),
        *([f"--root={query.root}"] if query.root else []),
        *(["--forest"] if query.forest else []),
        *(["--join"] if query.join else []),
    ]


async def _run(service: ServiceContext, trace_id: str) -> StoredRun | None:
    """The run with an id, or the only run in a trace."""
    run = await service.store.run(trace_id)
    runs = [run] if run is not None else await service.store.runs_of_trace(trace_id)
    return runs[0] if len(runs) == 1 else None


async def trace_word(service: ServiceContext, trace_id: str) -> str:
    """The argument of a command for a trace: the file of a run of ours or of a received trace, else
    its id in Jaeger.

    Raises Problem if neither has it.
    """
    if (upload := service.uploads.path(trace_id)) is not None:
        return str(upload.absolute())
    if (path := await trace_file(service, trace_id)) is not None:
        return str(path)
    if not await asyncio.to_thread(_in_jaeger, service.settings.jaeger_url, trace_id):
        raise Problem(
            HTTPStatus.NOT_FOUND,
            f"Neither this service nor Jaeger at {service.settings.jaeger_url} has the trace "
            f"{trace_id}; upload it to {address('/v1/verdicts')} or {address('/v1/diagnoses')}.",
        )
    return trace_id


async def trace_file(service: ServiceContext, trace_id: str) -> Path | None:
    """The file of a run of ours, or of a received trace."""
    run = await _run(service, trace_id)
    # A run of a portfolio has a folder too, and is not in the store.
    path = service.out.absolute() / (trace_id if run is None else run.id) / TRACE
    if await asyncio.to_thread(path.is_file):
        return path
    return await service.receiver.find(trace_id)


def _in_jaeger(url: str, trace_id: str) -> bool:
    try:
        return JaegerQuery(url).has(trace_id)
    except TraceError as error:
        raise Problem(
            HTTPStatus.BAD_GATEWAY,
            f"This service has no trace {trace_id}, and could not look in Jaeger: "
            f"{str(error).rstrip('.')}; TRADING_GRAPH_JAEGER_URL says where it is.",
        ) from None


_TRACE = "/v1/traces/{trace_id}"
_JUDGED = {
    HTTPStatus.OK: ApiAnswer(
        (VerdictJson,), what="The verdict; complete=false says that there is none."
    )
}
_COMPARED = {
    HTTPStatus.OK: ApiAnswer(
        (ComparisonJson, NoComparisonJson), what="The comparison; a regression is passed=false."
    )
}
_UNJUDGED = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_GATEWAY)

OPERATIONS = (
    Operation("GET", "/v1/verdicts", list_verdicts, ok(VerdictList), query=VerdictsQuery),
    Operation("POST", "/v1/verdicts", judge_trace, _JUDGED, query=UploadQuery, uploads=UPLOADS),
    Operation(
        "POST",
        "/v1/diagnoses",
        diagnose_trace,
        DIAGNOSIS,
        query=UploadedDiagnosisQuery,
        uploads=UPLOADS,
    ),
    Operation(
        "POST",
        "/v1/comparisons",
        compare_traces,
        _COMPARED,
        query=ComparisonQuery,
        body=ComparisonRequest,
        parts=_SIDES,
        fails=(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY),
    ),
    Operation("GET", f"{_TRACE}/verdict", get_trace_verdict, _JUDGED, fails=_UNJUDGED),
    Operation(
        "GET",
        f"{_TRACE}/diagnosis",
        get_trace_diagnosis,
        DIAGNOSIS,
        query=DiagnosisQuery,
        fails=_UNJUDGED,
    ),
    Operation("GET", f"{_TRACE}/otlp", get_trace_otlp, ok(content=_LINES)),
    Operation("GET", f"{_TRACE}/view", get_trace_view, ok(TraceViewJson), fails=_UNJUDGED),
    Operation(
        "GET", f"{_TRACE}/spans/{{span}}", get_trace_span, ok(SpanDetailsJson), fails=_UNJUDGED
    ),
    Operation(
        "GET",
        f"{_TRACE}/what-if",
        get_trace_what_if,
        ok(WhatIfJson),
        query=WhatIfQuery,
        fails=_UNJUDGED,
    ),
)
