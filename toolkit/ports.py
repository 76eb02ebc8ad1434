"""The ports: what a source of each kind of market data can be asked.

Every method takes an `AsOf`. What a source returns is not trusted to keep to it: `as_of_filter`
stands between every port and its caller. Errors are those of `toolkit.errors`.
"""

from collections.abc import Sequence
from typing import Protocol

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.frames import Bars
from trading_graph.toolkit.records import (
    DataMode,
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    Statements,
)


class Source(Protocol):
    """What every source says of itself: its name in messages, and whether it is live."""

    name: str
    data_mode: DataMode


class PriceSource(Source, Protocol):
    """Daily bars."""

    async def bars(self, symbol: str, as_of: AsOf) -> Bars:
        """The bars up to the as-of date, on the share basis of that day, at least one."""
        ...


class FundamentalsSource(Source, Protocol):
    """What companies report of their business."""

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) known by then."""
        ...


class FilingSource(Source, Protocol):
    """Which reports companies filed."""

    async def filings(self, symbol: str, as_of: AsOf, forms: Sequence[str]) -> Filings:
        """The filings of these forms by then, amendments included."""
        ...


class InsiderSource(Source, Protocol):
    """What insiders of a company report of their trades."""

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The reports and trades known by then."""
        ...


class MacroSource(Source, Protocol):
    """Economic series."""

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """A series as far as it was known by then."""
        ...


class NewsSource(Source, Protocol):
    """Headlines about a company."""

    async def news(self, symbol: str, as_of: AsOf) -> News:
        """The headlines of the week before the as-of date's close."""
        ...


class AttentionSource(Source, Protocol):
    """What a public writes about a symbol."""

    async def posts(self, symbol: str, as_of: AsOf) -> Posts:
        """The latest messages; a source without an archive refuses a date that has passed."""
        ...
