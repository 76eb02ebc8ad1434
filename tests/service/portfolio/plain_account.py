"""A second keeping of an account, in plain Python, for comparison.

It keeps a list of bookings and adds them up anew for each question, where the program carries sums
forward.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Purchase:
    symbol: str
    share: float
    rank: float
    paid: float
    worth: dict[datetime.date, float]
    """What one share and its dividends are worth at the end of each session."""
    brings: float
    """What one share and its dividends bring on the last of these days."""


@dataclass(frozen=True)
class Booking:
    purchase: Purchase
    shares: float
    cost: float

    @property
    def first(self) -> datetime.date:
        return min(self.purchase.worth)

    @property
    def last(self) -> datetime.date:
        return max(self.purchase.worth)


def _cash(bookings: Sequence[Booking], evening: datetime.date, sold_by: datetime.date) -> float:
    spent = sum(each.cost for each in bookings if each.first <= evening)
    came = sum(each.shares * each.purchase.brings for each in bookings if each.last <= sold_by)
    return 1.0 - spent + came


def _held(bookings: Sequence[Booking], evening: datetime.date, symbol: str | None = None) -> float:
    """What is in positions at the end of a day."""
    total = 0.0
    for each in bookings:
        known = [day for day in each.purchase.worth if day <= evening]
        if known and evening < each.last and symbol in (None, each.purchase.symbol):
            total += each.shares * each.purchase.worth[max(known)]
    return total


def account(
    purchases: Sequence[Purchase], sessions: Sequence[datetime.date], cost_bps: float
) -> list[float]:
    """The account's value at the end of each session from the first purchase to the last sale."""
    rate = cost_bps / 10_000
    first = min(min(each.worth) for each in purchases)
    last = max(max(each.worth) for each in purchases)
    bookings: list[Booking] = []
    values = []
    for day in [day for day in sessions if first <= day <= last]:
        before = day - datetime.timedelta(1)
        value_before = _cash(bookings, before, before) + _held(bookings, before)
        today: list[Booking] = []
        for each in sorted(purchases, key=lambda each: (-each.rank, each.symbol)):
            if min(each.worth) != day:
                continue
            there = _held(bookings, before, each.symbol) + sum(
                other.shares * other.purchase.paid
                for other in today
                if other.purchase.symbol == each.symbol
            )
            wanted = each.share * value_before - there
            cost = min(wanted, _cash([*bookings, *today], day, before))
            if cost > 0:
                today.append(Booking(each, cost / (each.paid * (1 + rate)), cost))
        bookings += today
        values.append(_cash(bookings, day, day) + _held(bookings, day))
    return values
