"""Statements, filings and insiders' reports from SEC EDGAR: free, public domain, dated by filing.

The default source of fundamentals, because every value carries the day on which it was filed. SEC
asks every client to say who it is ("Name e-mail") and for at most 10 requests a second. A filing
counts from its date: the stamps of its acceptance mix UTC and New York time under one Z.
"""

import asyncio
import datetime
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import NEW_YORK, AsOf
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache
from trading_graph.toolkit.errors import HttpStatus, NoData, SourceUnavailable
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import DataMode, Filing, Filings, Insiders, Statements
from trading_graph.toolkit.sources.base_urls import BaseUrls
from trading_graph.toolkit.sources.fetch_span import fetch_span
from trading_graph.toolkit.sources.sec_facts import TagValues, read_company, statement_facts
from trading_graph.toolkit.sources.typed_json import bad_answer, get_typed
from trading_graph.toolkit.statements import CONCEPTS
from trading_graph.toolkit.ttl import Lifetime, ttl_for

T = TypeVar("T")

INSIDER_FORMS = ("4", "4/A")
FORMS = ("10-K", "10-K/A", "10-Q", "10-Q/A", "8-K", "8-K/A", *INSIDER_FORMS)

PERIODS_BACK = datetime.timedelta(days=1260)
"""Periods that ended longer before the as-of date are left out; the newest need a year before."""

_FILINGS_BACK = datetime.timedelta(days=3 * 366)


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


class _Listed(msgspec.Struct, frozen=True):
    recent: _Columns
    files: list[_Page] = []


class _Submissions(msgspec.Struct, frozen=True):
    filings: _Listed


