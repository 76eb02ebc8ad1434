"""Market data of a symbol as of a day: where every analyst and tool asks.

Nothing is fetched twice: all tools that need a symbol's prices share its bars. Every answer has
passed the as-of filter, and says where it comes from.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from trading_graph.toolkit import embedded_server, indicators
from trading_graph.toolkit.as_of import STALE_AFTER, AsOf, Clock, new_york_day, utc_now
from trading_graph.toolkit.as_of_filter import admit
from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars, Event
from trading_graph.toolkit.cache import CacheKey, SingleFlightCache, Store
from trading_graph.toolkit.chart_bars import ChartBars, history_of
from trading_graph.toolkit.errors import (
    BadDateError,
    DataError,
    NoDataError,
    NotApplicableError,
    SourceUnavailableError,
)
from trading_graph.toolkit.house import House
from trading_graph.toolkit.live_access import LiveAccess, Mode
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HOST_POLICIES
from trading_graph.toolkit.records import (
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    SourceAnswer,
    Statements,
)
from trading_graph.toolkit.source_use import note_use
from trading_graph.toolkit.sources.registry import SourceOrder, first_answer, sources_of
from trading_graph.toolkit.sources.source import Source, gather_parts
from trading_graph.toolkit.stored_cache import edition, open_stored_cache
from trading_graph.toolkit.symbols import Identity, identify, parse_symbol
from trading_graph.toolkit.ttl import ttl_for

StatementKind = Literal["income", "balance", "cash_flow"]

STATEMENT_KINDS: tuple[StatementKind, ...] = ("income", "balance", "cash_flow")
EVENT_FORMS = ("8-K", "10-Q", "10-K")
MACRO_SERIES = ("DFEDTARU", "DGS10", "T10Y2Y", "CPIAUCSL", "UNRATE", "VIX")

_LEVEL_WINDOW = 20

S = TypeVar("S", bound=Source)
A = TypeVar("A", bound=SourceAnswer)


@dataclass(frozen=True, slots=True)
class PriceLevels:
    """Last close, range of the last 20 sessions, and average true range (None: too few bars).

    All in `currency`, as the source names it ("": it names none). `instrument` is what the symbol
    is, `benchmark` the index of its market ("": none), `name` what the source calls it. `warnings`
    tells what was wrong with bars. `history` are the newest of these bars.
    """

    session: datetime.date
    close: float
    low_20: float
    high_20: float
    atr_14: float | None
    currency: str = ""
    instrument: str = ""
    benchmark: str = ""
    warnings: Sequence[str] = field(
        default_factory=list
    )  # A checkpoint gives tuples back as lists.
    name: str = ""
    history: ChartBars | None = None


@dataclass(frozen=True, slots=True)
class MarketData:
    """Everything about a symbol as of a day; `errors` holds the error of each missing part.

    Parts: bars, income, balance, cash_flow, filings, insiders, macro series as `macro.{name}`, and
    news and posts where the mode has a source of them.
    """

    symbol: str
    as_of: AsOf
    bars: Bars | None
    statements: Mapping[str, Statements]
    filings: Filings | None
    insiders: Insiders | None
    macro: Mapping[str, Series]
    news: News | None
    posts: Posts | None
    errors: Mapping[str, DataError]


class AsyncToolkit:
    """Market data of any symbol as of any day, through one pool and one cache.

    `base_url` is the address of the embedded data's server, which mode `live` does without;
    `access` is for the live sources, which mode `offline` does without. Symbols may be spelled as
    people type them. No answer contains anything from after the as-of date. Raises errors of
    `toolkit.errors`.
    """

    def __init__(
        self,
        pool: HttpPool,
        cache: SingleFlightCache,
        *,
        mode: Mode,
        base_url: str | None = None,
        access: LiveAccess | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.mode = mode
        self.pool = pool
        self._cache = cache
        self._clock = clock
        self.sources: SourceOrder = sources_of(
            mode, pool, cache, embedded_url=base_url, access=access or LiveAccess()
        )

    @property
    def today(self) -> datetime.date:
        """The present day in New York."""
        return new_york_day(self._clock())

    async def bars(self, symbol: str, as_of: AsOf) -> Bars:
        """About three years of daily bars up to the as-of date, at least one."""
        symbol = parse_symbol(symbol)
        bars: Bars = await self._fetch(
            "bars",
            self.sources.prices,
            lambda source: source.bars(symbol, as_of),
            symbol,
            as_of,
            size=lambda bars: bars.nbytes,
        )
        if as_of.date - bars.session > STALE_AFTER:
            raise BadDateError(
                f"The prices of {symbol} from {bars.source} end with {bars.session}: "
                f"choose a date up to {bars.session + STALE_AFTER}."
            )
        if bars.close[-1] <= 0:
            raise NoDataError(
                f"{symbol} closed at {bars.close[-1]:g} on {bars.session}, where levels and "
                "percentages mean nothing: choose another date."
            )
        return bars

    async def identity(self, symbol: str, as_of: AsOf) -> Identity:
        """What a symbol is: in the words of the source of its prices, else by its form alone."""
        symbol = parse_symbol(symbol)
        try:
            bars = await self.bars(symbol, as_of)
        except DataError:
            return identify(symbol)
        return bars.identity or identify(symbol)

    async def splits(self, symbol: str, as_of: AsOf) -> tuple[Event, ...] | None:
        """The splits of the three years up to the as-of date; None without prices."""
        try:
            return (await self.bars(symbol, as_of)).splits
        except DataError:
            return None

    async def indicators(
        self, symbol: str, as_of: AsOf, names: Sequence[str] = tuple(indicators.INDICATORS)
    ) -> dict[str, Floats]:
        """Technical indicators, one value for each bar, NaN before their warm-up."""
        bars = await self.bars(symbol, as_of)
        return await asyncio.to_thread(indicators.compute, bars, names)

    async def statements(self, symbol: str, as_of: AsOf, kind: StatementKind) -> Statements:
        """The facts of one kind of statement filed by the as-of date."""
        symbol = parse_symbol(symbol)
        async with self._of_companies(symbol, as_of, "statements"):
            return await self._fetch(
                "statements",
                self.sources.fundamentals,
                lambda source: source.statements(symbol, as_of, kind),
                symbol,
                as_of,
                (kind,),
                size=lambda answer: 200 * len(answer.facts),
            )

    async def filings(
        self, symbol: str, as_of: AsOf, forms: Sequence[str] = EVENT_FORMS
    ) -> Filings:
        """The filings of these forms up to the as-of date, amendments included."""
        symbol, forms = parse_symbol(symbol), tuple(sorted(set(forms)))
        async with self._of_companies(symbol, as_of, "filings"):
            return await self._fetch(
                "filings",
                self.sources.filings,
                lambda source: source.filings(symbol, as_of, forms),
                symbol,
                as_of,
                forms,
                size=lambda answer: 100 * len(answer.filings),
            )

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """What a company's insiders had reported by the as-of date."""
        symbol = parse_symbol(symbol)
        async with self._of_companies(symbol, as_of, "insiders"):
            return await self._fetch(
                "insiders",
                self.sources.insiders,
                lambda source: source.insiders(symbol, as_of),
                symbol,
                as_of,
                size=lambda answer: 100 * len(answer.filings) + 300 * len(answer.trades),
            )

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """A macro series as the public knew it on the as-of date."""
        return await self._fetch(
            "macro",
            self.sources.macro,
            lambda source: source.macro(series, as_of),
            series,
            as_of,
            size=lambda answer: 100 * len(answer.observations),
        )

    async def news(self, symbol: str, as_of: AsOf) -> News:
        """Headlines of the week up to the as-of date's close."""
        symbol = parse_symbol(symbol)
        return await self._fetch(
            "news",
            self.sources.news,
            lambda source: source.news(symbol, as_of),
            symbol,
            as_of,
            size=lambda answer: 400 * len(answer.headlines),
        )

    async def posts(self, symbol: str, as_of: AsOf) -> Posts:
        """Posts of the public; NoDataError for a date that has passed."""
        symbol = parse_symbol(symbol)
        return await self._fetch(
            "posts",
            self.sources.attention,
            lambda source: source.posts(symbol, as_of),
            symbol,
            as_of,
            size=lambda answer: 400 * len(answer.posts),
        )

    async def price_levels(self, symbol: str, as_of: AsOf) -> PriceLevels:
        """Last close, 20-session range and average true range, against which a trade is checked."""
        bars = await self.bars(symbol, as_of)
        columns = await asyncio.to_thread(indicators.compute, bars, ("atr",))
        atr = float(columns["atr"][-1])
        return PriceLevels(
            bars.session,
            float(bars.close[-1]),
            float(bars.low[-_LEVEL_WINDOW:].min()),
            float(bars.high[-_LEVEL_WINDOW:].max()),
            atr if atr == atr else None,
            bars.currency,
            str(bars.identity.instrument) if bars.identity else "",
            bars.identity.benchmark if bars.identity else "",
            list(bars.warnings),
            bars.identity.name if bars.identity else "",
            history_of(bars),
        )

    async def get_all_market_data(self, symbol: str, as_of: AsOf) -> MarketData:
        """Everything about a symbol, fetched at once; a part that fails is an error in the result.

        Raises only what concerns every part: BadSymbolError, BadDateError, UnknownSymbolError.
        """
        symbol = parse_symbol(symbol)
        parts: dict[str, Awaitable[SourceAnswer]] = {"bars": self.bars(symbol, as_of)}
        parts |= {kind: self.statements(symbol, as_of, kind) for kind in STATEMENT_KINDS}
        parts |= {"filings": self.filings(symbol, as_of), "insiders": self.insiders(symbol, as_of)}
        parts |= {f"macro.{name}": self.macro(name, as_of) for name in MACRO_SERIES}
        if self.sources.news:
            parts["news"] = self.news(symbol, as_of)
        if self.sources.attention:
            parts["posts"] = self.posts(symbol, as_of)
        results, errors = await gather_parts(parts)
        answers = results.values()
        return MarketData(
            symbol,
            as_of,
            next((each for each in answers if isinstance(each, Bars)), None),
            {each.kind: each for each in answers if isinstance(each, Statements)},
            next((each for each in answers if isinstance(each, Filings)), None),
            next((each for each in answers if isinstance(each, Insiders)), None),
            {each.name: each for each in answers if isinstance(each, Series)},
            next((each for each in answers if isinstance(each, News)), None),
            next((each for each in answers if isinstance(each, Posts)), None),
            errors,
        )

    def age_s(self, answer: SourceAnswer) -> int:
        """The age of an answer, in whole seconds."""
        return int((self._clock() - answer.fetched).total_seconds()) if answer.fetched else 0

    @asynccontextmanager
    async def _of_companies(self, symbol: str, as_of: AsOf, what: str) -> AsyncIterator[None]:
        """Tell what a symbol cannot have by nature from what no source has: NotApplicableError.

        A symbol's form is enough to ask nobody; funds show only in their prices' source, and some
        do report, so that they are asked for first.
        """
        identity = identify(symbol)
        if identity.instrument.has_statements:
            try:
                yield
            except (NoDataError, SourceUnavailableError):
                identity = await self.identity(symbol, as_of)
                if identity.instrument.has_statements:
                    raise
            else:
                return
        raise NotApplicableError(
            f"{symbol} is of the kind {identity.instrument}, which has no {what} by nature: "
            "do without them."
        )

    async def _fetch(
        self,
        kind: str,
        sources: Sequence[S],
        ask: Callable[[S], Awaitable[A]],
        symbol: str,
        as_of: AsOf,
        params: tuple[Hashable, ...] = (),
        *,
        size: Callable[[A], int],
    ) -> A:
        """The answer of the first source that has one, through the cache and the as-of filter."""
        ttl = ttl_for(kind, as_of.date, self.today)

        def get(source: S) -> Awaitable[A]:
            async def load() -> A:
                answer = await ask(source)
                origin = answer.source or source.name
                answer = replace(answer, source=origin, data_mode=source.data_mode)
                return admit(answer, as_of, self._clock())

            key = CacheKey(kind, source.name, symbol, as_of.date, params)
            return self._cache.get(key, load, ttl=ttl, size=size)

        answer = await first_answer(kind, sources, get)
        note_use(answer)
        return answer


