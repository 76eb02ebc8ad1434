"""A second reckoning of what became of a decision, in plain Python, for comparison.

It shares nothing with the program: it works on the share basis of the last day and converts the
levels forward, where the program converts the bars back.
"""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class Day:
    date: datetime.date
    open: float
    high: float
    low: float
    close: float
    dividend: float = 0.0
    split: float = 1.0


@dataclass(frozen=True)
class Ended:
    entry_day: datetime.date
    exit_day: datetime.date
    kind: str
    profit: float


def trade(
    days: list[Day],
    as_of: datetime.date,
    horizon: int,
    stop: float,
    target: float,
    cost_bps: float,
) -> Ended | str:
    known = [day for day in days if day.date <= as_of]
    later = [day for day in days if day.date > as_of]
    if not later:
        return "no session after it is known"
    if not known:
        return "prices begin after it"
    shares = 1.0
    for day in later:
        shares *= day.split
    stop, target = stop / shares, target / shares
    paid = later[0].open
    cash = 0.0
    for number, day in enumerate(later):
        if number > 0:
            cash += day.dividend
        if day.open <= stop:
            kind, price = "beyond the stop at the open", day.open
        elif day.open >= target:
            kind, price = "beyond the target at the open", day.open
        elif day.low <= stop:
            kind, price = "stop", stop
        elif day.high >= target:
            kind, price = "target", target
        elif (day.date - later[0].date).days >= horizon:
            kind, price = "end of the horizon", day.close
        elif number == len(later) - 1:
            kind, price = "still open", day.close
        else:
            continue
        rate = cost_bps / 10_000
        profit = (price - price * rate + cash) / (paid + paid * rate) - 1
        return Ended(later[0].date, day.date, kind, profit)
    raise AssertionError
