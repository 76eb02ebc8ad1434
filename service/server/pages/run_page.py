"""The page of one run: how it goes, what it decided, what its verdict says, and where to go on.

Reports are Markdown that models wrote: they become HTML from which nothing can be clicked or
loaded. Their headings are pushed down below those of the page; links and images stay as they were
typed, so that whoever reads sees where they would lead.
"""

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web
from markdown_it import MarkdownIt
from pydantic import ValidationError

from trading_graph.graph.decisions import Decision
from trading_graph.graph.options import ANALYSTS, DEBATERS, RISK_ANALYSTS
from trading_graph.graph.price_text import money_text
from trading_graph.service.portfolio.engine import PortfolioStatus
from trading_graph.service.run.folder import CHART, DECISION, REPORT
from trading_graph.service.run.source_table import SOURCE_HEAD, source_rows
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.pages.layout import page, see_other, spoken
from trading_graph.service.server.pages.run_progress import (
    RunProgress,
    now_doing,
    numbers_of,
    read_progress,
    waterfall,
)
from trading_graph.service.server.pages.trace_view import TraceSection, trace_section
from trading_graph.service.server.pages.verdict_page import (
    VerdictView,
    run_duration,
    verdict_view,
)
from trading_graph.service.server.runs_api import cancel as cancel_if_open
from trading_graph.service.server.runs_api import events_of, owner_of, run_of
from trading_graph.service.store import RunState, StoredRun, StoredVerdict, now

_RELOAD_S = 3
_MOST_BYTES = 2**20
_MOST_CHARACTERS = 400_000
_HIGHEST = 4
"""The level of the highest heading in a report: those of the page stand above."""
_INERT = ("link", "image", "autolink", "html_inline", "html_block", "reference")
_AGENTS = "|".join(spoken(each).capitalize() for each in (*ANALYSTS, *DEBATERS, *RISK_ANALYSTS))
_PIECE = re.compile(rf"^### ((?:{_AGENTS})(?:, round \d)?)$", re.MULTILINE)
_PART = re.compile(r"^## (?:Debate|Research plan|Trade proposal|Risk team|Sources)$", re.MULTILINE)
_LAST = re.compile(r"^Run [0-9a-f-]{32,36}, [\d.]+ s\.\s*\Z", re.MULTILINE)


async def show(request: web.Request) -> web.Response:
    """The page of a run, in whatever state it is."""
    run, service = await run_of(request), request.app[SERVICE]
    owner = await owner_of(request, run)
    if owner is not None and not run.state.final:
        return page(
            request, "run_waits.html", run.title, reload_s=_RELOAD_S, run=run, portfolio=owner
        )
    told = (await events_of(service, run)).told
    progress = read_progress(run.request, told, run.ended if run.state.final else None)
    if not run.state.final:
        return _show_live(request, run, progress)
    verdict = await service.store.verdict(run.id)
    # Reports are long, and rendering them would hold the loop that runs live on.
    results = await asyncio.to_thread(results_in, service.out / run.id)
    has_started = run.started is not None
    section = await trace_section(request, run.id) if has_started else TraceSection(run.id, None)
    return _show_over(request, run, progress, verdict, results, owner, section)


async def cancel(request: web.Request) -> web.Response:
    """Cancel a run, and show what became of it."""
    run = await run_of(request)
    if not run.state.final:
        await cancel_if_open(request, run)
    return see_other(f"/runs/{run.id}")


def _show_live(request: web.Request, run: StoredRun, progress: RunProgress) -> web.Response:
    at, begin = now(), None if run.started is None else run.started + progress.dead_s
    return page(
        request,
        "run_live.html",
        run.title,
        reload_s=_RELOAD_S,
        run=run,
        portfolio=None,
        elapsed=0.0 if begin is None else max(0.0, at - begin),
        progress=progress,
        doing="In line: other runs are made first." if begin is None else now_doing(progress),
        waterfall=waterfall(progress, begin, at, follow=f"/v1/runs/{run.id}/events"),
    )


