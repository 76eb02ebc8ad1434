"""The API of portfolios: start, list and cancel them, and read how far they are."""

import asyncio
import hashlib
import re
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from trading_graph.otel.report.documents.document import encode
from trading_graph.service.portfolio.engine import PortfolioState, PortfolioStatus
from trading_graph.service.portfolio.results.ranking_document import RankingJson
from trading_graph.service.portfolio.results.report import CSV, JSON, MARKDOWN, PAGE
from trading_graph.service.run.folder import REPORT
from trading_graph.service.server.api_documents import Identifier, PageQuery, Query
from trading_graph.service.server.audit import AuditAction, write_audit_line
from trading_graph.service.server.base_path import address
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import body_of, id_of, query_of
from trading_graph.service.server.openapi import ApiAnswer, Operation, ok
from trading_graph.service.server.portfolio_documents import PortfolioListJson, ServedPortfolioJson
from trading_graph.service.server.portfolio_request import (
    PORTFOLIO_REQUEST,
    PortfolioRequest,
    PortfolioWords,
)
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.runs_api import IDEMPOTENCY_KEY, REPORT_POLICY, key_of

_FINAL = (PortfolioState.OVER, PortfolioState.CANCELLED)


class ReportQuery(Query):
    """How a report is written."""

    format: Literal["json", "html", "csv", "markdown"] = "json"


class PortfoliosQuery(PageQuery):
    """Which portfolios to list."""

    before: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


async def start_portfolio(request: web.Request) -> web.Response:
    """Start a portfolio, or go on with the one of the same request or idempotency key."""
    words = await body_of(request, PORTFOLIO_REQUEST)
    portfolio_id, is_queued = await queue_portfolio(request, words, key_of(request))
    status = HTTPStatus.ACCEPTED if is_queued else HTTPStatus.OK
    return await _answer(request, portfolio_id, status)


async def queue_portfolio(
    request: web.Request, words: PortfolioWords, key: str | None
) -> tuple[str, bool]:
    """Queue a request; returns the portfolio's id, and whether it was queued by this.

    Raises Problem or PortfolioError if that fails now, BadRequestError if it always will.
    """
    portfolios = request.app[SERVICE].portfolios
    try:
        portfolio_id, is_queued = await portfolios.queue.submit(
            lambda: portfolios.orders.order(words),
            _digest(words.model_dump_json()),
            # A digest: keys are text of clients, and are only compared.
            None if key is None else _digest(key),
        )
    except OSError as error:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"The portfolio cannot be written to {portfolios.settings.portfolios}: "
            f"{error.strerror or error}; mend that and ask again.",
        ) from error
    if is_queued:
        write_audit_line(request, AuditAction.START_PORTFOLIO, portfolio_id)
    return portfolio_id, is_queued


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def list_portfolios(request: web.Request) -> web.Response:
    """List portfolios, newest first, those of other processes too."""
    query = query_of(request, PortfoliosQuery)
    document = await request.app[SERVICE].portfolios.page(query.before, query.limit)
    return web.json_response(text=encode(document))


async def get_portfolio(request: web.Request) -> web.Response:
    """One portfolio: how far each of its ticker-days is, what that cost, and how long it takes."""
    return await _answer(request, id_of(request, "portfolio_id"), HTTPStatus.OK)


async def cancel_portfolio(request: web.Request) -> web.Response:
    """Cancel a portfolio, also that of another process; one that is over stays as it is."""
    status = await portfolio_of(request)
    await cancel(request, status)
    return await _answer(request, status.order.id, HTTPStatus.OK)


async def cancel(request: web.Request, status: PortfolioStatus) -> None:
    """Cancel a portfolio that is not over; raises Problem or PortfolioError."""
    if status.state not in _FINAL:
        write_audit_line(request, AuditAction.CANCEL_PORTFOLIO, status.order.id)
        await request.app[SERVICE].portfolios.queue.cancel(status.order.id)


