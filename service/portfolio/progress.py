"""What happened to the ticker-days of a portfolio, as events, and how far that brings each of them.

The events are appended to a file while the portfolio is worked on, so a killed process loses none
that it wrote. What it was doing is in the last event of each ticker-day: one that began and has no
end. A process that is killed for another reason takes innocent runs with it, so such tries count
against a ticker-day only in a row at the same place: what kills its process comes no further.
"""

import datetime
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState

MOST_TRIES = 3
"""How often a ticker-day is tried before it is parked."""


class Happening(StrEnum):
    """What happened to a ticker-day."""

    BEGAN = "began"
    DONE = "done"
    ERROR = "error"
    """A try ended in an error, and another may do better."""
    KILLED = "killed"
    """The process died during a try."""
    LEFT = "left"
    """The process was told to stop during a try, which does not count."""
    FAILED = "failed"
    PARKED = "parked"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    """It is in line again, with all its tries."""


class ModelUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the calls of one model took."""

    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "ModelUsage") -> "ModelUsage":
        return ModelUsage(
            self.model,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


def add_usage(usage: Iterable[ModelUsage]) -> tuple[ModelUsage, ...]:
    """The sum for each model."""
    sums: dict[str, ModelUsage] = {}
    for each in usage:
        sums[each.model] = sums[each.model] + each if each.model in sums else each
    return tuple(sums.values())


class ProgressEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One happening; `at` is seconds since the epoch.

    `agents` is how many agents of the run have ended well; `seconds` how long the try took; `usage`
    what it used; `error_type` the class of what went wrong.
    """

    at: float
    run_id: str
    happening: Happening
    agents: int = 0
    reason: str = ""
    seconds: float = 0.0
    usage: tuple[ModelUsage, ...] = ()
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class TickerDayProgress:
    """How far a ticker-day is.

    `errors` are the tries that ended in one, `deaths` those in a row in which the process died
    before another of its agents had ended. `seconds` and `usage` are of all tries.
    """

    ticker_day: TickerDay
    state: TickerDayState = TickerDayState.WAITING
    tries: int = 0
    errors: int = 0
    deaths: int = 0
    agents: int = 0
    reason: str = ""
    seconds: float = 0.0
    usage: tuple[ModelUsage, ...] = ()
    began: datetime.datetime | None = None
    ended: datetime.datetime | None = None

    @property
    def failures(self) -> int:
        """How many tries count against it."""
        # Not the sum: it may be another one that the process died of.
        return max(self.errors, self.deaths)

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what kills the process, so that nothing may run beside it."""
        return self.deaths >= MOST_TRIES - 1

    @property
    def is_final(self) -> bool:
        """Whether nothing more is done for it, unless somebody asks for that."""
        return self.state not in (TickerDayState.WAITING, TickerDayState.RUNNING)

    def returned(self) -> "TickerDayProgress":
        """How far it is once it is in line again."""
        run_id = self.ticker_day.run_id
        return self.after(ProgressEvent(time.time(), run_id, Happening.RETURNED))

    def after(self, event: ProgressEvent) -> "TickerDayProgress":
        """How far it is after one more event."""
        at = datetime.datetime.fromtimestamp(event.at, datetime.UTC)
        state = _STATES[event.happening]
        later = replace(
            self,
            state=state,
            reason=event.reason,
            seconds=self.seconds + event.seconds,
            usage=add_usage((*self.usage, *event.usage)),
            ended=at if state not in (TickerDayState.WAITING, TickerDayState.RUNNING) else None,
        )
        match event.happening:
            case Happening.BEGAN:
                return replace(later, tries=self.tries + 1, began=at, agents=event.agents)
            case Happening.ERROR:
                return replace(later, errors=self.errors + 1, agents=event.agents)
            case Happening.KILLED:
                deaths = self.deaths + 1 if event.agents == self.agents else 1
                return replace(later, deaths=deaths, agents=event.agents)
            case Happening.LEFT:
                return replace(later, tries=max(0, self.tries - 1))
            case Happening.RETURNED:
                return replace(later, tries=0, errors=0, deaths=0)
        return later


_STATES: Mapping[Happening, TickerDayState] = {
    Happening.BEGAN: TickerDayState.RUNNING,
    Happening.DONE: TickerDayState.DONE,
    Happening.ERROR: TickerDayState.WAITING,
    Happening.KILLED: TickerDayState.WAITING,
    Happening.LEFT: TickerDayState.WAITING,
    Happening.FAILED: TickerDayState.FAILED,
    Happening.PARKED: TickerDayState.PARKED,
    Happening.CANCELLED: TickerDayState.CANCELLED,
    Happening.RETURNED: TickerDayState.WAITING,
}


def progress_of(
    ticker_days: Iterable[TickerDay], events: Iterable[ProgressEvent]
) -> dict[str, TickerDayProgress]:
    """How far each ticker-day is, by run id and in their order; events of others are ignored."""
    progress = {each.run_id: TickerDayProgress(each) for each in ticker_days}
    for event in events:
        if event.run_id in progress:
            progress[event.run_id] = progress[event.run_id].after(event)
    return progress