class SecEdgar:
    """A FundamentalsSource, FilingSource and InsiderSource.

    One download serves all statements of a company. `user_agent` is a name and an e-mail address;
    without one every call is SourceUnavailable. NoData for what SEC does not list, such as a
    foreign company.
    """

    name = "SEC EDGAR"
    data_mode: DataMode = "live"

    def __init__(
        self,
        pool: HttpPool,
        cache: SingleFlightCache,
        urls: BaseUrls,
        user_agent: str | None,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._urls = urls
        self._user_agent = user_agent
        self._clock = clock

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) filed by the as-of date."""
        tags = await self._tags(symbol)
        since = as_of.date - PERIODS_BACK
        # Reading a thousand values takes milliseconds.
        facts = await asyncio.to_thread(
            lambda: tuple(statement_facts(tags, CONCEPTS[kind], since=since, until=as_of.date))
        )
        if not facts:
            raise NoData(
                f"{self.name} has no 10-K or 10-Q of {symbol} filed by {as_of}: "
                "choose a later date, or another symbol."
            )
        return Statements(
            symbol, kind, as_of.weekday, facts, source=self.name, data_mode=self.data_mode
        )

    async def filings(self, symbol: str, as_of: AsOf, forms: Sequence[str]) -> Filings:
        """The filings of these forms up to the as-of date, of three years."""
        listed = await self._filings(symbol, as_of)
        found = tuple(filing for filing in listed if filing.form.removesuffix("/A") in forms)
        if not found:
            raise NoData(
                f"{self.name} lists no {', '.join(forms)} of {symbol} by {as_of}: "
                "ask for other forms, or choose another date."
            )
        return Filings(
            symbol,
            as_of.weekday,
            listed[0].filed,
            found,
            source=self.name,
            data_mode=self.data_mode,
        )

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The reports of insiders' trades (form 4) up to the as-of date: dates only."""
        listed = await self._filings(symbol, as_of)
        return Insiders(
            symbol,
            as_of.weekday,
            listed[0].filed,
            tuple(filing for filing in listed if filing.form in INSIDER_FORMS),
            source=self.name,
            data_mode=self.data_mode,
        )

    async def _tags(self, symbol: str) -> TagValues:
        """All that a company tagged, whatever the day: the callers cut it."""
        return await self._cache.get(
            CacheKey("company_facts", self.name, symbol),
            lambda: self._ask_tags(symbol),
            ttl=self._ttl("company_facts"),
            size=lambda tags: 120 * sum(map(len, tags.values())),
        )

    async def _ask_tags(self, symbol: str) -> TagValues:
        cik = await self._cik(symbol)
        url = URL(f"{self._urls.sec_data}/api/xbrl/companyfacts/CIK{cik:010}.json")
        with fetch_span("sec_companyfacts", self.data_mode, symbol=symbol) as span:
            try:
                answer = await self._pool.get_bytes(url, headers=self._headers())
                tags = await asyncio.to_thread(read_company, answer.body)
            except HttpStatus as refusal:
                raise self._explained(refusal, symbol) from None
            except (msgspec.DecodeError, RecursionError):
                raise bad_answer(self.name, url) from None
            span.set_attribute(semconv.ROWS, sum(map(len, tags.values())))
            return tags

    async def _filings(self, symbol: str, as_of: AsOf) -> tuple[Filing, ...]:
        """All filings of our forms up to the as-of date, oldest first, at least one."""
        listed = await self._cache.get(
            CacheKey("submissions", self.name, symbol, as_of.date),
            lambda: self._ask_filings(symbol, as_of),
            ttl=self._ttl("submissions", as_of),
            size=lambda filings: 100 * len(filings),
        )
        if not listed:
            raise NoData(
                f"{self.name} lists no filings of {symbol} by {as_of}: choose a later date."
            )
        return listed

    async def _ask_filings(self, symbol: str, as_of: AsOf) -> tuple[Filing, ...]:
        cik = await self._cik(symbol)
        since = as_of.date - _FILINGS_BACK
        with fetch_span("sec_submissions", self.data_mode, symbol=symbol, as_of=as_of) as span:
            try:
                listed = (await self._ask(f"CIK{cik:010}.json", _Submissions)).filings
                older = [
                    page.name
                    for page in listed.files
                    if page.filingTo >= since and page.filingFrom <= as_of.date
                ]
                pages = await asyncio.gather(*(self._ask(name, _Columns) for name in older))
            except HttpStatus as refusal:
                raise self._explained(refusal, symbol) from None
            found = [
                Filing(form, filed, tuple(items.replace(",", " ").split()))
                for page in (listed.recent, *pages)
                for form, filed, items in zip(page.form, page.filingDate, page.items, strict=False)
                if form in FORMS and since <= filed <= as_of.date
            ]
            span.set_attribute(semconv.ROWS, len(found))
            return tuple(sorted(found, key=lambda row: (row.filed, row.form, row.items)))

    async def _ask(self, name: str, kind: type[T]) -> T:
        url = URL(f"{self._urls.sec_data}/submissions") / name
        return await get_typed(self._pool, url, kind, source=self.name, headers=self._headers())

    async def _cik(self, symbol: str) -> int:
        companies = await self._cache.get(
            CacheKey("companies", self.name),
            self._ask_companies,
            ttl=self._ttl("companies"),
            size=lambda companies: 120 * len(companies),
        )
        cik = companies.get(symbol)
        if cik is None:
            raise NoData(
                f"{self.name} does not list {symbol}, so it has no reports of it: "
                "ask for a company that reports to the SEC."
            )
        return cik

    async def _ask_companies(self) -> dict[str, int]:
        url = URL(f"{self._urls.sec_files}/files/company_tickers.json")
        with fetch_span("sec_companies", self.data_mode) as span:
            answer = await get_typed(
                self._pool, url, dict[str, _Company], source=self.name, headers=self._headers()
            )
            span.set_attribute(semconv.ROWS, len(answer))
            return {company.ticker.upper(): company.cik_str for company in answer.values()}

    def _headers(self) -> dict[str, str]:
        if not self._user_agent:
            raise SourceUnavailable(
                f"{self.name} answers only those who say who they are: "
                "set TRADING_GRAPH_SEC_USER_AGENT to a name and an e-mail address."
            )
        return {"User-Agent": self._user_agent}

    def _explained(self, refusal: HttpStatus, symbol: str) -> NoData | HttpStatus:
        if refusal.status != 404:
            return refusal
        return NoData(
            f"{self.name} has no data of {symbol}: ask for a company that reports to the SEC."
        )

    def _ttl(self, kind: str, as_of: AsOf | None = None) -> Lifetime:
        today = self._clock().astimezone(NEW_YORK).date()
        return ttl_for(kind, as_of.date if as_of else today, today)