async def get_portfolio_report(request: web.Request) -> web.Response:
    """The report of a portfolio: its ranking, orders and back-test."""
    query, status = query_of(request, ReportQuery), await portfolio_of(request)
    name, content = _FORMATS[query.format]
    try:
        body = await asyncio.to_thread((status.folder / name).read_bytes)
    except FileNotFoundError:
        raise _no_report(request, status) from None
    headers = {"Content-Type": content}
    if query.format == "html":
        body = _RUN_LINK.sub(rb'href="%s\1"' % address("/runs/").encode(), body)
        headers["Content-Security-Policy"] = REPORT_POLICY
    return web.Response(body=body, headers=headers)


_FORMATS = {
    "json": (JSON, "application/json"),
    "html": (PAGE, "text/html; charset=utf-8"),
    "csv": (CSV, "text/csv; charset=utf-8"),
    "markdown": (MARKDOWN, "text/markdown; charset=utf-8"),
}
_RUN_LINK = re.compile(rb'href="[^"]*/([0-9a-f]{32})/%s"' % re.escape(REPORT).encode())
"""How the page in the folder leads to the report of a run, beside it on the disk."""


def _no_report(request: web.Request, status: PortfolioStatus) -> Problem:
    portfolio_id = status.order.id
    if status.is_live or request.app[SERVICE].portfolios.is_here(portfolio_id):
        return Problem(
            HTTPStatus.NOT_FOUND,
            f"The portfolio {portfolio_id} is not over; its report comes at its end: look at it "
            "then.",
        )
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"The portfolio {portfolio_id} is {status.state} and has no report; write one with: "
        f"trading-graph portfolio report {portfolio_id}",
    )


async def portfolio_of(request: web.Request) -> PortfolioStatus:
    """The portfolio that the path names; raises Problem, PortfolioError or OSError."""
    status = await request.app[SERVICE].portfolios.status(id_of(request, "portfolio_id"))
    if status is None:
        raise _missing()
    return status


async def _answer(request: web.Request, portfolio_id: str, status: HTTPStatus) -> web.Response:
    document = await request.app[SERVICE].portfolios.document(portfolio_id)
    if document is None:
        raise _missing()
    headers = {"Location": document.links.self} if request.path == _PORTFOLIOS else {}
    text = await asyncio.to_thread(encode, document)
    return web.json_response(text=text, status=status, headers=headers)


def _missing() -> Problem:
    return Problem(
        HTTPStatus.NOT_FOUND,
        f"There is no such portfolio; {address(_PORTFOLIOS)} lists those there are.",
    )


_PORTFOLIOS = "/v1/portfolios"
_PORTFOLIO = f"{_PORTFOLIOS}/{{portfolio_id}}"
_QUEUED = ApiAnswer((ServedPortfolioJson,), headers=("Location",))
_DAMAGED = (HTTPStatus.CONFLICT,)
"""What the files of a portfolio that cannot be read, or the lock of another process, answer."""

OPERATIONS = (
    Operation(
        "POST",
        _PORTFOLIOS,
        start_portfolio,
        {
            HTTPStatus.ACCEPTED: replace(_QUEUED, what="It is queued."),
            HTTPStatus.OK: replace(_QUEUED, what="It is there already, under way or over."),
        },
        body=PortfolioRequest,
        headers={IDEMPOTENCY_KEY: "The same key with the same request starts one portfolio only."},
        fails=(HTTPStatus.CONFLICT,),
    ),
    Operation("GET", _PORTFOLIOS, list_portfolios, ok(PortfolioListJson), query=PortfoliosQuery),
    Operation("GET", _PORTFOLIO, get_portfolio, ok(ServedPortfolioJson), fails=_DAMAGED),
    Operation(
        "POST", f"{_PORTFOLIO}/cancel", cancel_portfolio, ok(ServedPortfolioJson), fails=_DAMAGED
    ),
    Operation(
        "GET",
        f"{_PORTFOLIO}/report",
        get_portfolio_report,
        ok(RankingJson, other=("text/html", "text/csv", "text/markdown")),
        query=ReportQuery,
        fails=_DAMAGED,
    ),
)
