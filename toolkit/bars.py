"""Daily bars of prices and volume, and how they are made of what a source gives.

Bars are immutable, and their arrays read-only.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trading_graph.toolkit.bar_checks import (
    BarFault,
    Fault,
    Floats,
    Prices,
    Remedy,
    mend,
    sound_rows,
    warnings_of,
)
from trading_graph.toolkit.bar_gaps import Gap, find_gaps, gap_warnings
from trading_graph.toolkit.records import SourceAnswer
from trading_graph.toolkit.symbols import Identity, Instrument

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

    `currency` is the source's name of it, such as USD or GBp (pence); "" where it names none.
    `faults` are the bars that could not be right, and what was done about them; `gaps` are sessions
    of which the source says nothing. `identity` is what the source says the symbol is.
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
    currency: str = ""
    faults: tuple[BarFault, ...] = ()
    gaps: tuple[Gap, ...] = ()
    identity: Identity | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with bars, and where there are none, for a reader."""
        return warnings_of(self.faults) + gap_warnings(self.gaps)

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
        # A gap that reaches to the end is not known to be one.
        end = self.day(size - 1) if size else last
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
            faults=tuple(each for each in self.faults if each.day <= last),
            gaps=tuple(each for each in self.gaps if size and each.last < end),
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
            _read_only(_rounded(column * factor))
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
            dividends=tuple((day, float(f"{cash * factor:.10g}")) for day, cash in self.dividends),
            splits=splits,
        )


def _read_only(column: Floats) -> Floats:
    column.flags.writeable = False
    return column


def _rounded(column: Floats) -> Floats:
    """Prices rounded to six decimals, and more where the smallest of them needs them."""
    least = np.abs(column[column != 0]).min(initial=1.0)
    return np.round(column, 6 - min(0, math.floor(math.log10(least))))


def make_bars(
    symbol: str,
    dates: Sequence[datetime.date],
    ohlcv: Sequence[Sequence[float | None] | Floats],
    *,
    dividends: Sequence[Event] = (),
    splits: Sequence[Event] = (),
    currency: str = "",
    identity: Identity | None = None,
) -> Bars:
    """Bars from columns as a source gives them: in any order, with gaps, faults and repeated days.

    `ohlcv` holds five columns. A bar without any price is no bar; one that cannot be right is
    mended or left out, as `bar_checks` says, and a missing volume is 0. Of a repeated day the last
    bar counts (Yahoo repeats the running day). Only a future's prices may be negative.
    """
    # As numbers: numpy takes milliseconds to convert a thousand date objects.
    numbers = np.fromiter((day.toordinal() - _EPOCH for day in dates), np.int64, len(dates))
    days = numbers.astype("datetime64[D]")
    columns = np.array(ohlcv, dtype=np.float64).reshape(5, len(days))
    columns[4] = np.nan_to_num(columns[4])
    order = np.argsort(days, kind="stable")
    days, columns = days[order], columns[:, order]
    faults: list[BarFault] = []
    gaps = find_gaps(days, identity)
    if not (sound := sound_rows(columns)).all():
        is_future = identity is not None and identity.instrument is Instrument.FUTURE
        usable, faults = _mend_rows(days, columns, np.flatnonzero(~sound), is_future)
        days, columns = days[usable], columns[:, usable]
    last_of_day = np.append(days[1:] != days[:-1], True)[: len(days)]
    if not last_of_day.all():
        faults += _repeated(days, columns)
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
        faults=tuple(faults),
        gaps=gaps,
        identity=identity,
    )


def _mend_rows(
    days: Dates, columns: Floats, rows: NDArray[np.intp], below_zero: bool
) -> tuple[NDArray[np.bool_], list[BarFault]]:
    """Mend bars in place; which bars are kept, and what was wrong."""
    usable = np.ones(len(days), np.bool_)
    faults = []
    for i in rows.tolist():
        prices, fault = mend(Prices(*columns[:4, i].tolist()), below_zero=below_zero)
        if prices is None:
            usable[i] = False
        else:
            columns[:4, i] = prices
        if fault is not None:
            remedy = Remedy.LEFT_OUT if prices is None else Remedy.MENDED
            faults.append(BarFault(days[i].astype(datetime.date), fault, remedy))
    return usable, faults


def _repeated(days: Dates, columns: Floats) -> list[BarFault]:
    """The days given twice, but the newest one where both bars have the same prices."""
    first = np.flatnonzero(days[1:] == days[:-1])
    newest = days[-1]
    return [
        BarFault(days[i].astype(datetime.date), Fault.TWICE, Remedy.LEFT_OUT)
        for i in first
        if days[i] != newest or not np.array_equal(columns[:4, i], columns[:4, i + 1])
    ]
