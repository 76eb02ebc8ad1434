"""Statements, filings and macro series from the embedded data set, over its loopback server.

The format is the project's own: records of `toolkit.records` as JSON, with their source and the
last session up to the as-of date.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    BadDateError,
    DataError,
    HttpStatusError,
    NoDataError,
    UnknownSymbolError,
)
from trading_graph.toolkit.live_access import DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import Filings, Insiders, Series, Statements
from trading_graph.toolkit.sources.source import fetch_span

A = TypeVar("A", Statements, Filings, Insiders, Series)

ERRORS: Mapping[str, type[DataError]] = {
    "unknown_symbol": UnknownSymbolError,
    "no_data": NoDataError,
    "bad_date": BadDateError,
}
"""The error of each code with which the server refuses a request."""


class EmbeddedFacts:
    """Everything in the embedded data set but prices, with one request each.

    A FundamentalsSource, FilingSource, InsiderSource and MacroSource. Raises UnknownSymbolError,
    NoDataError, BadDateError, or SourceUnavailableError.
    """

    name = "embedded data set"
    data_mode: DataMode = "offline"

    def __init__(self, pool: HttpPool, base_url: str) -> None:
        self._pool = pool
        self._base_url = base_url

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) filed by the as-of date."""
        path = f"v1/statements/{quote(symbol, safe='')}/{kind}"
        return await self._ask(Statements, f"embedded_{kind}", path, symbol, as_of)

    async def filings(self, symbol: str, as_of: AsOf, forms: Sequence[str]) -> Filings:
        """The filings of these forms up to the as-of date."""
        path = f"v1/filings/{quote(symbol, safe='')}"
        return await self._ask(
            Filings, "embedded_filings", path, symbol, as_of, forms=",".join(forms)
        )

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The reports of insiders' trades (form 4) up to the as-of date: dates only."""
        path = f"v1/insiders/{quote(symbol, safe='')}"
        return await self._ask(Insiders, "embedded_insiders", path, symbol, as_of)

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """The observations of a series that were public on the as-of date."""
        path = f"v1/macro/{quote(series, safe='')}"
        return await self._ask(Series, "embedded_macro", path, series, as_of)

    async def _ask(
        self, kind: type[A], source: str, path: str, symbol: str, as_of: AsOf, **params: str
    ) -> A:
        url = URL(f"{self._base_url}/{path}", encoded=True)
        with fetch_span(source, self.data_mode, symbol=symbol, as_of=as_of, **params) as span:
            try:
                answer: A = await self._pool.get_json(
                    url, kind, params={"as_of": str(as_of), **params}
                )
            except HttpStatusError as refusal:
                raise _explain(refusal) from None
            span.set_attribute(semconv.ROWS, _row_count(answer))
            return answer


def _row_count(answer: Statements | Filings | Insiders | Series) -> int:
    match answer:
        case Statements():
            return len(answer.facts)
        case Series():
            return len(answer.observations)
    return len(answer.filings)


def _explain(refusal: HttpStatusError) -> DataError:
    try:
        error = msgspec.json.decode(refusal.body)["error"]
        return ERRORS[error["code"]](str(error["description"]))
    except (msgspec.DecodeError, KeyError, TypeError):
        return refusal
