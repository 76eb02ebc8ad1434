"""The one door to market data: every analyst and tool asks here, for a symbol as of a day.

Whatever is asked for twice is fetched once: all tools that need prices share one frame a symbol. In
live mode only prices have a source; the rest answers NoData and says so.
"""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from toolkit import indicators
from toolkit.as_of import NEW_YORK, STALE_AFTER, AsOf
from toolkit.cache import CacheKey, SingleFlightCache
from toolkit.errors import BadDate, BadRequest, DataError, NoData
from toolkit.frames import Bars, Floats
from toolkit.pool import HttpPool
from toolkit.records import Filings, Series, Statements
from toolkit.sources.embedded import EmbeddedFacts
from toolkit.sources.yahoo_chart import YahooChart
from toolkit.symbols import parse_symbol
from toolkit.ttl import Lifetime, ttl_for

Mode = Literal["live", "offline"]
StatementKind = Literal["income", "balance", "cash_flow"]

STATEMENT_KINDS: tuple[StatementKind, ...] = ("income", "balance", "cash_flow")
EVENT_FORMS = ("8-K", "10-Q", "10-K")
MACRO_SERIES = ("DFEDTARU", "DGS10", "T10Y2Y", "CPIAUCSL", "UNRATE", "VIX")

LIVE_SOURCE = "Yahoo chart"
EMBEDDED_SOURCE = "embedded data set (Yahoo daily bars)"
_LEVEL_WINDOW = 20


@dataclass(frozen=True, slots=True)
class PriceLevels:
    """Where a price stands: last close, range of the last 20 sessions, and the average true range.

    `atr_14` is None for a symbol with too few bars.
    """

    session: datetime.date
    close: float
    low_20: float
    high_20: float
    atr_14: float | None


@dataclass(frozen=True, slots=True)
class MarketData:
    """All there is of a symbol as of a day; `errors` says by part what could not be had, and why.

    Parts: bars, income, balance, cash_flow, filings, and macro series by `macro.{name}`.
    """

    symbol: str
    as_of: AsOf
    bars: Bars | None
    statements: Mapping[str, Statements]
    filings: Filings | None
    macro: Mapping[str, Series]
    errors: Mapping[str, DataError]


class _Part(NamedTuple):
    name: str
    asked: Awaitable[Bars | Statements | Filings | Series]


