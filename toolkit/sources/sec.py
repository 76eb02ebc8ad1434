"""Statements, filings and insiders' reports from SEC EDGAR: free, public domain, dated by filing.

The default source of fundamentals, because every value carries the day of its filing. SEC wants
every client to say who it is ("Name e-mail"), and at most 10 requests a second. A filing counts
from the session after its date: the stamps of its acceptance mix UTC and New York time under one Z,
so they prove nothing about the day's close. What reports hold is read by `company_facts`.
"""

import asyncio
import datetime
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf, Clock, new_york_day, utc_now
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.errors import NoDataError, SourceUnavailableError
from trading_graph.toolkit.live_access import BaseUrls, DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import (
    INSIDER_FORMS,
    Filing,
    Filings,
    Insiders,
    Statements,
)
from trading_graph.toolkit.sources.company_facts import (
    CompanyFacts,
    Reported,
    reported,
    statement_facts,
)
from trading_graph.toolkit.sources.source import fetch_span
from trading_graph.toolkit.statements import CONCEPTS
from trading_graph.toolkit.ttl import Lifetime, ttl_for

T = TypeVar("T")

FORMS = ("10-K", "10-K/A", "10-Q", "10-Q/A", "8-K", "8-K/A", *INSIDER_FORMS)

PERIODS_BACK = datetime.timedelta(days=1260)
"""Periods that ended earlier are left out. The newest period needs the one a year before it."""

_FILINGS_BACK = datetime.timedelta(days=3 * 366)


def _count(company: Reported) -> int:
    return sum(
        len(values)
        for tags in (company.shares, *company.money.values())
        for values in tags.values()
    )


class _Company(msgspec.Struct, frozen=True):
    cik_str: int
    ticker: str


class _Columns(msgspec.Struct, frozen=True):
    form: list[str]
    filingDate: list[datetime.date]
    items: list[str]


class _Page(msgspec.Struct, frozen=True):
    name: str
    filingFrom: datetime.date
    filingTo: datetime.date


class _FilingList(msgspec.Struct, frozen=True):
    recent: _Columns
    files: list[_Page] = []


class _Submissions(msgspec.Struct, frozen=True):
    filings: _FilingList


