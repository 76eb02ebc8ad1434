"""The decisions as one account: what it would have been worth on each day.

The account starts with 1 in cash. A BUY takes the share of the account that the decision names,
measured at the close before, less what of the symbol is held already, and no more than the cash.
Of one morning's purchases the highest rank comes first. What is sold on a day can be spent from the
next day on. A later decision to SELL ends what is held of the symbol at the next open.

Currencies are converted nowhere, so that an account holds one.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trading_graph.service.portfolio.results.trades import BASIS_POINT, Trade, drawdown
from trading_graph.toolkit.bar_checks import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Purchase:
    """A BUY that is followed to its end; `share` is that of the account, `rank` its turn."""

    symbol: str
    share: float
    rank: float
    trade: Trade


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """An account's value at the end of each session, and the share of it that was invested.

    Of the purchases so many were `bought`; for the `unpaid` there was no cash, and the symbols of
    the `held` had their share already.
    """

    days: tuple[datetime.date, ...]
    values: Floats
    invested: Floats
    bought: int
    unpaid: int
    held: int

    @property
    def purchases(self) -> int:
        """How many purchases there were to make."""
        return self.bought + self.unpaid + self.held

    @property
    def profit(self) -> float:
        """What was earned, as a share of what it started with."""
        return float(self.values[-1]) - 1

    @property
    def drawdown(self) -> float:
        """The largest fall from the highest value before it, as a share."""
        return drawdown(1.0, self.values)

    @property
    def exposure(self) -> float:
        """The mean share of the account that was invested."""
        return float(self.invested.mean())


@dataclass(slots=True, eq=False)
class _Lot:
    """A purchase that was paid: so many shares, and what each is worth by day."""

    purchase: Purchase
    shares: float
    worth: Mapping[datetime.date, float]
    value: float


def keep_account(
    purchases: Sequence[Purchase], sessions: Iterable[datetime.date], cost_bps: float
) -> Account | None:
    """The account of these purchases, from the first one to the last sale; None without any.

    `sessions` are those of all symbols, so that days without a position count too.
    """
    if not purchases:
        return None
    start = min(purchase.trade.entry_day for purchase in purchases)
    end = max(purchase.trade.exit_day for purchase in purchases)
    days = sorted({day for day in sessions if start <= day <= end})
    cost = cost_bps * BASIS_POINT
    cash, bought, unpaid, held = 1.0, 0, 0, 0
    lots: list[_Lot] = []
    values, invested = [], []
    mornings: defaultdict[datetime.date, list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        mornings[purchase.trade.entry_day].append(purchase)
    for day in days:
        total = cash + sum(lot.value for lot in lots)
        for purchase in sorted(
            mornings[day], key=lambda purchase: (-purchase.rank, purchase.symbol)
        ):
            there = sum(lot.value for lot in lots if lot.purchase.symbol == purchase.symbol)
            wanted = purchase.share * total - there
            spent = min(wanted, cash)
            if spent <= 0:
                unpaid, held = unpaid + (wanted > 0), held + (wanted <= 0)
                continue
            trade = purchase.trade
            shares = spent / (trade.entry * (1 + cost))
            worth = dict(zip(trade.days, trade.values.tolist(), strict=True))
            lots.append(_Lot(purchase, shares, worth, shares * trade.entry))
            cash -= spent
            bought += 1
        remaining = []
        for lot in lots:
            trade = lot.purchase.trade
            if day >= trade.exit_day:
                cash += lot.shares * (trade.exit * (1 - cost) + trade.dividends)
                continue
            if day in lot.worth:
                lot.value = lot.shares * lot.worth[day]
            remaining.append(lot)
        lots = remaining
        at_work = sum(lot.value for lot in lots)
        values.append(cash + at_work)
        invested.append(at_work / (cash + at_work))
    return Account(tuple(days), np.array(values), np.array(invested), bought, unpaid, held)