class AsyncToolkit:
    """Market data of any symbol as of any day, through one pool and one cache.

    `base_url` is the loopback server's in mode `offline`, Yahoo's in mode `live`. All symbols may
    be given as people type them. Nothing dated after the as-of date is ever returned. Raises
    errors of `toolkit.errors`.
    """

    def __init__(
        self,
        pool: HttpPool,
        cache: SingleFlightCache,
        *,
        mode: Mode,
        base_url: str,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(NEW_YORK).date(),
    ) -> None:
        self.mode = mode
        self._cache = cache
        self._today = today
        self.price_source = EMBEDDED_SOURCE if mode == "offline" else LIVE_SOURCE
        self._chart = YahooChart(pool, base_url, source=self.price_source, data_mode=mode)
        self._facts = EmbeddedFacts(pool, base_url) if mode == "offline" else None

    async def bars(self, symbol: str, as_of: AsOf) -> Bars:
        """About three years of daily bars up to the as-of date, at least one."""
        symbol = parse_symbol(symbol)
        bars = await self._cache.get(
            CacheKey("bars", self.price_source, symbol, as_of.date),
            lambda: self._chart.bars(symbol, as_of),
            ttl=self._ttl("bars", as_of),
            size=lambda bars: bars.nbytes,
        )
        if as_of.date - bars.session > STALE_AFTER:
            raise BadDate(
                f"The prices of {symbol} from {self.price_source} end with {bars.session}: "
                f"choose a date up to {bars.session}."
            )
        return bars

    async def indicators(
        self, symbol: str, as_of: AsOf, names: Sequence[str] = tuple(indicators.INDICATORS)
    ) -> dict[str, Floats]:
        """Technical indicators beside the bars' dates, NaN before their warm-up."""
        bars = await self.bars(symbol, as_of)
        return await asyncio.to_thread(indicators.compute, bars, names)

    async def statements(self, symbol: str, as_of: AsOf, kind: StatementKind) -> Statements:
        """The facts of one kind of statement that were filed by the as-of date."""
        symbol = parse_symbol(symbol)
        facts = self._offline_only("statements", symbol)
        return await self._cache.get(
            CacheKey("statements", "embedded", symbol, as_of.date, (kind,)),
            lambda: facts.statements(symbol, as_of, kind),
            ttl=self._ttl("statements", as_of),
            size=lambda answer: 200 * len(answer.facts),
        )

    async def filings(
        self, symbol: str, as_of: AsOf, forms: Sequence[str] = EVENT_FORMS
    ) -> Filings:
        """The filings of these forms up to the as-of date, amendments included."""
        symbol, forms = parse_symbol(symbol), tuple(sorted(set(forms)))
        facts = self._offline_only("filings", symbol)
        return await self._cache.get(
            CacheKey("filings", "embedded", symbol, as_of.date, forms),
            lambda: facts.filings(symbol, as_of, forms),
            ttl=self._ttl("filings", as_of),
            size=lambda answer: 100 * len(answer.filings),
        )

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """A macro series as far as it was known on the as-of date."""
        facts = self._offline_only("macro series", series)
        return await self._cache.get(
            CacheKey("macro", "embedded", series, as_of.date),
            lambda: facts.macro(series, as_of),
            ttl=self._ttl("macro", as_of),
            size=lambda answer: 100 * len(answer.observations),
        )

    async def price_levels(self, symbol: str, as_of: AsOf) -> PriceLevels:
        """Last close, 20-session range, average true range: the yardstick for a trade's levels."""
        bars = await self.bars(symbol, as_of)
        computed = await asyncio.to_thread(indicators.compute, bars, ("atr",))
        atr = float(computed["atr"][-1])
        return PriceLevels(
            bars.session,
            float(bars.close[-1]),
            float(bars.low[-_LEVEL_WINDOW:].min()),
            float(bars.high[-_LEVEL_WINDOW:].max()),
            atr if atr == atr else None,
        )

    async def get_all_market_data(self, symbol: str, as_of: AsOf) -> MarketData:
        """Everything of a symbol, fetched at once; what fails is an error in the result.

        Only what no part can survive is raised: BadSymbol, BadDate, UnknownSymbol.
        """
        symbol = parse_symbol(symbol)
        parts = [
            _Part("bars", self.bars(symbol, as_of)),
            *(_Part(kind, self.statements(symbol, as_of, kind)) for kind in STATEMENT_KINDS),
            _Part("filings", self.filings(symbol, as_of)),
            *(_Part(f"macro.{name}", self.macro(name, as_of)) for name in MACRO_SERIES),
        ]
        answers = await asyncio.gather(*(part.asked for part in parts), return_exceptions=True)
        got: dict[str, Bars | Statements | Filings | Series] = {}
        errors: dict[str, DataError] = {}
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, DataError) and not isinstance(answer, BadRequest):
                errors[part.name] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                got[part.name] = answer
        values = got.values()
        return MarketData(
            symbol,
            as_of,
            next((value for value in values if isinstance(value, Bars)), None),
            {value.kind: value for value in values if isinstance(value, Statements)},
            next((value for value in values if isinstance(value, Filings)), None),
            {value.name: value for value in values if isinstance(value, Series)},
            errors,
        )

    def _ttl(self, kind: str, as_of: AsOf) -> Lifetime:
        return ttl_for(kind, as_of.date, self._today())

    def _offline_only(self, what: str, symbol: str) -> EmbeddedFacts:
        if self._facts is None:
            raise NoData(
                f"There is no live source of {what} yet, so there are none of {symbol}: "
                "use the embedded data (--offline)."
            )
        return self._facts
