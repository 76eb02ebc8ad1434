"""The order of a portfolio: its ticker-days, and all that decides what their runs do.

It is written down before anything starts, and whoever goes on with the portfolio reads it. Ids are
hashes of what they stand for, so the same command names the same portfolio and the same runs: what
is done already is found, and not done again. What only changes the pace is in no id.
"""

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.errors import PortfolioError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.portfolio.symbol_list import RefusedSymbol, SymbolList
from trading_graph.service.portfolio.ticker_day import TickerDay
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.stored_models import StoredModels, models_of
from trading_graph.service.settings import Settings, backend_choice
from trading_graph.toolkit.live_access import Mode

_REQUEST = TypeAdapter(RunRequest)
_OF_A_TICKER_DAY = ("symbol", "date")
_ID_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs go on at once, and how often each model may be asked in a minute."""

    at_once: int
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with these limits for both of their models."""
        models = (settings.quick_model, settings.deep_model)
        requests, tokens = (
            {} if limit is None else dict.fromkeys(models, limit)
            for limit in (self.requests_per_minute, self.tokens_per_minute)
        )
        return settings.model_copy(
            update={
                "requests_per_minute": {**settings.requests_per_minute, **requests},
                "tokens_per_minute": {**settings.tokens_per_minute, **tokens},
            }
        )


class PortfolioOrder(BaseModel):
    """The ticker-days of a portfolio, their common request, and the back ends that serve them.

    `out` is the folder of the runs; `request` has all options of a run but symbol and date;
    `models` is None for the offline model. It holds no secret.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    id: str
    name: str
    created: datetime.datetime
    out: Path
    ticker_days: tuple[TickerDay, ...]
    refused: tuple[RefusedSymbol, ...]
    duplicates: tuple[str, ...]
    request: dict[str, Any]
    models: StoredModels | None
    data: Mode
    chat_latency_s: float
    fetch_latency_s: float
    langsmith: LangSmithMode
    limits: Limits

    @classmethod
    def of(
        cls,
        symbols: SymbolList,
        dates: Iterable[datetime.date],
        request: RunRequest,
        choice: BackendChoice,
        langsmith: LangSmithMode,
        limits: Limits,
        *,
        out: Path,
        number: int = 0,
    ) -> Self:
        """The order of every symbol on every date; `number` tells repetitions of it apart.

        Of the request neither symbol nor date count.
        """
        models = models_of(choice)
        options = _options(request)
        grid = [(date, symbol) for date in dates for symbol in symbols.symbols]
        common = {
            "options": _chosen(options),
            "models": None if models is None else models.model_dump(),
            "data": choice.data,
        }
        of_portfolio: dict[str, Any] = {
            **common,
            "ticker_days": sorted((str(date), symbol) for date, symbol in grid),
        }
        if number:
            of_portfolio["again"] = number
        portfolio_id = _id_of(of_portfolio)
        return cls(
            id=portfolio_id,
            name=symbols.name,
            created=datetime.datetime.now(datetime.UTC),
            out=out,
            ticker_days=tuple(
                TickerDay(
                    date,
                    symbol,
                    _id_of(
                        {
                            **common,
                            "portfolio": portfolio_id,
                            "symbol": symbol,
                            "date": str(date),
                        }
                    ),
                )
                for date, symbol in grid
            ),
            refused=symbols.refused,
            duplicates=symbols.duplicates,
            request=options,
            models=models,
            data=choice.data,
            chat_latency_s=choice.chat_latency_s,
            fetch_latency_s=choice.fetch_latency_s,
            langsmith=langsmith,
            limits=limits,
        )

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """Read an order; raises PortfolioError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise PortfolioError(
                f"{origin} is no order of a portfolio: {error.error_count()} of its values cannot "
                "be used; begin the portfolio anew with --again."
            ) from None

    @property
    def dates(self) -> tuple[datetime.date, ...]:
        """The days of the portfolio, in order."""
        return tuple(sorted({each.date for each in self.ticker_days}))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the portfolio, in the order of its list."""
        return tuple(dict.fromkeys(each.symbol for each in self.ticker_days))

    def run_request(self, ticker_day: TickerDay) -> RunRequest:
        """What the run of a ticker-day is asked to do."""
        return _REQUEST.validate_python(
            {"symbol": ticker_day.symbol, "date": str(ticker_day.date), **self.request}
        )

    def choice(self, settings: Settings) -> BackendChoice:
        """The back ends that these settings give the portfolio; raises PortfolioError.

        They have to be those that it began with: a ranking over several models is nobody's ranking.
        """
        choice = backend_choice(
            self.limits.applied_to(settings),
            offline=False,
            own_model=self.models is not None,
            data=self.data,
        )
        choice = replace(
            choice,
            chat_latency_s=self.chat_latency_s,
            fetch_latency_s=self.fetch_latency_s,
            # Embedded data too: the same bars serve many dates, and the next portfolio.
            cache_file=settings.cache_file,
            offline_requests_per_minute=self.limits.requests_per_minute,
            offline_tokens_per_minute=self.limits.tokens_per_minute,
        )
        if models_of(choice) != self.models:
            raise PortfolioError(
                f"The portfolio {self.id} began with other models than those that the settings "
                "name now; set OPENAI_API_KEY, OPENAI_BASE_URL, TRADING_GRAPH_QUICK_MODEL and "
                "TRADING_GRAPH_DEEP_MODEL as they were, or begin it anew with --again."
            )
        return choice


def _options(request: RunRequest) -> dict[str, Any]:
    """The options of a request, as JSON has them."""
    values: dict[str, Any] = _REQUEST.dump_python(request, mode="json")
    return {name: value for name, value in values.items() if name not in _OF_A_TICKER_DAY}


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not at their defaults: a later version may have more of them."""
    defaults = _options(RunRequest(symbol="AAPL"))
    return {name: value for name, value in options.items() if value != defaults[name]}


def _id_of(content: Mapping[str, Any]) -> str:
    """The first 128 bits of the content's SHA-256."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]
