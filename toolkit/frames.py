"""Daily bars of one symbol as immutable arrays.

Prices and volumes are on one share basis: a source gives today's, `on_basis_of` undoes the splits
that came after a day. Dividends are events; they are never taken out of prices.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trading_graph.toolkit.records import Sourced

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]
Event = tuple[datetime.date, float]

_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, eq=False)
class Bars(Sourced):
    """Daily open, high, low, close and volume, oldest first; one day at most once.

    Every array is read-only and float64 (`dates`: datetime64[D]), all of the same length, without
    NaN in prices. `dividends` are cash a share by ex-date, `splits` new shares for one old by
    ex-date.
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
        """The bars and events up to and with a day."""
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
        """The bars as they stood on a day: splits with a later ex-date are undone, and forgotten.

        Nothing else may be known of what came later: cut the bars with `until`.
        """
        ahead = math.prod(ratio for ex_date, ratio in self.splits if ex_date > day)
        kept = tuple(event for event in self.splits if event[0] <= day)
        if ahead == 1.0:
            return replace(self, splits=kept)
        # Rounding keeps 120.888 x 10 from becoming 1208.8799999.
        prices = [
            _frozen(np.round(column * ahead, 6))
            for column in (self.open, self.high, self.low, self.close)
        ]
        opened, high, low, close = prices
        return replace(
            self,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=_frozen(np.round(self.volume / ahead)),
            dividends=tuple((day, round(cash * ahead, 6)) for day, cash in self.dividends),
            splits=kept,
        )


def _frozen(column: Floats) -> Floats:
    column.flags.writeable = False
    return column


def _days(dates: Sequence[datetime.date]) -> Dates:
    # By their numbers: numpy takes milliseconds to read a thousand date objects.
    numbers = np.fromiter((day.toordinal() - _EPOCH for day in dates), np.int64, len(dates))
    return numbers.astype("datetime64[D]")


def make_bars(
    symbol: str,
    dates: Sequence[datetime.date] | Dates,
    ohlcv: Sequence[Sequence[float | None] | Floats],
    *,
    dividends: Sequence[Event] = (),
    splits: Sequence[Event] = (),
    currency: str = "USD",
    source: str = "",
) -> Bars:
    """Bars from columns as a source gives them: in any order, with gaps, with a day given twice.

    `ohlcv` holds five columns. A bar without all four prices is dropped, a missing volume is 0,
    and of a day that is given twice the later one stands (Yahoo repeats the running day).
    """
    days = dates if isinstance(dates, np.ndarray) else _days(dates)
    columns = np.array(ohlcv, dtype=np.float64).reshape(5, len(days))
    complete = np.isfinite(columns[:4]).all(axis=0)
    days, columns = days[complete], columns[:, complete]
    columns[4] = np.nan_to_num(columns[4])
    order = np.argsort(days, kind="stable")
    days, columns = days[order], columns[:, order]
    last_of_day = np.append(days[1:] != days[:-1], True)[: len(days)]
    days, columns = days[last_of_day], columns[:, last_of_day]
    days.flags.writeable = columns.flags.writeable = False
    opened, high, low, close, volume = columns
    return Bars(
        symbol,
        days,
        opened,
        high,
        low,
        close,
        volume,
        dividends=tuple(sorted(dividends)),
        splits=tuple(sorted(splits)),
        currency=currency,
        source=source,
    )
