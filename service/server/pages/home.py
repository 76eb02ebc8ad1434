"""The page at `/`: the form that starts a run, what runs and what ran, and other traces.

Its box leads to a trace: one of an id, or one in a file.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from trading_graph.graph.errors import BadHoldingsError, BadLanguageError
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.api_documents import RUN_REQUEST
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.inputs import FORM, first, form_of, query_of, save_parts
from trading_graph.service.server.openapi import ID
from trading_graph.service.server.pages.durations_chart import MOST_RUNS, JudgedRun, history
from trading_graph.service.server.pages.forms import FormField, FormSchema, Input
from trading_graph.service.server.pages.layout import page, see_other
from trading_graph.service.server.pages.run_progress import RunProgress, now_doing, read_progress
from trading_graph.service.server.pages.work_list import OWN_SERVICE, WorkQuery, duration_of, row_of
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.run_queue import IdempotencyConflictError
from trading_graph.service.server.runs_api import events_of, queue_run
from trading_graph.service.server.traces_api import trace_word
from trading_graph.service.store import RunState, StoredRun, now
from trading_graph.toolkit.errors import BadDateError, BadRequestError

RUN_FORM = FormSchema(RUN_REQUEST)


def read_request(form: Mapping[str, Sequence[str]]) -> RunRequest | Input:
    """The request that a form makes, or the form as it was typed with what is wrong."""
    return RUN_FORM.read(form)


@dataclass(frozen=True, slots=True)
class StartForm:
    """The form that starts a run, with what was typed before; `changed` says that an option was.

    A form that is sent twice has one `key`, and starts one run.
    """

    fields: Mapping[str, FormField]
    error: str
    changed: bool
    default_date: str
    key: str


def start_form(typed: Input, default_date: str) -> StartForm:
    """The form as a page shows it: a field that was not filled in has its default."""
    return StartForm(
        fields=RUN_FORM.fields(typed),
        error=typed.errors.get("", ""),
        # Whoever corrects the form sees the options that were changed.
        changed=RUN_FORM.is_changed(typed, but=("symbol", "date")),
        default_date=default_date,
        key=secrets.token_urlsafe(16),
    )


_NOTHING_TYPED = Input()
_FIELD_OF = {BadDateError: "date", BadHoldingsError: "holdings", BadLanguageError: "language"}
_ROWS, _LIVE, _SERVICES = 25, 20, 200
_HEALTH_S = 60.0
"""A page is not held up by a check: where somebody follows the feed, a report is younger."""


async def show(request: web.Request) -> web.Response:
    """The page."""
    return await home_page(request, Input())


async def start(request: web.Request) -> web.Response:
    """Start a run from the form, and go to its page; or show the form with what is wrong."""
    form = await form_of(request)
    run_request = read_request(form)
    if isinstance(run_request, Input):
        return await home_page(request, run_request, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        run = await _queue(request, run_request, first(form, "key"))
    except BadRequestError as error:
        fields = Input(form, {_FIELD_OF.get(type(error), "symbol"): str(error)})
        return await home_page(request, fields, HTTPStatus.UNPROCESSABLE_ENTITY)
    except Problem as problem:
        response = await home_page(request, Input(form, {"": problem.detail}), problem.status)
        response.headers.update(problem.headers)
        return response
    return see_other(f"/runs/{run.id}")


async def start_again(request: web.Request) -> web.Response:
    """Start a run with the request of another, and go to its page; raises Problem."""
    form = await form_of(request)
    run = await request.app[SERVICE].store.run(first(form, "run"))
    if run is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such run any more; load the list again.")
    again = await _queue(request, run.request, f"{run.id}-{first(form, 'key')}")
    return see_other(f"/runs/{again.id}")


async def _queue(request: web.Request, run_request: RunRequest, key: str) -> StoredRun:
    try:
        run, _ = await queue_run(request, run_request, key[:200] or None)
    except IdempotencyConflictError:
        # Somebody went back to the form and asked for something else with it.
        run, _ = await queue_run(request, run_request)
    return run


async def home_page(
    request: web.Request,
    fields: Input,
    status: HTTPStatus = HTTPStatus.OK,
    trace_fields: Input = _NOTHING_TYPED,
) -> web.Response:
    """The page with its two forms as they were typed: a run's, and that of a trace to look at."""
    service = request.app[SERVICE]
    store, announced = service.store, service.choice.announcement
    query = query_of(request, WorkQuery) if request.method == "GET" else WorkQuery()
    work = await store.work(query.filter, before=query.before, after=query.after, limit=_ROWS)
    live = await store.runs(states=(RunState.RUNNING, RunState.QUEUED), limit=None)
    running = [run for run in live if run.state is RunState.RUNNING]
    waiting = [run for run in live if run.state is RunState.QUEUED]
    first_live = [*reversed(running), *reversed(waiting)][:_LIVE]
    rows = [row_of(each) for each in work.entries]
    return page(
        request,
        "home.html",
        "Runs",
        status=status,
        announced=f"{announced[:1].upper()}{announced[1:]}",
        form=start_form(fields, service.default_date),
        trace_id=first(trace_fields.values, "id"),
        trace_errors=trace_fields.errors,
        count=f"{len(running)} running, {len(waiting)} waiting." if live else "Nothing runs now.",
        growing=service.receiver.growing.documents()[:_LIVE],
        live=[await _live_run(service, run) for run in first_live],
        history=history(await _durations(service)),
        query=query,
        rows=rows,
        newer=query.page(after=rows[0].id) if work.newer and rows else None,
        older=query.page(before=rows[-1].id) if work.older and rows else None,
        services=[OWN_SERVICE, *await store.services(_SERVICES)],
        now=now(),
        health=await service.health.report(_HEALTH_S),
        key=secrets.token_urlsafe(16),
    )


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that waits, or goes on and has made some progress."""

    run: StoredRun
    progress: RunProgress | None = None
    doing: str = "In line."
    since: float | None = None


async def _live_run(service: ServiceContext, run: StoredRun) -> LiveRun:
    if run.state is not RunState.RUNNING:
        return LiveRun(run)
    progress = read_progress(run.request, (await events_of(service, run)).told)
    return LiveRun(run, progress, now_doing(progress), run.started or run.created)


async def _durations(service: ServiceContext) -> list[JudgedRun]:
    done = await service.store.runs(states=(RunState.DONE,), limit=MOST_RUNS)
    verdicts = await service.store.verdicts_of([run.id for run in done])
    return [
        JudgedRun(
            f"/runs/{run.id}", duration_of(run.title, run.seconds, verdicts.get(run.id)), run.passed
        )
        for run in reversed(done)
        if run.seconds is not None
    ]


_ID, _FILE = "id", "file"
_LONGEST = 200


class _FieldProblem(Problem):
    """What is wrong with a field, or with the whole form where it is empty; `id` was typed."""

    def __init__(self, field: str, id: str, detail: str, problem: Problem | None = None) -> None:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem is None else problem.status
        super().__init__(status, detail, headers={} if problem is None else problem.headers)
        self.field = field
        self.id = id


async def look_at_trace(request: web.Request) -> web.Response:
    """Go to the page of the trace that the form names or brings, or say what is wrong with it."""
    if request.content_type != FORM:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    try:
        return see_other(f"/traces/{await _trace_of(request)}")
    except _FieldProblem as problem:
        typed = Input({_ID: [problem.id]}, {problem.field: problem.detail})
        response = await home_page(request, Input(), problem.status, typed)
        response.headers.update(problem.headers)
        return response


async def _trace_of(request: web.Request) -> str:
    """The id of the trace's page; raises _FieldProblem."""
    service, id = request.app[SERVICE], ""
    try:
        async with service.judging.place() as folder:
            parts = await save_parts(request, folder, (_ID, _FILE))
            id = await _typed(folder, parts[_ID])
            # A browser says whether a file was chosen, also of one that is empty.
            file = folder / parts[_FILE][0] if parts[_FILE] else None
            if file is None:
                return await _known(service, id)
            if id:
                raise _FieldProblem("", id, "Give an id or a file, not both.")
            if not (await asyncio.to_thread(file.stat)).st_size:
                raise _FieldProblem(_FILE, id, "The file is empty; choose one with a trace.")
            upload = await service.uploads.keep(file)
    except _FieldProblem:
        raise
    except Problem as problem:
        raise _FieldProblem("", id, problem.detail, problem) from None
    word = await trace_word(service, upload)
    try:
        # A file that is no trace is refused here, and not kept.
        await service.views.view(word)
    except Problem as problem:
        await service.uploads.forget(upload)
        detail = problem.detail.replace(word, "The file")
        raise _FieldProblem(_FILE, id, detail, problem) from None
    return upload


async def _typed(folder: Path, names: list[str]) -> str:
    """The id as it was typed, without spaces around it."""
    if not names:
        return ""
    text = await asyncio.to_thread((folder / names[0]).read_bytes)
    return text[:_LONGEST].decode(errors="replace").strip()


async def _known(service: ServiceContext, typed: str) -> str:
    """The id, as traces have it, of a run or trace that there is; raises _FieldProblem."""
    if not typed:
        raise _FieldProblem(_ID, typed, "Paste the id of a trace, or choose a file with one.")
    id = typed.replace("-", "").lower()
    if not re.fullmatch(ID, id):
        raise _FieldProblem(
            _ID,
            typed,
            "The id of a trace is 32 hexadecimal digits; paste it whole, with or without dashes.",
        )
    if await service.store.run(id) is None and await service.store.verdict(id) is None:
        try:
            await trace_word(service, id)
        except Problem as problem:
            raise _FieldProblem(_ID, typed, problem.detail, problem) from None
    return id
