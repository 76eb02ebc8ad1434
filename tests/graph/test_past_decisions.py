"""Earlier decisions: what the price did since, and that nothing of it is later than the date."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.past_decisions import (
    MOST_PAST_DECISIONS,
    Level,
    LoggedDecision,
    earlier,
    price_since,
    since_text,
    with_prices,
)
from trading_graph.graph.prompts import past_decisions_blocks
from trading_graph.toolkit.bars import Bars, make_bars

FIRST = datetime.date(2025, 1, 1)
DAYS = [FIRST + datetime.timedelta(days=n) for n in range(60)]
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def logged(day: datetime.date, number: int = 0, **changes: object) -> LoggedDecision:
    fields: dict[str, object] = {
        "run_id": f"{number:032x}",
        "decided": NOON + datetime.timedelta(seconds=number),
        "symbol": "NVDA",
        "as_of": day,
        "session": day,
        "action": "BUY",
        "confidence": 0.6,
        "entry": 100.0,
        "stop": 90.0,
        "target": 120.0,
        "currency": "USD",
        "model": "m",
        "decided_by": "model",
        "degraded": False,
        **changes,
    }
    return LoggedDecision(**fields)  # type: ignore[arg-type]


def bars_of(closes: list[float], spread: float = 0.0) -> Bars:
    """Bars with these closes from `FIRST` on; highs and lows are off by a share of them."""
    close = np.array(closes)
    high, low = close * (1 + spread), close * (1 - spread)
    columns = [close, high, low, close, np.full(len(closes), 1e6)]
    return make_bars("NVDA", DAYS[: len(closes)], columns, currency="USD")


prices = st.floats(1, 1000).map(lambda x: round(x, 2))
closes = st.lists(prices, min_size=3, max_size=60)
long_closes = st.lists(prices, min_size=30, max_size=40)
logs = st.lists(st.sampled_from(DAYS[:25]), min_size=5, max_size=30).map(
    lambda days: [logged(day, number) for number, day in enumerate(days)]
)


@given(long_closes, logs, st.sampled_from(DAYS[2:28]), st.floats(0.5, 2), st.floats(0, 0.2))
def test_nothing_after_the_date_reaches_the_judge(
    given_closes: list[float],
    log: list[LoggedDecision],
    as_of: datetime.date,
    factor: float,
    spread: float,
) -> None:
    """Whatever is decided and whatever the price does later, the prompt is the same."""
    bars = bars_of(given_closes, spread)
    past = earlier(log, as_of)
    assert all(each.as_of < as_of for each in past)
    assert len({each.as_of for each in past}) == len(past) <= MOST_PAST_DECISIONS
    block = past_decisions_blocks(with_prices(past, bars, as_of))

    known = [each for each in log if each.as_of < as_of]
    later = bars.dates > np.datetime64(as_of, "D")
    other = replace(
        bars,
        **{
            name: np.where(later, getattr(bars, name) * factor, getattr(bars, name))
            for name in ("open", "high", "low", "close")
        },
        splits=((as_of + datetime.timedelta(days=1), 10.0),),
    )
    again = with_prices(earlier(known, as_of), other, as_of)
    assert past_decisions_blocks(again) == block
    for each in again:
        if each.since is not None:
            assert each.since.session <= as_of
            assert each.since.reached_on is None or each.since.reached_on <= as_of


@given(closes, st.integers(0, 59))
def test_the_change_is_that_of_the_closes(given_closes: list[float], at: int) -> None:
    bars = bars_of(given_closes)
    since = price_since(logged(DAYS[at]), bars)
    if at >= len(given_closes):
        assert since is None
        return
    assert since is not None
    after = given_closes[at + 1 :] or [given_closes[at]]
    assert since.sessions == len(given_closes) - 1 - at
    for value, price in (
        (since.change_pct, given_closes[-1]),
        (since.lowest_pct, min(after)),
        (since.highest_pct, max(after)),
    ):
        assert value == pytest.approx(100 * (price / given_closes[at] - 1), abs=0.006)


@pytest.mark.parametrize(
    ("path", "stop", "target", "level"),
    [
        ([100, 110, 121, 80], 90.0, 120.0, Level.TARGET),
        ([100, 95, 89, 130], 90.0, 120.0, Level.STOP),
        ([100, 95, 105], 90.0, 120.0, None),
        # Of a SELL the stop is above.
        ([100, 105, 111, 70], 110.0, 80.0, Level.STOP),
        ([100, 95, 79, 120], 110.0, 80.0, Level.TARGET),
        ([100, 130], None, 120.0, None),
    ],
)
def test_the_level_that_was_reached_first(
    path: list[float], stop: float | None, target: float | None, level: Level | None
) -> None:
    since = price_since(logged(FIRST, stop=stop, target=target), bars_of(path))
    assert since is not None
    assert since.reached is level
    hit = DAYS[1 if len(path) == 2 else 2]
    assert since.reached_on == (None if level is None else hit)
    assert ("reached" in since_text(since)) == (level is not None)


def test_a_day_that_reaches_both_levels_does_not_say_which_was_first() -> None:
    since = price_since(logged(FIRST), bars_of([100, 100], spread=0.3))
    assert since is not None
    assert since.reached is Level.BOTH
    assert "stop and target reached" in since_text(since)


def test_levels_from_before_a_split_are_compared_after_it() -> None:
    """The source gives bars on today's basis of shares; the decision's levels are older."""
    split = replace(bars_of([10, 10.5, 9.5, 10]), splits=((DAYS[2], 10.0),))
    since = price_since(logged(FIRST), split)
    assert since is not None
    assert since.reached is None
    fallen = replace(bars_of([10, 10.5, 8.9, 10]), splits=((DAYS[2], 10.0),))
    assert (price_since(logged(FIRST), fallen) or since).reached is Level.STOP


def test_what_no_bar_says_is_not_known() -> None:
    bars = bars_of([100, 101])
    for decision in (logged(DAYS[40]), logged(FIRST, session=None)):
        assert price_since(decision, bars) is None
    assert with_prices([logged(FIRST)], None, DAYS[1])[0].since is None
    assert since_text(None) == "what the price did since is not known"


def test_of_several_runs_of_a_day_the_last_counts_and_the_newest_days_are_told() -> None:
    log = [logged(day, number) for number, day in enumerate(DAYS[:20])]
    log += [logged(DAYS[19], 99, action="SELL")]
    past = earlier(log, DAYS[30])
    assert [each.as_of for each in past] == DAYS[10:20]
    assert past[-1].action == "SELL"


def test_the_block_is_bounded_inert_and_marked_as_context() -> None:
    past = [logged(day, n, action="<BUY>") for n, day in enumerate(DAYS)]
    block = past_decisions_blocks(with_prices(earlier(past, DAYS[-1]), None, DAYS[-1]))[0]
    assert block.startswith('<past_decisions use="context">')
    assert block.count("<") == 2
    assert len(block) < 5_000
    assert past_decisions_blocks([]) == []