def _show_over(
    request: web.Request,
    run: StoredRun,
    progress: RunProgress,
    stored: StoredVerdict | None,
    results: "Results",
    owner: PortfolioStatus | None,
    section: TraceSection,
) -> web.Response:
    begin = (run.started or run.created) + progress.dead_s
    verdict = None
    if stored is not None:
        verdict = verdict_view(stored.document, cancelled=run.state is RunState.CANCELLED)
    elif owner is not None and section.kept is not None:
        verdict = VerdictView.of(section.kept.verdict)  # nobody stores those of portfolios
    duration = None
    if run.seconds is not None:
        duration = run_duration(run.symbol, run.seconds, verdict)
    return page(
        request,
        "run.html",
        run.title,
        run=run,
        portfolio=owner,
        duration=duration,
        jaeger=request.app[SERVICE].jaeger_link(run.trace_id),
        decision=results.decision,
        levels=None if results.decision is None else levels_of(results.decision),
        chart=f"/v1/runs/{run.id}/{CHART}" if results.chart else None,
        source_head=SOURCE_HEAD,
        sources=[] if results.decision is None else source_rows(results.decision.sources),
        verdict=verdict,
        key=secrets.token_urlsafe(16),
        trace_view=section,
        numbers=numbers_of(progress, begin),
        reports=results.reports,
    )


@dataclass(frozen=True, slots=True)
class Levels:
    """Loss and gain to scale, on one line; `entry` is in per cent of it."""

    parts: Sequence[tuple[str, float, float]]
    entry: float
    label: str


def levels_of(decision: Decision) -> Levels | None:
    """The levels of a decision; None where it has not all of them, or its stop is its target."""
    final = decision.decision
    stop, entry, target = final.stop, final.entry, final.target
    if stop is None or entry is None or target is None:
        return None
    low, high = min(stop, target), max(stop, target)
    if high <= low:
        return None
    at = 100 * (entry - low) / (high - low)
    first, second = ("loss", "win") if stop < target else ("win", "loss")
    names = (("stop", stop), ("entry", entry), ("target", target))
    prices = ", ".join(f"{name} {money_text(price, decision.currency)}" for name, price in names)
    label = f"{final.action}: {prices}"
    return Levels(((first, 0.0, at), (second, at, 100.0 - at)), at, label)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one agent wrote or ruled, below its title; `html` where the text is Markdown."""

    title: str
    text: str
    html: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """What a run left in its folder: its decision, its reports, and whether there is a chart."""

    decision: Decision | None
    reports: Sequence[Piece]
    chart: bool


def results_in(folder: Path) -> Results:
    """Read what a run left. Blocks."""
    try:
        decision = Decision.model_validate_json(_read(folder / DECISION))
    except (OSError, ValidationError):
        decision = None
    try:
        report = _read(folder / REPORT).decode(errors="replace")
    except OSError:
        report = ""
    reports = [replace(each, html=as_html(each.text)) for each in pieces(report)]
    if decision is not None:
        # In the order of the run: the risk team speaks of the proposal.
        at = next((n for n, each in enumerate(reports) if "risk" in each.title), len(reports))
        reports[at:at] = _rulings(decision)
    return Results(decision, reports, (folder / CHART).is_file())


def _rulings(decision: Decision) -> list[Piece]:
    plan, trade = decision.plan, decision.proposal
    return [
        Piece(
            "Research manager: plan",
            f"{plan.action} with confidence {plan.confidence:.2f}. {plan.summary}",
        ),
        Piece(
            "Trader: proposal",
            f"{trade.terms(decision.currency)}. {trade.rationale}",
        ),
    ]


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def pieces(report: str) -> list[Piece]:
    """What each agent wrote; a report of another form is one piece."""
    report = report[:_MOST_CHARACTERS]
    _, *parts = _PIECE.split(report)
    if not parts:
        return [Piece("Report", report)] if report.strip() else []
    return [
        Piece(title, _LAST.sub("", _PART.split(text)[0]).strip())
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def as_html(text: str) -> str:
    """Markdown as HTML that is inert."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_INERT)
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{max(int(token.tag[1:]), _HIGHEST)}"
    # The renderer escapes text and attributes, and HTML in the source is text to the parser.
    return str(parser.renderer.render(tokens, parser.options, {}))
