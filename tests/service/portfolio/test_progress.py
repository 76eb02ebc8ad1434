"""How far events bring a ticker-day, and which tries count against it."""

import datetime

import pytest

from trading_graph.service.portfolio.progress import (
    MOST_TRIES,
    Happening,
    ModelUsage,
    ProgressEvent,
    TickerDayProgress,
    progress_of,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState

DAY = TickerDay(datetime.date(2025, 11, 14), "AAPL", "a" * 32)
OTHER = TickerDay(datetime.date(2025, 11, 14), "NVDA", "b" * 32)


def after(*happenings: Happening | tuple[Happening, int]) -> TickerDayProgress:
    """How far a ticker-day is; a number is how many agents had ended."""
    pairs = [each if isinstance(each, tuple) else (each, 0) for each in happenings]
    events = [
        ProgressEvent(at, DAY.run_id, happening, agents=agents)
        for at, (happening, agents) in enumerate(pairs)
    ]
    progress = progress_of([DAY, OTHER], events)
    assert progress[OTHER.run_id] == TickerDayProgress(OTHER)
    return progress[DAY.run_id]


@pytest.mark.parametrize(
    ("happenings", "state", "tries", "failures"),
    [
        ((), TickerDayState.WAITING, 0, 0),
        ((Happening.BEGAN,), TickerDayState.RUNNING, 1, 0),
        ((Happening.BEGAN, Happening.DONE), TickerDayState.DONE, 1, 0),
        ((Happening.BEGAN, Happening.ERROR), TickerDayState.WAITING, 1, 1),
        ((Happening.BEGAN, Happening.LEFT), TickerDayState.WAITING, 0, 0),
        ((Happening.BEGAN, Happening.FAILED), TickerDayState.FAILED, 1, 0),
        ((Happening.BEGAN, Happening.KILLED) * 2, TickerDayState.WAITING, 2, 2),
        ((Happening.CANCELLED,), TickerDayState.CANCELLED, 0, 0),
        (
            (Happening.BEGAN, Happening.ERROR, Happening.PARKED, Happening.RETURNED),
            TickerDayState.WAITING,
            0,
            0,
        ),
    ],
)
def test_what_happened_brings_it_so_far(
    happenings: tuple[Happening, ...], state: TickerDayState, tries: int, failures: int
) -> None:
    progress = after(*happenings)
    assert (progress.state, progress.tries, progress.failures) == (state, tries, failures)


def test_deaths_count_in_a_row_at_the_same_place() -> None:
    """A process that is killed for another reason takes innocent runs with it."""
    began, killed = Happening.BEGAN, Happening.KILLED
    once = [(began, 0), (killed, 3)]
    assert (after(*once).failures, after(*once).is_suspect) == (1, False)
    twice = [*once, (began, 3), (killed, 3)]
    assert (after(*twice).failures, after(*twice).is_suspect) == (2, True)
    assert after(*twice, (began, 3), (killed, 3)).failures == MOST_TRIES
    further = [*twice, (began, 3), (killed, 4)]
    assert (after(*further).failures, after(*further).is_suspect) == (1, False)
    at_once = [(began, 0), (killed, 0)] * 3
    assert after(*at_once).failures == MOST_TRIES


def test_deaths_and_errors_are_not_added_up() -> None:
    """Its neighbour may have been what killed the process."""
    tries = [Happening.BEGAN, Happening.ERROR] * 2 + [Happening.BEGAN, Happening.KILLED] * 2
    assert after(*tries).failures == 2


def test_what_all_tries_used_is_added_up_by_model() -> None:
    usage = (
        (ModelUsage("small", 2, 100, 10), ModelUsage("large", 1, 50, 5, 20)),
        (ModelUsage("small", 1, 30, 3),),
    )
    events = [
        ProgressEvent(at, DAY.run_id, Happening.ERROR, seconds=1.5, usage=each)
        for at, each in enumerate(usage)
    ]
    progress = progress_of([DAY], events)[DAY.run_id]
    assert progress.seconds == 3.0
    assert progress.usage == (ModelUsage("small", 3, 130, 13), ModelUsage("large", 1, 50, 5, 20))