class SecEdgar:
    """A FundamentalsSource, FilingSource and InsiderSource.

    One download serves all statements of a company. `user_agent` is a name and an e-mail address;
    without one every call raises SourceUnavailableError. NoDataError for what SEC does not list,
    such as a foreign company.
    """

    name = "SEC EDGAR"
    data_mode: DataMode = "live"

    def __init__(
        self,
        pool: HttpPool,
        cache: SingleFlightCache,
        urls: BaseUrls,
        user_agent: str | None,
        clock: Clock = utc_now,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._urls = urls
        self._user_agent = user_agent
        self._clock = clock

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) filed by the as-of date."""
        company = await self._reported(symbol)
        since = as_of.date - PERIODS_BACK
        currency = company.currency(as_of.filings_until)
        tags = company.tags(currency)
        # Reading a thousand values takes milliseconds.
        facts = await asyncio.to_thread(
            lambda: tuple(
                statement_facts(tags, CONCEPTS[kind], since=since, until=as_of.filings_until)
            )
        )
        if not facts:
            raise NoDataError(
                f"{self.name} has no 10-K or 10-Q of {symbol} filed by {as_of}: "
                "choose a later date, or another symbol."
            )
        return Statements(symbol, kind, as_of.session, facts, currency)

    async def filings(self, symbol: str, as_of: AsOf, forms: Sequence[str]) -> Filings:
        """The filings of these forms up to the as-of date, of three years."""
        filings = await self._filings(symbol, as_of)
        matches = tuple(filing for filing in filings if filing.form.removesuffix("/A") in forms)
        if not matches:
            raise NoDataError(
                f"{self.name} lists no {', '.join(forms)} of {symbol} by {as_of}: "
                "ask for other forms, or choose another date."
            )
        return Filings(symbol, as_of.session, filings[0].filed, matches)

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The reports of insiders' trades (form 4) up to the as-of date: dates only."""
        filings = await self._filings(symbol, as_of)
        reports = tuple(filing for filing in filings if filing.form in INSIDER_FORMS)
        return Insiders(symbol, as_of.session, filings[0].filed, reports)

    async def _reported(self, symbol: str) -> Reported:
        """All values that a company reported, whatever the day: the caller limits them."""
        return await self._cache.get(
            CacheKey("company_facts", self.name, symbol),
            lambda: self._ask_reported(symbol),
            ttl=self._ttl("company_facts"),
            size=lambda company: 120 * _count(company),
        )

    async def _ask_reported(self, symbol: str) -> Reported:
        cik = await self._cik(symbol)
        url = URL(f"{self._urls.sec_data}/api/xbrl/companyfacts/CIK{cik:010}.json")
        nothing = self._nothing(symbol)
        with fetch_span("sec_companyfacts", self.data_mode, symbol=symbol, nothing=nothing) as span:
            company = await self._pool.get_json(
                url, CompanyFacts, source=self.name, headers=self._headers()
            )
            values = await asyncio.to_thread(reported, company)
            span.set_attribute(semconv.ROWS, _count(values))
            return values

    async def _filings(self, symbol: str, as_of: AsOf) -> tuple[Filing, ...]:
        """All filings of our forms up to the as-of date, oldest first, at least one."""
        filings = await self._cache.get(
            CacheKey("submissions", self.name, symbol, as_of.date),
            lambda: self._ask_filings(symbol, as_of),
            ttl=self._ttl("submissions", as_of),
            size=lambda filings: 100 * len(filings),
        )
        if not filings:
            raise NoDataError(
                f"{self.name} lists no filings of {symbol} by {as_of}: choose a later date."
            )
        return filings

    async def _ask_filings(self, symbol: str, as_of: AsOf) -> tuple[Filing, ...]:
        cik = await self._cik(symbol)
        since = as_of.date - _FILINGS_BACK
        nothing = self._nothing(symbol)
        with fetch_span(
            "sec_submissions", self.data_mode, symbol=symbol, as_of=as_of, nothing=nothing
        ) as span:
            index = (await self._ask(f"CIK{cik:010}.json", _Submissions)).filings
            older = [
                page.name
                for page in index.files
                if page.filingTo >= since and page.filingFrom <= as_of.filings_until
            ]
            pages = await asyncio.gather(*(self._ask(name, _Columns) for name in older))
            filings = [
                Filing(form, filed, tuple(items.replace(",", " ").split()))
                for page in (index.recent, *pages)
                for form, filed, items in zip(page.form, page.filingDate, page.items, strict=False)
                if form in FORMS and since <= filed <= as_of.filings_until
            ]
            span.set_attribute(semconv.ROWS, len(filings))
            return tuple(sorted(filings, key=lambda row: (row.filed, row.form, row.items)))

    async def _ask(self, name: str, kind: type[T]) -> T:
        url = URL(f"{self._urls.sec_data}/submissions") / name
        answer: T = await self._pool.get_json(url, kind, source=self.name, headers=self._headers())
        return answer

    async def _cik(self, symbol: str) -> int:
        companies = await self._cache.get(
            CacheKey("companies", self.name),
            self._ask_companies,
            ttl=self._ttl("companies"),
            size=lambda companies: 120 * len(companies),
        )
        cik = companies.get(symbol)
        if cik is None:
            raise NoDataError(
                f"{self.name} does not list {symbol}, so it has no reports of it: "
                "ask for a company that reports to the SEC."
            )
        return cik

    async def _ask_companies(self) -> dict[str, int]:
        url = URL(f"{self._urls.sec_files}/files/company_tickers.json")
        with fetch_span("sec_companies", self.data_mode) as span:
            answer: dict[str, _Company] = await self._pool.get_json(
                url, dict[str, _Company], source=self.name, headers=self._headers()
            )
            span.set_attribute(semconv.ROWS, len(answer))
            return {company.ticker.upper(): company.cik_str for company in answer.values()}

    def _headers(self) -> dict[str, str]:
        if not self._user_agent:
            raise SourceUnavailableError(
                f"{self.name} answers only those who say who they are: "
                "set TRADING_GRAPH_SEC_USER_AGENT to a name and an e-mail address."
            )
        return {"User-Agent": self._user_agent}

    def _nothing(self, symbol: str) -> str:
        return f"{self.name} has no data of {symbol}: ask for a company that reports to the SEC."

    def _ttl(self, kind: str, as_of: AsOf | None = None) -> Lifetime:
        today = new_york_day(self._clock())
        return ttl_for(kind, as_of.date if as_of else today, today)
