"""The ticker-day: one symbol analysed as of one day, the unit of work of a portfolio."""

import datetime
from dataclasses import dataclass
from enum import StrEnum

from trading_graph.graph.decisions import Decision


@dataclass(frozen=True, slots=True, order=True)
class TickerDay:
    """One analysis of a portfolio; `run_id` names its run, its folder and its trace (32 hex)."""

    date: datetime.date
    symbol: str
    run_id: str


class TickerDayState(StrEnum):
    """How far the analysis of a ticker-day is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """It ended in an error that trying again cannot mend, such as an unknown symbol."""
    PARKED = "parked"
    """It failed, or killed its process, as often as it is tried."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TickerDayResult:
    """What a ticker-day came to: a decision once it is done, else the reason why there is none."""

    ticker_day: TickerDay
    state: TickerDayState
    decision: Decision | None = None
    reason: str = ""
