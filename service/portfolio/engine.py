"""What an engine of portfolios does: it takes orders, works on them, tells of them, cancels them.

`local.py` is the first one: one asyncio process. Another may spread the ticker-days over machines;
commands and pages know only what is here.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from trading_graph.graph.decisions import Decision
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.run_tally import RunTally
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState


class PortfolioState(StrEnum):
    """How far a portfolio is."""

    WAITING = "waiting"
    """A service will work on it."""
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Nobody works on it, and some of its ticker-days are not over."""
    CANCELLED = "cancelled"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class PortfolioStatus:
    """How far a portfolio and each of its ticker-days are; `is_live` says that a process works."""

    order: PortfolioOrder
    folder: Path
    is_live: bool
    ticker_days: tuple[TickerDayProgress, ...]

    @property
    def counts(self) -> Mapping[TickerDayState, int]:
        """How many ticker-days are in each state."""
        return Counter(each.state for each in self.ticker_days)

    @property
    def state(self) -> PortfolioState:
        """How far the portfolio is."""
        if self.is_live:
            return PortfolioState.RUNNING
        if self.counts[TickerDayState.CANCELLED]:
            return PortfolioState.CANCELLED
        if all(each.is_final for each in self.ticker_days):
            return PortfolioState.OVER
        return PortfolioState.INTERRUPTED


class PortfolioListener(Protocol):
    """Is told what happens while a portfolio is worked on, on the event loop."""

    def began(self, ticker_day: TickerDay, tally: RunTally) -> None:
        """A try of a ticker-day begins; what its run uses is counted in the tally."""
        ...

    def changed(self, progress: TickerDayProgress, decision: Decision | None = None) -> None:
        """A ticker-day came further; `decision` comes with its end."""
        ...


class PortfolioEngine(Protocol):
    """Works on portfolios; each method raises PortfolioError or OSError."""

    async def submit(self, order: PortfolioOrder) -> PortfolioStatus:
        """Write an order down; one that is there already is only brought up to its new limits."""
        ...

    async def status(self, portfolio_id: str) -> PortfolioStatus:
        """How far a portfolio is."""
        ...

    async def work(
        self,
        portfolio_id: str,
        listener: PortfolioListener,
        *,
        again: Collection[TickerDayState] = (),
    ) -> PortfolioStatus:
        """Work on a portfolio until each of its ticker-days is over, or it is cancelled.

        What is over is not done again, unless it is in one of the states `again`. Cancellation of
        the task leaves the runs under way to whoever goes on.
        """
        ...

    async def cancel(self, portfolio_id: str) -> PortfolioStatus:
        """Stop the work on a portfolio for good, in whatever process; returns when it has ended."""
        ...
