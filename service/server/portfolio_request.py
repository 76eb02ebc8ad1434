"""What a portfolio is asked to do over HTTP: the words of `trading-graph portfolio run`.

The options of its runs are those of a run, from their one declaration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.errors import BadListError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.portfolio.folder import PortfolioFolder, choose_order
from trading_graph.service.portfolio.forecast import forecast
from trading_graph.service.portfolio.order import Limits, PortfolioOrder
from trading_graph.service.portfolio.status_text import forecast_lines
from trading_graph.service.portfolio.symbol_list import parse_symbols
from trading_graph.service.portfolio.ticker_day import portfolio_dates
from trading_graph.service.run.request import RunRequest, default_date
from trading_graph.service.settings import Settings
from trading_graph.toolkit.errors import BadDateError, BadRequestError

_MOST_SYMBOLS = 10_000
_LONGEST_LIST = 2**16
_OF_A_TICKER_DAY = frozenset({"symbol", "date"})


class _PortfolioWords(BaseModel):
    """A list of symbols on one date, or on the sessions of a range, and the options of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbols: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        (), max_length=_MOST_SYMBOLS, examples=[["AAPL", "NVDA"]]
    )
    list_text: str = Field(
        "",
        alias="list",
        max_length=_LONGEST_LIST,
        description="Further symbols: the text of a list, one a line, or CSV whose first column "
        "has them; # begins a comment.",
    )
    date: str | None = Field(None, max_length=32, description="As of a run.")
    dates: str | None = Field(
        None,
        max_length=64,
        examples=["2025-11-03..2025-11-14"],
        description="Every session of New York from A to B as A..B, in the place of `date`.",
    )
    every: int | None = Field(
        None, ge=1, le=10_000, description="With `dates`: each so many sessions only."
    )
    at_once: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Runs at once; at most, and by default, TRADING_GRAPH_PORTFOLIO_AT_ONCE.",
    )
    again: bool = Field(
        False, description="Begin anew, although there is such a portfolio already."
    )
    agreed: bool = Field(False, description="Begin, however much the forecast says.")

    def run_request(self, symbol: str, date: str) -> RunRequest:
        """What a run is asked to do."""
        options = {name: value for name, value in self if name not in _PortfolioWords.model_fields}
        return _RUN_REQUEST.validate_python({**options, "symbol": symbol, "date": date})


_RUN_REQUEST = TypeAdapter(RunRequest)
_OPTIONS: Mapping[str, Any] = {
    each.name: (each.type, Field(each.default, **each.metadata))
    for each in fields(RunRequest)
    if each.name not in _OF_A_TICKER_DAY
}
PortfolioRequest = create_model(
    "PortfolioRequest", __base__=_PortfolioWords, __doc__=_PortfolioWords.__doc__, **_OPTIONS
)
PORTFOLIO_REQUEST: TypeAdapter[_PortfolioWords] = TypeAdapter(PortfolioRequest)
"""Reads the request of a portfolio, from JSON or from the values of a form."""

PortfolioWords = _PortfolioWords


class BadPaceError(BadRequestError):
    """More is asked for at once than the service gives."""


class NotAgreedError(BadRequestError):
    """The forecast is above what is begun without anybody's consent."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Makes the orders of a service's portfolios, which its own back ends serve."""

    settings: Settings
    choice: BackendChoice
    langsmith: LangSmithMode
    out: Path

    def order(self, request: PortfolioWords) -> PortfolioOrder:
        """The order of a request: one that is there already, or a new one. Blocks.

        Raises BadRequestError.
        """
        if request.date is not None and request.dates is not None:
            raise BadDateError("date is one day and dates is a range of days: give one of them.")
        if request.every is not None and request.dates is None:
            raise BadDateError("every picks sessions of a range: give dates as A..B with it.")
        at_once = request.at_once or self.settings.portfolio_at_once
        if at_once > self.settings.portfolio_at_once:
            raise BadPaceError(
                f"At most {self.settings.portfolio_at_once} runs of a portfolio are made at once "
                "here: ask for fewer, or raise TRADING_GRAPH_PORTFOLIO_AT_ONCE."
            )
        symbols = parse_symbols(request.symbols, request.list_text)
        default = default_date(self.choice.data)
        dates = portfolio_dates(request.date, request.dates, request.every or 1, default)
        number, most = len(symbols.symbols) * len(dates), self.settings.serve_ticker_days
        if number > most:
            raise BadListError(
                f"These symbols and dates are {number:,} analyses, and a portfolio has at most "
                f"{most:,} here: ask for fewer, or raise TRADING_GRAPH_SERVE_TICKER_DAYS."
            )
        first = str(dates[0])
        run = request.run_request(symbols.symbols[0], first).resolve(first)
        # A request may lower the budget of the settings, and never raise it.
        run = run.with_budget(run.budget.within(self.settings.budget))

        def make(number: int) -> PortfolioOrder:
            return PortfolioOrder.of(
                symbols,
                dates,
                run,
                self.choice,
                self.langsmith,
                Limits(at_once),
                out=self.out,
                number=number,
            )

        order = choose_order(make, self.settings.portfolios, again=request.again)
        if not request.agreed:
            self._check_forecast(order)
        return order

    def _check_forecast(self, order: PortfolioOrder) -> None:
        """Refuse a new order that takes much; raises NotAgreedError."""
        if self.choice.model is None or PortfolioFolder(self.settings.portfolios, order.id).exists:
            return
        expected = forecast(order, len(order.ticker_days), self.choice, self.settings)
        if expected.is_much(self.settings):
            first = next(forecast_lines(expected)).rstrip(".")
            raise NotAgreedError(
                f"{first}, which is above what is begun without a question: agree to it, or raise "
                "TRADING_GRAPH_PORTFOLIO_ASK_USD or TRADING_GRAPH_PORTFOLIO_ASK_CALLS."
            )
