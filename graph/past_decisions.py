"""Earlier decisions on a symbol, and what the price did since: context of the judge, no evidence.

Nothing here is later than the as-of date: no decision of that day or after it, and no price after
it. What the price did is computed from the bars whenever it is read, since tomorrow it is another.
"""

import datetime
import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Self

import msgspec
import numpy as np

from trading_graph.graph.decisions import Decision
from trading_graph.otel.report.documents.document import Document
from trading_graph.toolkit.bars import Bars

MOST_PAST_DECISIONS = 10
"""How many the judge gets: the newest, one a day."""


class LoggedDecision(Document, frozen=True, kw_only=True):
    """A decision in short; nothing in it says what anybody holds. `decided` is when it was made."""

    run_id: str
    decided: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    symbol: str
    as_of: datetime.date
    session: datetime.date | None
    action: str
    confidence: float
    entry: float | None
    stop: float | None
    target: float | None
    currency: str
    model: str
    decided_by: str
    degraded: bool

    @classmethod
    def from_decision(cls, decision: Decision, decided: datetime.datetime) -> Self:
        """The short form of a decision."""
        final = decision.decision
        return cls.of(
            decision,
            decided=decided,
            action=str(final.action),
            confidence=final.confidence,
            entry=final.entry,
            stop=final.stop,
            target=final.target,
            decided_by=str(decision.decided_by),
        )


class Level(StrEnum):
    """Which level of a decision the price reached first."""

    STOP = "stop"
    TARGET = "target"
    BOTH = "both"
    """Both on one day, whose bar does not say which was first."""


class PriceSince(Document, frozen=True, kw_only=True):
    """What the price did from the close of a decision's session to the last session.

    In per cent of that close: the last close, the lowest low and the highest high.
    """

    session: datetime.date
    sessions: int
    change_pct: float
    lowest_pct: float
    highest_pct: float
    reached: Level | None = None
    reached_on: datetime.date | None = None


class PastDecision(Document, frozen=True, kw_only=True):
    """An earlier decision, and what the price did since; null where no bar says it."""

    decision: LoggedDecision
    since: PriceSince | None


def earlier(
    decisions: Iterable[LoggedDecision], as_of: datetime.date, most: int = MOST_PAST_DECISIONS
) -> list[LoggedDecision]:
    """The last decisions of sessions before a day, the newest last, and one a day.

    Not those of the day itself: the price has done nothing since, and a judge would echo them.
    """
    by_day = {
        each.as_of: each
        for each in sorted(decisions, key=lambda each: each.decided)
        if each.as_of < as_of
    }
    return [by_day[day] for day in sorted(by_day)][-most:]


def with_prices(
    decisions: Sequence[LoggedDecision], bars: Bars | None, as_of: datetime.date
) -> list[PastDecision]:
    """The decisions, each with what the price did since, as of a day."""
    until = None if bars is None else bars.until(as_of)
    return [PastDecision(decision=each, since=price_since(each, until)) for each in decisions]


def price_since(decision: LoggedDecision, bars: Bars | None) -> PriceSince | None:
    """What the price did after a decision's session; None where the bars do not hold it."""
    if bars is None or decision.session is None:
        return None
    at = int(np.searchsorted(bars.dates, np.datetime64(decision.session, "D")))
    if at == len(bars) or bars.day(at) != decision.session or bars.close[at] <= 0:
        return None
    base = float(bars.close[at])
    # Without a session since, the close itself.
    low, high = bars.low[at + 1 :], bars.high[at + 1 :]
    reached, on = _reached(decision, bars, at)
    return PriceSince(
        session=bars.session,
        sessions=len(bars) - 1 - at,
        change_pct=_per_cent(float(bars.close[-1]), base),
        lowest_pct=_per_cent(float(low.min()) if len(low) else base, base),
        highest_pct=_per_cent(float(high.max()) if len(high) else base, base),
        reached=reached,
        reached_on=on,
    )


def _reached(
    decision: LoggedDecision, bars: Bars, at: int
) -> tuple[Level | None, datetime.date | None]:
    """The first level that a later bar reaches, on the bars' basis of shares."""
    stop, target = decision.stop, decision.target
    if stop is None or target is None or decision.session is None:
        return None, None
    split = math.prod(ratio for day, ratio in bars.splits if day > decision.session)
    low, high = sorted((stop / split, target / split))
    below, above = bars.low[at + 1 :] <= low, bars.high[at + 1 :] >= high
    hits = np.flatnonzero(below | above)
    if not len(hits):
        return None, None
    first = int(hits[0])
    day = bars.day(at + 1 + first)
    if below[first] and above[first]:
        return Level.BOTH, day
    is_stop = bool(below[first]) == (stop < target)
    return (Level.STOP if is_stop else Level.TARGET), day


def _per_cent(price: float, base: float) -> float:
    return round(100 * (price / base - 1), 2)


def since_text(since: PriceSince | None) -> str:
    """What the price did, in words."""
    if since is None:
        return "what the price did since is not known"
    if not since.sessions:
        return "no session since"
    sessions = f"{since.sessions} session{'' if since.sessions == 1 else 's'}"
    text = (
        f"{since.change_pct:+.1f} % to {since.session} ({sessions}, "
        f"{since.lowest_pct:+.1f} to {since.highest_pct:+.1f} %)"
    )
    if since.reached is None:
        return text
    what = "stop and target" if since.reached is Level.BOTH else f"the {since.reached}"
    return f"{text}, {what} reached on {since.reached_on}"
