"""What prices did after the decisions: the bars of all symbols up to the last known day.

The analyses must never see these bars, and don't: each asks as of its own day. Only what judges
their decisions afterwards asks here.
"""

import asyncio
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from trading_graph.service.run.request import default_date
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import AsyncToolkit


class LaterPrices(Protocol):
    """Daily bars up to the last day that anything is known of."""

    @property
    def last_day(self) -> datetime.date:
        """The last known day; the newest bar may be of an earlier one."""
        ...

    async def bars(self, symbol: str) -> Bars:
        """The bars of a symbol, on the share basis of the last day; raises DataError."""
        ...


class ToolkitPrices:
    """The bars of an open toolkit, of about three years."""

    def __init__(self, toolkit: AsyncToolkit) -> None:
        self._toolkit = toolkit
        self._as_of = AsOf.parse(default_date(toolkit.mode))

    @property
    def last_day(self) -> datetime.date:
        """The last day of the embedded data, or today."""
        return self._as_of.date

    async def bars(self, symbol: str) -> Bars:
        """The bars of a symbol; raises DataError."""
        return await self._toolkit.bars(symbol, self._as_of)


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """The bars that could be had, by symbol, and for each other symbol the reason."""

    last_day: datetime.date
    bars: Mapping[str, Bars]
    missing: Mapping[str, str]


async def collect_prices(history: LaterPrices, symbols: Iterable[str]) -> Prices:
    """The bars of all symbols, asked for at once; a symbol without prices stops no other."""
    names = sorted(set(symbols))
    answers = await asyncio.gather(*(_bars_or_reason(history, name) for name in names))
    pairs = list(zip(names, answers, strict=True))
    return Prices(
        history.last_day,
        {name: answer for name, answer in pairs if isinstance(answer, Bars)},
        {name: answer for name, answer in pairs if isinstance(answer, str)},
    )


async def _bars_or_reason(history: LaterPrices, symbol: str) -> Bars | str:
    try:
        return await history.bars(symbol)
    except DataError as error:
        return str(error)
