"""What the drawings of a portfolio's page are made of: closes with levels, and accounts.

A drawing is 100 wide and 40 high, and may be stretched: lines keep their width.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from trading_graph.graph.price_text import money_text
from trading_graph.service.portfolio.results.backtest import CurrencyAccount
from trading_graph.service.portfolio.results.ranking import Place
from trading_graph.service.portfolio.results.wording import per_cent
from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars

_SESSIONS = 60
_WIDTH, _HEIGHT, _MARGIN = 100.0, 40.0, 2.0


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line: its class in the style sheet, and its height in the drawing."""

    kind: str
    y: str


@dataclass(frozen=True, slots=True)
class Spark:
    """The closes up to a decision as a path, its levels, and both in words."""

    path: str
    levels: tuple[Level, ...]
    title: str


@dataclass(frozen=True, slots=True)
class AccountChart:
    """An account's value over its sessions as a path, and its benchmark's ("": none)."""

    title: str
    path: str
    benchmark: str
    benchmark_name: str
    zero: str
    start: datetime.date
    end: datetime.date


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    def y(self, value: float) -> float:
        """The height of a value, from above."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)

    def path(self, values: Floats) -> str:
        """The values as a line from left to right."""
        last = max(len(values) - 1, 1)
        points = (
            f"{_WIDTH * i / last:.2f} {self.y(value):.2f}"
            for i, value in enumerate(values.tolist())
        )
        return "M" + "L".join(points)


def spark(place: Place, bars: Bars | None) -> Spark | None:
    """The last closes up to the decision's day; None without bars from before it."""
    if bars is None:
        return None
    decision = place.decision
    closes = bars.on_basis_of(decision.as_of).until(decision.as_of).close[-_SESSIONS:]
    if not len(closes):
        return None
    final = decision.decision
    prices = {
        name: price
        for name, price in (
            ("entry", final.entry),
            ("stop", final.stop),
            ("target", final.target),
        )
        if price is not None
    }
    every = [float(closes.min()), float(closes.max()), *prices.values()]
    scale = _Scale(min(every), max(every))
    words = [f"{name} {money_text(price, decision.currency)}" for name, price in prices.items()]
    title = f"{decision.symbol}: closes of {len(closes)} sessions up to {decision.as_of}"
    return Spark(
        scale.path(closes),
        tuple(Level(name, f"{scale.y(price):.2f}") for name, price in prices.items()),
        "; ".join([title, *words]),
    )


def account_chart(each: CurrencyAccount) -> AccountChart:
    """The account of a currency and its benchmark on one scale."""
    account, benchmark = each.account, each.benchmark_values
    own = np.concatenate(([1.0], account.values))
    other = None if benchmark is None else np.concatenate(([1.0], benchmark))
    every = own if other is None else np.concatenate((own, other))
    scale = _Scale(float(every.min()), float(every.max()))
    currency = each.currency or "currency not named"
    title = f"Account in {currency}: {per_cent(account.profit, sign=True)}"
    if each.benchmark_profit is not None:
        title += f", {each.benchmark} {per_cent(each.benchmark_profit, sign=True)}"
    return AccountChart(
        f"{title}, {per_cent(account.exposure)} invested on average",
        scale.path(own),
        "" if other is None else scale.path(other),
        each.benchmark,
        f"{scale.y(1.0):.2f}",
        account.days[0],
        account.days[-1],
    )
