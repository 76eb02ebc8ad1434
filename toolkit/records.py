"""What sources return: daily bars, facts of statements, filings, macro values, news and posts.

All records are immutable. Arrays are read-only.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trading_graph.toolkit.live_access import DataMode

INSIDER_FORMS = ("4", "4/A")
"""The SEC's forms on which insiders report trades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAnswer:
    """An answer with its origin and its age.

    `source` and `data_mode` are those of the source that was asked, which need not state them.
    `fetched` is the instant at which it passed the as-of filter (UTC); None before that.
    `stands_in` says why another source replaces the preferred one, where it does.
    """

    source: str = ""
    data_mode: DataMode = "offline"
    fetched: datetime.datetime | None = None
    stands_in: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one concept, as a report filed it: USD, USD a share, or shares.

    `start` is None for a balance at `end`.
    """

    concept: str
    start: datetime.date | None
    end: datetime.date
    filed: datetime.date
    form: str
    value: float


@dataclass(frozen=True, slots=True)
class Filing:
    """A report to the SEC: its form, the day it was filed, and the item codes of an 8-K."""

    form: str
    filed: datetime.date
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InsiderTrade:
    """A trade of an insider on the day `traded`; the public could know it from `available` on.

    `who` and `text` are the source's words. `shares` and `value` (USD) are None where the source
    does not give them.
    """

    traded: datetime.date
    available: datetime.date
    who: str
    text: str
    shares: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A macro value with its date in the series; the public could know it from `available` on."""

    date: datetime.date
    value: float
    available: datetime.date


@dataclass(frozen=True, slots=True)
class Headline:
    """A piece of news: the instant of its publication (UTC), its title and its publisher.

    The texts are a stranger's: cut and cleaned, but still not to be trusted.
    """

    published: datetime.datetime
    title: str
    publisher: str


@dataclass(frozen=True, slots=True)
class Post:
    """A message of a public forum: its instant (UTC), its text, and the mood its author gave it."""

    published: datetime.datetime
    text: str
    mood: Literal["bullish", "bearish", ""] = ""


@dataclass(frozen=True, slots=True)
class Statements(SourceAnswer):
    """A company's facts of one kind of statement that were filed by a day, as filed.

    `currency` is None where the source does not name it.
    """

    symbol: str
    kind: str
    session: datetime.date
    facts: tuple[Fact, ...]
    currency: str | None = "USD"