@asynccontextmanager
async def open_toolkit(
    mode: Mode,
    access: LiveAccess,
    *,
    embedded_latency_s: float = embedded_server.DEFAULT_LATENCY_S,
    caching: bool = True,
    pooled: bool = True,
    cache_file: Path | None = None,
    house: House | None = None,
) -> AsyncIterator[AsyncToolkit]:
    """Market data with a pool, a cache, and where the mode needs it the embedded data's server.

    In `cache_file` the cache outlives the process; None keeps it in memory alone. A `house` has a
    cache for all its processes instead, and the rates of its hosts are shared.
    """
    async with AsyncExitStack() as stack:
        base_url = None
        if mode != "live":
            server = LoopbackServer(lambda: embedded_server.make_app(latency_s=embedded_latency_s))
            await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            base_url = server.url
        limits = None if house is None else house.limits
        pool = await stack.enter_async_context(
            HttpPool(policies=HOST_POLICIES, pooled=pooled, house=limits)
        )
        store = None
        if caching and (house is not None or cache_file is not None):
            made_of = await asyncio.to_thread(edition, access)
            store = await stack.enter_async_context(_open_store(made_of, cache_file, house))
        cache = SingleFlightCache(enabled=caching, store=store)
        stack.push_async_callback(cache.close)
        yield AsyncToolkit(pool, cache, mode=mode, base_url=base_url, access=access)


def _open_store(
    edition: str, cache_file: Path | None, house: House | None
) -> AbstractAsyncContextManager[Store]:
    if house is not None:
        return house.open_cache(edition)
    assert cache_file is not None
    return open_stored_cache(cache_file, edition=edition)
