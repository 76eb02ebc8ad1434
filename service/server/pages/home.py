"""The page at `/`: start a run, see what runs now, what ran, how long it took, and other traces."""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.documents import RunsQuery
from trading_graph.service.server.inputs import query_of
from trading_graph.service.server.pages.forms import first, form_of
from trading_graph.service.server.pages.history_chart import history, took
from trading_graph.service.server.pages.layout import badge, link, moment, page, see_other
from trading_graph.service.server.pages.run_progress import AGENT, now_doing, progress
from trading_graph.service.server.pages.runs_table import runs_table, state_badge
from trading_graph.service.server.pages.start_form import Typed, read, start_form
from trading_graph.service.server.pages.verdict_view import outcome
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.runs_api import queue_run as queued
from trading_graph.service.store import RunState, StoredRun, StoredVerdict, now
from trading_graph.toolkit.errors import BadDate, BadRequest

_RUNS, _HISTORY, _OTHERS, _LIVE = 25, 60, 10, 20
_OVER = (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


async def show(request: web.Request) -> web.Response:
    """The page."""
    return await _home(request, Typed())


async def start(request: web.Request) -> web.Response:
    """Start a run from the form, and go to its page; or show the form with what is wrong."""
    form = await form_of(request)
    asked = read(form)
    if isinstance(asked, Typed):
        return await _home(request, asked, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        run = await _queued(request, asked, first(form, "key"))
    except BadRequest as error:
        wrong = "date" if isinstance(error, BadDate) else "symbol"
        typed = Typed(form, {wrong: str(error)})
        return await _home(request, typed, HTTPStatus.UNPROCESSABLE_ENTITY)
    except Problem as problem:
        response = await _home(request, Typed(form, {"": problem.detail}), problem.status)
        response.headers.update(problem.headers)
        return response
    return see_other(f"/runs/{run.id}")


async def _queued(request: web.Request, asked: RunRequest, key: str) -> StoredRun:
    try:
        run, _ = await queued(request, asked, key[:200] or None)
    except Problem as problem:
        if problem.status is not HTTPStatus.CONFLICT:
            raise
        # Somebody went back to the form and asked for something else with it.
        run, _ = await queued(request, asked)
    return run


async def _home(
    request: web.Request, typed: Typed, status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    service = request.app[SERVICE]
    before = query_of(request, RunsQuery).before if request.method == "GET" else None
    live = await service.store.runs(states=(RunState.RUNNING, RunState.QUEUED), limit=-1)
    over = await service.store.runs(states=_OVER, before=before, limit=_RUNS + 1)
    done = await service.store.runs(states=(RunState.DONE,), limit=_HISTORY)
    others = await service.store.verdicts(of_runs=False, limit=_OTHERS)
    body = joined(
        [
            element(
                "header",
                element("h1", "Analyse a symbol"),
                element(
                    "p",
                    "Agents work on it at the same time, and the run's own trace has to prove it. "
                    f"{service.announced[:1].upper()}{service.announced[1:]}.",
                    class_="lead",
                ),
                start_form(typed, service.default_date),
            ),
            await _now(service, live),
            element("div", await _history(service, done), data_fresh="history"),
            _ran(over),
            _others(others),
        ]
    )
    return page(request, "Runs", body, status=status)


async def _now(service: ServiceContext, live: Sequence[StoredRun]) -> Markup:
    running = [run for run in live if run.state is RunState.RUNNING]
    waiting = [run for run in live if run.state is RunState.QUEUED]
    counted = f"{len(running)} running, {len(waiting)} waiting." if live else "Nothing runs now."
    shown = [*reversed(running), *reversed(waiting)][:_LIVE]
    items = [await _going_on(service, run) for run in shown]
    return section(
        "Now",
        element("p", counted, class_="lead", role="status", data_fresh="counted"),
        # Not by itself: that would empty a form that somebody is filling in.
        element("noscript", element("p", link("Load again", "/"), " to see how they go.")),
        element(
            "div",
            *([element("ul", joined(items), class_="live-runs")] if items else []),
            data_fresh="now",
            data_live=True,
        ),
    )


async def _going_on(service: ServiceContext, run: StoredRun) -> Markup:
    doing, bar = "In line.", Markup("")
    spent = ""
    if run.state is RunState.RUNNING:
        found = progress(
            RunRequest.model_validate_json(run.request), await service.store.events(run.id)
        )
        ended = sum(lane.seconds is not None for lane in found.lanes)
        started = sum(bool(lane.of(AGENT)) for lane in found.lanes)
        doing = now_doing(found)
        bar = element(
            "progress",
            f"{ended} of {len(found.lanes)}",
            value=ended + (started - ended) / 2,
            max=len(found.lanes),
            aria_label=f"{ended} of {len(found.lanes)} agents have ended",
        )
        spent = f"{now() - (run.started or run.created):.0f} s"
    return element(
        "li",
        element(
            "div",
            link(run.symbol, f"/runs/{run.id}", class_="symbol"),
            element("span", f" as of {run.date} ", class_="note"),
            state_badge(run),
            element("span", spent, class_="took"),
            class_="head",
        ),
        bar,
        element("p", doing, class_="doing"),
    )


async def _history(service: ServiceContext, done: Sequence[StoredRun]) -> Markup:
    columns = []
    for run in reversed(done):
        if run.seconds is not None:
            kept = await service.store.verdict(run.id)
            said = None if kept is None else kept.document
            columns.append(took(f"{run.symbol} as of {run.date}", run.seconds, run.passed, said))
    return history(columns)


def _ran(over: Sequence[StoredRun]) -> Markup:
    shown = over[:_RUNS]
    parts = [runs_table(shown)] if shown else [element("p", "No run has ended yet.")]
    if len(over) > len(shown):
        older = link("Older runs", f"/?before={shown[-1].id}#runs")
        parts.append(element("p", older, class_="links"))
    return element("div", section("Runs", *parts), id="runs", data_fresh="runs")


def _others(verdicts: Sequence[StoredVerdict]) -> Markup:
    if not verdicts:
        return element("div", data_fresh="others")
    head = (("Trace", ""), ("Service", ""), ("Started, UTC", "wide"), ("Seconds", ""))
    names = [
        element("th", name, scope="col", class_=wide or None)
        for name, wide in (*head, ("Verdict", ""))
    ]
    table = element(
        "table",
        element("thead", element("tr", joined(names))),
        element("tbody", joined(_other(each) for each in verdicts)),
        class_="runs",
    )
    return element("div", section("Traces of other services", table), data_fresh="others")


def _other(verdict: StoredVerdict) -> Markup:
    seconds = "" if verdict.seconds is None else f"{verdict.seconds:.1f}"
    return element(
        "tr",
        element("th", link(verdict.name, f"/traces/{verdict.id}", class_="symbol"), scope="row"),
        element("td", verdict.service),
        element("td", moment(verdict.started), class_="wide"),
        element("td", seconds),
        element("td", badge(*outcome(verdict.passed))),
    )