@dataclass(frozen=True, slots=True)
class Filings(SourceAnswer):
    """A company's filings of some forms by a day, oldest first, at least one.

    `since` is the day of the first filing of any form that the source lists.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...]


@dataclass(frozen=True, slots=True)
class Insiders(SourceAnswer):
    """What insiders reported by a day, oldest first.

    `filings` are reports of trades (form 4). A source gives these, the `trades`, or both. `since`
    is the first day that the source covers.
    """

    symbol: str
    session: datetime.date
    since: datetime.date
    filings: tuple[Filing, ...] = ()
    trades: tuple[InsiderTrade, ...] = ()


@dataclass(frozen=True, slots=True)
class Series(SourceAnswer):
    """A macro series as the public knew it on a day, oldest first.

    `revised` says that values are the latest revision, not that of the day.
    """

    name: str
    revised: bool
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class News(SourceAnswer):
    """Headlines about a symbol up to an instant, newest first.

    `missing` explains, source by source, what is not among them.
    """

    symbol: str
    headlines: tuple[Headline, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posts(SourceAnswer):
    """Messages about a symbol up to an instant, newest first."""

    symbol: str
    posts: tuple[Post, ...]


Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]
Event = tuple[datetime.date, float]

_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, eq=False)
class Bars(SourceAnswer):
    """Daily open, high, low, close and volume, oldest first, each day at most once.

    Arrays have the same length and are float64 (`dates`: datetime64[D]), without NaN in prices.
    `dividends` are cash a share by ex-date, `splits` new shares for one old share by ex-date.

    Prices and volumes are on one share basis: a source gives today's, and `on_basis_of` undoes the
    splits after a day. Dividends are events; prices still contain them.
    """

    symbol: str
    dates: Dates
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    dividends: tuple[Event, ...] = ()
    splits: tuple[Event, ...] = ()
    currency: str = "USD"

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.dates)

    @property
    def session(self) -> datetime.date:
        """The last bar's day; IndexError without bars."""
        return self.day(-1)

    @property
    def nbytes(self) -> int:
        """The memory of the arrays, in bytes."""
        columns = (self.open, self.high, self.low, self.close, self.volume)
        return self.dates.nbytes + sum(column.nbytes for column in columns)

    def day(self, index: int) -> datetime.date:
        """The day of one bar."""
        day: datetime.date = self.dates[index].astype(datetime.date)
        return day

    def until(self, last: datetime.date) -> "Bars":
        """The bars and events up to a day, which is included."""
        size = int(np.searchsorted(self.dates, np.datetime64(last, "D"), side="right"))
        return replace(
            self,
            dates=self.dates[:size],
            open=self.open[:size],
            high=self.high[:size],
            low=self.low[:size],
            close=self.close[:size],
            volume=self.volume[:size],
            dividends=tuple(event for event in self.dividends if event[0] <= last),
            splits=tuple(event for event in self.splits if event[0] <= last),
        )

    def on_basis_of(self, day: datetime.date) -> "Bars":
        """The bars as they stood on a day: later splits are undone and removed.

        Later bars and dividends remain: remove them with `until`.
        """
        factor = math.prod(ratio for ex_date, ratio in self.splits if ex_date > day)
        splits = tuple(event for event in self.splits if event[0] <= day)
        if factor == 1.0:
            return replace(self, splits=splits)
        # Rounding keeps 120.888 x 10 from becoming 1208.8799999.
        prices = [
            _read_only(np.round(column * factor, 6))
            for column in (self.open, self.high, self.low, self.close)
        ]
        open_, high, low, close = prices
        return replace(
            self,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=_read_only(np.round(self.volume / factor)),
            dividends=tuple((day, round(cash * factor, 6)) for day, cash in self.dividends),
            splits=splits,
        )


def _read_only(column: Floats) -> Floats:
    column.flags.writeable = False
    return column


def make_bars(
    symbol: str,
    dates: Sequence[datetime.date],
    ohlcv: Sequence[Sequence[float | None] | Floats],
    *,
    dividends: Sequence[Event] = (),
    splits: Sequence[Event] = (),
    currency: str = "USD",
) -> Bars:
    """Bars from columns as a source gives them: in any order, with gaps and repeated days.

    `ohlcv` holds five columns. A bar without all four prices is dropped, and a missing volume is 0.
    Of a repeated day the last bar counts (Yahoo repeats the running day).
    """
    # As numbers: numpy takes milliseconds to convert a thousand date objects.
    numbers = np.fromiter((day.toordinal() - _EPOCH for day in dates), np.int64, len(dates))
    days = numbers.astype("datetime64[D]")
    columns = np.array(ohlcv, dtype=np.float64).reshape(5, len(days))
    complete = np.isfinite(columns[:4]).all(axis=0)
    days, columns = days[complete], columns[:, complete]
    columns[4] = np.nan_to_num(columns[4])
    order = np.argsort(days, kind="stable")
    days, columns = days[order], columns[:, order]
    last_of_day = np.append(days[1:] != days[:-1], True)[: len(days)]
    days, columns = days[last_of_day], columns[:, last_of_day]
    days.flags.writeable = columns.flags.writeable = False
    open_, high, low, close, volume = columns
    return Bars(
        symbol,
        days,
        open_,
        high,
        low,
        close,
        volume,
        dividends=tuple(sorted(dividends)),
        splits=tuple(sorted(splits)),
        currency=currency,
    )
