"""How long the rest of a portfolio takes, to judge by what its ticker-days took so far."""

import datetime
from collections.abc import Sequence

from trading_graph.service.portfolio.progress import TickerDayProgress
from trading_graph.service.portfolio.ticker_day import TickerDayState


def seconds_left(
    ticker_days: Sequence[TickerDayProgress],
    at_once: int,
    now: datetime.datetime,
    guess_s: float | None = None,
) -> float | None:
    """Seconds until so many at once are over; None where nothing is known yet.

    Each is taken to last as long as those that are done did on average, and before one is done
    `guess_s`.
    """
    took = [each.seconds for each in ticker_days if each.state is TickerDayState.DONE]
    took = [each for each in took if each > 0]  # one that an earlier process ended took none here
    mean = sum(took) / len(took) if took else guess_s
    if mean is None:
        return None
    left = [
        mean
        if each.began is None or each.state is TickerDayState.WAITING
        # One that takes longer than usual is taken to end any moment.
        else max(0.0, mean - (now - each.began).total_seconds())
        for each in ticker_days
        if not each.is_final
    ]
    return max(sum(left) / at_once, max(left, default=0.0))
