"""Which sources serve each kind of data, and in which order: a new source is added here.

Embedded data replaces live data only in the mode `auto`; then the answer says so, and why. The same
holds for a second live source where the first has nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from trading_graph.toolkit.cache import SingleFlightCache
from trading_graph.toolkit.errors import (
    BadDateError,
    DataError,
    NoDataError,
    SourceUnavailableError,
    UnknownSymbolError,
)
from trading_graph.toolkit.live_access import LiveAccess, Mode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.sources.embedded import EmbeddedFacts
from trading_graph.toolkit.sources.fred import Fred
from trading_graph.toolkit.sources.news import LiveNews
from trading_graph.toolkit.sources.sec import SecEdgar
from trading_graph.toolkit.sources.source import (
    AttentionSource,
    FilingSource,
    FundamentalsSource,
    InsiderSource,
    MacroSource,
    NewsSource,
    PriceSource,
    Source,
)
from trading_graph.toolkit.sources.stocktwits import StockTwits
from trading_graph.toolkit.sources.yahoo_chart import YahooChart
from trading_graph.toolkit.sources.yahoo_tables import YahooTables

LIVE_PRICES = "Yahoo chart"
EMBEDDED_PRICES = "embedded data set (Yahoo daily bars)"

S = TypeVar("S", bound=Source)
A = TypeVar("A", bound=SourceAnswer)


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """The sources of each kind of data, the preferred one first; none where the mode has none."""

    prices: tuple[PriceSource, ...] = ()
    fundamentals: tuple[FundamentalsSource, ...] = ()
    filings: tuple[FilingSource, ...] = ()
    insiders: tuple[InsiderSource, ...] = ()
    macro: tuple[MacroSource, ...] = ()
    news: tuple[NewsSource, ...] = ()
    attention: tuple[AttentionSource, ...] = ()

    def __add__(self, other: "SourceOrder") -> "SourceOrder":
        """These sources first, then the others."""
        names = (field.name for field in fields(self))
        return SourceOrder(*(getattr(self, name) + getattr(other, name) for name in names))


def sources_of(
    mode: Mode,
    pool: HttpPool,
    cache: SingleFlightCache,
    *,
    embedded_url: str | None,
    access: LiveAccess,
) -> SourceOrder:
    """The sources of a mode; `embedded_url` is the embedded server's, which `live` does without."""
    if mode == "live":
        return live_sources(pool, cache, access)
    if embedded_url is None:
        raise ValueError(f"Mode {mode} needs the address of the embedded data's server.")
    embedded = embedded_sources(pool, embedded_url)
    return embedded if mode == "offline" else live_sources(pool, cache, access) + embedded


def embedded_sources(pool: HttpPool, base_url: str) -> SourceOrder:
    """Everything from the embedded data set; it has no news text and no posts."""
    facts = EmbeddedFacts(pool, base_url)
    chart = YahooChart(pool, base_url, source=EMBEDDED_PRICES, data_mode="offline")
    return SourceOrder((chart,), (facts,), (facts,), (facts,), (facts,))


def live_sources(pool: HttpPool, cache: SingleFlightCache, access: LiveAccess) -> SourceOrder:
    """The live sources: SEC before Yahoo, because its values carry their filing date."""
    urls = access.urls
    sec = SecEdgar(pool, cache, urls, access.sec_user_agent)
    tables = YahooTables(pool, urls)
    return SourceOrder(
        prices=(YahooChart(pool, urls.yahoo, source=LIVE_PRICES, data_mode="live"),),
        fundamentals=(sec, tables),
        filings=(sec,),
        insiders=(sec, tables),
        macro=(Fred(pool, urls, access.fred_key),),
        news=(LiveNews(pool, urls),),
        attention=(StockTwits(pool, urls),),
    )


async def first_answer(what: str, sources: Sequence[S], ask: Callable[[S], Awaitable[A]]) -> A:
    """The answer of the first source that has one, marked if that is not the preferred source.

    Raises the first source's error if none has an answer. An error that no other source could
    change is raised at once.
    """
    first: DataError | None = None
    for source in sources:
        try:
            answer = await ask(source)
        except (NoDataError, SourceUnavailableError) as error:
            first = first or error
        except (UnknownSymbolError, BadDateError):
            # The embedded data set has few symbols and three years: it disproves no live source.
            if first is None:
                raise
        else:
            return answer if first is None else replace(answer, stands_in=str(first))
    raise first or NoDataError(f"The embedded data set has no {what}: use live data (--data live).")
