"""The page of one run: how it goes, what it decided, what its verdict says, and where to go on."""

import asyncio

from aiohttp import web

from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.pages.decision_view import (
    Left,
    decision_section,
    left_in,
    reports_section,
)
from trading_graph.service.server.pages.history_chart import Took, took
from trading_graph.service.server.pages.layout import figure, links_of, page, see_other
from trading_graph.service.server.pages.run_progress import LLM, TOOL, Progress, now_doing, progress
from trading_graph.service.server.pages.run_waterfall import as_table, waterfall
from trading_graph.service.server.pages.runs_table import marks, state_badge
from trading_graph.service.server.pages.verdict_view import in_short, outcome, verdict_section
from trading_graph.service.server.runs_api import run_of
from trading_graph.service.store import RunState, StoredRun, StoredVerdict, now

_RELOAD_S = 3


async def show(request: web.Request) -> web.Response:
    """The page of a run, in whatever state it is."""
    run, service = await run_of(request), request.app[SERVICE]
    events = await service.store.events(run.id)
    asked = RunRequest.model_validate_json(run.request)
    found = progress(asked, events, run.ended if run.state.final else None)
    if run.state.final:
        kept = await service.store.verdict(run.id)
        # Reports are long, and rendering them would hold the loop that runs live on.
        left = await asyncio.to_thread(left_in, service.out / run.id)
        body = _over(service, run, found, kept, left)
    else:
        body = _going_on(run, found)
    title = f"{run.symbol} as of {run.date}"
    return page(request, title, body, reload_s=None if run.state.final else _RELOAD_S)


async def cancel(request: web.Request) -> web.Response:
    """Cancel a run, and show what became of it."""
    run = await run_of(request)
    if not run.state.final:
        await request.app[SERVICE].queue.cancel(run.id)
    return see_other(f"/runs/{run.id}")


def _going_on(run: StoredRun, found: Progress) -> Markup:
    at, begin = now(), None if run.started is None else run.started + found.dead_s
    doing = now_doing(found) if begin is not None else "In line: other runs are made first."
    spent = 0.0 if begin is None else at - begin
    figures = [
        figure("elapsed", f"{spent:.1f} s", "of 120 s at most", data_figure="elapsed"),
        figure("LLM calls", str(len(found.of(LLM))), data_figure="llm"),
        figure("tool calls", str(len(found.of(TOOL))), data_figure="tool"),
        figure("tokens", f"{found.tokens:,}", data_figure="tokens"),
    ]
    button = element("button", "Cancel the run", type="submit", class_="danger")
    header = element(
        "header",
        _title(run),
        element("p", state_badge(run), " ", marks(run), class_="headline"),
        element("dl", joined(figures), class_="figures"),
        element("form", button, method="post", action=f"/runs/{run.id}/cancel"),
        element(
            "noscript",
            element("p", f"This page loads again every {_RELOAD_S} seconds.", class_="lead"),
        ),
    )
    chart = section(
        "Who works on what",
        # The eye follows every change, and a screen reader hears one a second at most.
        element("p", doing, class_="doing", aria_hidden="true", data_doing=True),
        element("p", doing, class_="heard", role="status", data_heard=True),
        waterfall(found, begin, at, follow=f"/v1/runs/{run.id}/events"),
        class_="waterfall",
    )
    return joined([header, chart])


def _over(
    service: ServiceContext,
    run: StoredRun,
    found: Progress,
    kept: StoredVerdict | None,
    left: Left,
) -> Markup:
    begin = (run.started or run.created) + found.dead_s
    # The run's own end: afterwards its verdict was made.
    end = begin + run.seconds if run.seconds is not None else run.ended or begin
    end = max([end, *(work.end or end for lane in found.lanes for work in lane.work)])
    worked = any(lane.work for lane in found.lanes)
    parts = [_header(service, run, kept)]
    if left.decision is not None:
        parts.append(decision_section(left.decision))
    if kept is not None:
        parts.append(verdict_section(kept.document))
    if worked:
        parts.append(
            section(
                "Who worked on what",
                waterfall(found, begin, end),
                as_table(found, begin),
                note="A lane an agent; tool calls that ran at once lie below one another.",
                class_="waterfall",
            )
        )
    parts.append(reports_section(left))
    return joined(parts)


def _header(service: ServiceContext, run: StoredRun, kept: StoredVerdict | None) -> Markup:
    figures = []
    if run.action is not None:
        confidence = "" if run.confidence is None else f"confidence {run.confidence:.2f}"
        figures.append(figure("decision", run.action, confidence, kind=run.action.lower()))
    if run.seconds is not None:
        spent = took(run.symbol, run.seconds, run.passed, kept.document if kept else None)
        figures.append(figure("took", f"{run.seconds:.2f} s", _of_limit(spent)))
    if run.state is RunState.DONE:
        word, kind = outcome(run.passed)
        note = in_short(kept.document) if kept and run.passed is not None else ""
        figures.append(figure("verdict", word, note, kind=f"verdict-{kind}"))
    return element(
        "header",
        _title(run),
        element("p", state_badge(run), " ", marks(run), class_="headline"),
        *([element("p", run.error, class_="error")] if run.error else []),
        *([element("dl", joined(figures), class_="figures")] if figures else []),
        _links(service, run, kept is not None),
    )


def _of_limit(found: Took) -> str:
    if found.projected_s is None or found.call_s is None:
        return "of 120 s at most"
    return f"simulated; {found.projected_s:.0f} of 120 s at {found.call_s:g} s a call"


def _links(service: ServiceContext, run: StoredRun, judged: bool) -> Markup:
    api, done = f"/v1/runs/{run.id}", run.state is RunState.DONE
    jaeger = service.settings.shown_jaeger
    return links_of(
        {
            "Diagnosis": f"{api}/diagnosis?format=html" if judged else None,
            "Verdict, JSON": f"{api}/verdict" if judged else None,
            "Decision, JSON": f"{api}/decision" if done else None,
            "Report, Markdown": f"{api}/report" if done else None,
            "Trace, OTLP JSON": f"{api}/trace" if run.started else None,
            "Jaeger": f"{jaeger}/trace/{run.trace_id}" if run.started else None,
            "LangSmith": run.langsmith,
        }
    )


def _title(run: StoredRun) -> Markup:
    return joined(
        [
            element("p", "Analysis", class_="kicker"),
            element("h1", f"{run.symbol} as of {run.date}"),
        ]
    )
