"""The page at `/portfolios`: the form that starts a portfolio, and those there are."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from trading_graph.graph.chat.rate_limits import in_words
from trading_graph.graph.errors import BadHoldingsError, BadLanguageError
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioState
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import first, form_of, query_of
from trading_graph.service.server.pages.forms import FormField, FormSchema, Input
from trading_graph.service.server.pages.layout import page, see_other
from trading_graph.service.server.portfolio_documents import (
    PortfolioSummaryJson,
    ServedPortfolioJson,
)
from trading_graph.service.server.portfolio_request import (
    PORTFOLIO_REQUEST,
    BadPaceError,
    NotAgreedError,
    PortfolioWords,
)
from trading_graph.service.server.portfolios_api import PortfoliosQuery, queue_portfolio
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.run_queue import IdempotencyConflictError
from trading_graph.toolkit.errors import BadDateError, BadRequestError


def _words_of(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[\s,;]+", text)))


FORM = FormSchema(PORTFOLIO_REQUEST, {"symbols": _words_of}, left_out=("list",))
_NOT_OPTIONS = ("symbols", "date", "dates", "every", "at_once", "again", "agreed")
_FIELD_OF = {
    BadDateError: "date",
    BadHoldingsError: "holdings",
    BadLanguageError: "language",
    BadPaceError: "at_once",
    NotAgreedError: "",
}


@dataclass(frozen=True, slots=True)
class PortfolioForm:
    """The form that starts a portfolio, with what was typed before; `changed`: an option was.

    A form that is sent twice has one `key`, and starts one portfolio.
    """

    fields: Mapping[str, FormField]
    error: str
    changed: bool
    default_date: str
    at_once: int
    key: str


@dataclass(frozen=True, slots=True)
class PortfolioView:
    """How far a portfolio is, in words; `word` and `kind` are those of its badge."""

    id: str
    name: str
    created: float
    dates: str
    model: str
    data: str
    counts: Sequence[tuple[str, int]]
    number: int
    done: int
    running: int
    failed: int
    ended: int
    calls: int
    tokens: int
    cost: str
    left: str
    word: str
    kind: str
    error: str | None


def portfolio_view(of: PortfolioSummaryJson) -> PortfolioView:
    """A portfolio of a list as pages show it."""
    counts = {TickerDayState(state): number for state, number in of.counts.items()}
    failed = counts[TickerDayState.FAILED] + counts[TickerDayState.PARKED]
    number = sum(counts.values())
    open_ = counts[TickerDayState.WAITING] + counts[TickerDayState.RUNNING]
    word, kind = state_words(of)
    is_one_day = of.first_date == of.last_date
    return PortfolioView(
        id=of.portfolio_id,
        name=of.name.replace(",", ", "),  # so that a long one can be broken
        created=of.created.timestamp(),
        dates=f"as of {of.first_date}" if is_one_day else f"{of.first_date} to {of.last_date}",
        model=of.model,
        data=of.data,
        counts=[(str(state), number) for state, number in counts.items() if number],
        number=number,
        done=counts[TickerDayState.DONE],
        running=counts[TickerDayState.RUNNING],
        failed=failed,
        ended=number - open_,
        calls=of.calls,
        tokens=of.tokens,
        cost="unknown" if of.cost_usd is None else f"${of.cost_usd:,.2f}",
        left="" if of.seconds_left is None else in_words(max(1.0, of.seconds_left)),
        word=word,
        kind=kind,
        error=of.error,
    )


def state_words(of: PortfolioSummaryJson | ServedPortfolioJson) -> tuple[str, str]:
    """The state of a portfolio in a word, and the kind of its badge."""
    if of.place_in_line is not None:
        return f"place {of.place_in_line} in line", "plain"
    failed = of.counts[TickerDayState.FAILED] + of.counts[TickerDayState.PARKED]
    match of.state:
        case PortfolioState.RUNNING:
            return "running", "live"
        case PortfolioState.OVER:
            return ("over, some failed", "warn") if failed else ("over", "good")
        case state:
            return str(state), "plain"


async def show(request: web.Request) -> web.Response:
    """The page."""
    return await _portfolios(request, Input())


async def start(request: web.Request) -> web.Response:
    """Start a portfolio from the form, and go to its page; or show the form with what is wrong."""
    form = await form_of(request)
    words = FORM.read(form)
    if isinstance(words, Input):
        return await _portfolios(request, words, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        portfolio_id = await _queue(request, words, first(form, "key"))
    except BadRequestError as error:
        typed = Input(form, {_FIELD_OF.get(type(error), "symbols"): str(error)})
        return await _portfolios(request, typed, HTTPStatus.UNPROCESSABLE_ENTITY)
    except PortfolioError as error:
        return await _portfolios(request, Input(form, {"": str(error)}), HTTPStatus.CONFLICT)
    except Problem as problem:
        response = await _portfolios(request, Input(form, {"": problem.detail}), problem.status)
        response.headers.update(problem.headers)
        return response
    return see_other(f"/portfolios/{portfolio_id}")


async def _queue(request: web.Request, words: PortfolioWords, key: str) -> str:
    try:
        portfolio_id, _ = await queue_portfolio(request, words, key[:200] or None)
    except IdempotencyConflictError:
        # Somebody went back to the form and asked for something else with it.
        portfolio_id, _ = await queue_portfolio(request, words, None)
    return portfolio_id


async def _portfolios(
    request: web.Request, typed: Input, status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    service = request.app[SERVICE]
    query = query_of(request, PortfoliosQuery) if request.method == "GET" else PortfoliosQuery()
    listed = await service.portfolios.page(query.before, query.limit)
    announced = service.choice.announcement
    return page(
        request,
        "portfolios.html",
        "Portfolios",
        status=status,
        announced=f"{announced[:1].upper()}{announced[1:]}",
        form=PortfolioForm(
            fields=FORM.fields(typed),
            error=typed.errors.get("", ""),
            # Whoever corrects the form sees the options that were changed.
            changed=FORM.is_changed(typed, but=_NOT_OPTIONS),
            default_date=service.default_date,
            at_once=service.settings.portfolio_at_once,
            key=secrets.token_urlsafe(16),
        ),
        portfolios=[portfolio_view(each) for each in listed.portfolios],
        unreadable=listed.unreadable,
        older=f"/portfolios?before={listed.next}" if listed.next else None,
    )
