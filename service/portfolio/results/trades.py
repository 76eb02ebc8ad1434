"""What became of one decision, followed bar by bar from the next session on.

Nothing of the decision's own day counts: the entry is the open of the first session after it. Daily
bars do not say what came first within a day, so that the worse is taken: of a bar that touched both
stop and target the stop. What opens beyond a level is traded at the open.

Prices are those of the share basis of the decision's day, as its levels are: later splits are
undone, so that they cannot touch a stop.
"""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars, Dates

BASIS_POINT = 1e-4


class Exit(StrEnum):
    """How a position ended."""

    STOP = "stop"
    STOP_AT_OPEN = "beyond the stop at the open"
    TARGET = "target"
    TARGET_AT_OPEN = "beyond the target at the open"
    HORIZON = "end of the horizon"
    SELL = "a later SELL"
    STILL_OPEN = "still open"
    """The bars end before it does: it is valued at the last close."""

    @property
    def at_open(self) -> bool:
        """Whether the exit is the price of an open."""
        return self in (Exit.STOP_AT_OPEN, Exit.TARGET_AT_OPEN, Exit.SELL)


class NoTrade(StrEnum):
    """Why a decision cannot be followed."""

    NO_LATER_SESSION = "no session after it is known"
    BEFORE_PRICES = "prices begin after it"
    NO_PRICE = "no price above zero at the entry"


@dataclass(frozen=True, slots=True, eq=False)
class Trade:
    """A position from its entry to its exit, in prices of the share basis of the decision's day.

    `dates` and `values` are the sessions held, the exit's included, and what a share and the
    dividends it has brought were worth at their ends. `dividends` is the sum, cash a share.
    """

    entry_day: datetime.date
    entry: float
    exit_day: datetime.date
    exit: float
    kind: Exit
    dividends: float
    dates: Dates
    values: Floats

    @property
    def days(self) -> list[datetime.date]:
        """The sessions held."""
        days: list[datetime.date] = self.dates.tolist()
        return days

    @property
    def drawdown(self) -> float:
        """The largest fall of its value, as a share; 0 without a fall."""
        return drawdown(self.entry, self.values)

    def profit(self, cost_bps: float) -> float:
        """What the position earned as a share of what it cost, at so many basis points a side."""
        cost = cost_bps * BASIS_POINT
        return (self.exit * (1 - cost) + self.dividends) / (self.entry * (1 + cost)) - 1


def drawdown(start: float, values: Floats) -> float:
    """The largest fall from the highest value before it, as a share; 0 without a fall."""
    path = np.concatenate(([start], values))
    return float(np.max(1 - path / np.maximum.accumulate(path)))


def follow(
    bars: Bars,
    as_of: datetime.date,
    horizon_days: int,
    *,
    stop: float = -math.inf,
    target: float = math.inf,
    sell_as_of: datetime.date | None = None,
) -> Trade | NoTrade:
    """A purchase on a decision as of a day, until its stop, target or horizon.

    The horizon counts calendar days from the entry, and ends with the close of the first session on
    or after its last day. `sell_as_of` is the day of a later decision to SELL, which is carried out
    at the next open.
    """
    bars = bars.on_basis_of(as_of)
    first = int(np.searchsorted(bars.dates, np.datetime64(as_of, "D"), side="right"))
    if first == len(bars):
        return NoTrade.NO_LATER_SESSION
    if first == 0:
        return NoTrade.BEFORE_PRICES
    entry, entry_day = float(bars.open[first]), bars.day(first)
    if entry <= 0:
        return NoTrade.NO_PRICE
    last_day = entry_day + datetime.timedelta(horizon_days)
    row, kind, price = len(bars) - 1, Exit.STILL_OPEN, float(bars.close[-1])
    for i in range(first, len(bars)):
        day = bars.day(i)
        exit_ = _exit(bars, i, stop, target, sell_as_of is not None and day > sell_as_of)
        if exit_ is None and day >= last_day:
            exit_ = Exit.HORIZON, float(bars.close[i])
        if exit_ is not None:
            row, (kind, price) = i, exit_
            break
    values = bars.close[first : row + 1].copy()
    values[-1] = price
    dates = bars.dates[first : row + 1]
    dividends = 0.0
    for ex_day, cash in bars.dividends:
        # Who buys on the ex-day's open buys without the dividend.
        if entry_day < ex_day <= bars.day(row):
            values[np.searchsorted(dates, np.datetime64(ex_day, "D")) :] += cash
            dividends += cash
    return Trade(entry_day, entry, bars.day(row), price, kind, dividends, dates, values)


def _exit(
    bars: Bars, i: int, stop: float, target: float, is_sold: bool
) -> tuple[Exit, float] | None:
    """How and at what price a position ends in a bar, before its close; None: it does not."""
    open_ = float(bars.open[i])
    if is_sold:
        return Exit.SELL, open_
    if open_ <= stop:
        return Exit.STOP_AT_OPEN, open_
    if open_ >= target:
        return Exit.TARGET_AT_OPEN, open_
    if bars.low[i] <= stop:
        return Exit.STOP, stop
    if bars.high[i] >= target:
        return Exit.TARGET, target
    return None


def market_return(
    bars: Bars, start: datetime.date, end: datetime.date, *, to_open: bool
) -> float | None:
    """What was earned from the open of one day to the close (or the open) of another.

    On a day without a session there, the close before it counts. None where prices begin later.
    """
    bought, sold = _price(bars, start, at_open=True), _price(bars, end, at_open=to_open)
    return None if bought is None or sold is None or bought <= 0 else sold / bought - 1


def market_values(bars: Bars, days: Sequence[datetime.date]) -> Floats | None:
    """What 1, invested at the open of the first of these days, was worth at the close of each."""
    bought = _price(bars, days[0], at_open=True)
    if bought is None or bought <= 0:
        return None
    rows = np.searchsorted(bars.dates, np.array(days, "datetime64[D]"), side="right") - 1
    values: Floats = bars.close[rows] / bought
    return values


def _price(bars: Bars, day: datetime.date, *, at_open: bool) -> float | None:
    row = int(np.searchsorted(bars.dates, np.datetime64(day, "D"), side="right")) - 1
    if row < 0:
        return None
    column = bars.open if at_open and bars.day(row) == day else bars.close
    return float(column[row])
