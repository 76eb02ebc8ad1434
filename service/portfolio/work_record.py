"""What happens while a portfolio is worked on: written down first, then told to who listens."""

import asyncio
import time
from typing import Any, Protocol

from trading_graph.graph.decisions import Decision
from trading_graph.service.portfolio.engine import PortfolioListener
from trading_graph.service.portfolio.progress import Happening, ProgressEvent, TickerDayProgress


class EventLog(Protocol):
    """Where events are written."""

    def append(self, *events: ProgressEvent) -> None:
        """Write events; raises OSError."""
        ...


class WorkRecord:
    """How far the ticker-days of a portfolio are, which this process works on."""

    def __init__(
        self, log: EventLog, progress: dict[str, TickerDayProgress], listener: PortfolioListener
    ) -> None:
        self._log = log
        self._progress = progress
        self.listener = listener

    def __getitem__(self, run_id: str) -> TickerDayProgress:
        """How far a ticker-day is."""
        return self._progress[run_id]

    @property
    def ticker_days(self) -> tuple[TickerDayProgress, ...]:
        """How far all ticker-days are, in their order."""
        return tuple(self._progress.values())

    def take_up(self, progress: TickerDayProgress) -> None:
        """Go on with a ticker-day that another process has left."""
        self._progress[progress.ticker_day.run_id] = progress

    async def note(
        self,
        run_id: str,
        happening: Happening,
        *,
        decision: Decision | None = None,
        **values: Any,
    ) -> None:
        """Record a happening; `values` are the other fields of its event. Raises OSError."""
        event = ProgressEvent(time.time(), run_id, happening, **values)
        # First: the line is written even if the caller is cancelled, and must not count twice.
        self._progress[run_id] = now = self._progress[run_id].after(event)
        await asyncio.to_thread(self._log.append, event)
        self.listener.changed(now, decision)

    async def cancel(self) -> None:
        """Record that nothing more is done for what is not over."""
        for each in self.ticker_days:
            if not each.is_final:
                await self.note(each.ticker_day.run_id, Happening.CANCELLED)
