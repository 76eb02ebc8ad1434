"""Bars that cannot be right are mended or left out, with a warning; true ones pass untouched."""

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.misleading_charts import CHART_FAULTS, PRICES, strike
from trading_graph.toolkit.bar_checks import Fault, Remedy
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.sources.yahoo_chart import parse_chart
from trading_graph.toolkit.unit_jumps import in_one_unit

LAST = datetime.date(2025, 11, 14)
SIZE = 260
DAYS = [
    day.astype(datetime.date)
    for day in np.busday_offset("2025-11-14", np.arange(1 - SIZE, 1), roll="backward")
]


def walk(seed: int = 7, start: float = 100.0) -> dict[str, Any]:
    """One result of a v8 answer: a random walk up to `LAST`, without a fault."""
    random = np.random.default_rng(seed)
    close = start * np.exp(np.cumsum(random.normal(0, 0.02, SIZE)))
    opened = close * np.exp(random.normal(0, 0.005, SIZE))
    high = np.maximum(opened, close) * (1 + random.uniform(0, 0.02, SIZE))
    low = np.minimum(opened, close) * (1 - random.uniform(0, 0.02, SIZE))
    columns = {"open": opened, "high": high, "low": low, "close": close}
    quote = {name: column.tolist() for name, column in columns.items()}
    quote["volume"] = random.integers(10**6, 10**7, SIZE).tolist()
    noon = datetime.time(17, tzinfo=datetime.UTC)
    return {
        "meta": {"currency": "USD", "exchangeTimezoneName": "America/New_York"},
        "timestamp": [int(datetime.datetime.combine(day, noon).timestamp()) for day in DAYS],
        "indicators": {"quote": [quote]},
    }


def read(chart: dict[str, Any], symbol: str = "X") -> Bars:
    """The bars as they count on the last day."""
    answer = {"chart": {"result": [chart], "error": None}}
    return in_one_unit(parse_chart(answer, symbol, "test").until(LAST))


def table(bars: Bars) -> dict[datetime.date, tuple[float, ...]]:
    """The prices by day."""
    columns = np.column_stack([getattr(bars, name) for name in PRICES])
    return {bars.day(i): tuple(row) for i, row in enumerate(columns.tolist())}


def quote_of(chart: dict[str, Any]) -> dict[str, list[Any]]:
    quote: dict[str, list[Any]] = chart["indicators"]["quote"][0]
    return quote


def test_true_bars_pass_untouched() -> None:
    bars = read(walk())
    assert len(bars) == SIZE
    assert (bars.faults, bars.warnings) == ((), ())


# By fault: what it is called, what is done, and how many sessions before the last one it strikes.
OUTCOMES = {
    "zeros": (Fault.NO_PRICE, Remedy.LEFT_OUT, 0),
    "low_of_zero": (Fault.NO_PRICE, Remedy.MENDED, 1),
    "close_in_cents": (Fault.UNIT, Remedy.MENDED, 2),
    "close_outside": (Fault.RANGE, Remedy.LEFT_OUT, 3),
    "close_beside": (Fault.RANGE, Remedy.MENDED, 4),
    "negative": (Fault.NEGATIVE, Remedy.LEFT_OUT, 5),
    "twice": (Fault.TWICE, Remedy.LEFT_OUT, 6),
    "bar_in_cents": (Fault.UNIT, Remedy.MENDED, 7),
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_a_fault_is_named_and_changes_no_other_bar(fault: str) -> None:
    clean, chart = table(read(walk())), walk()
    strike(chart, [fault])
    bars = read(chart)
    name, remedy, before = OUTCOMES[fault]
    day = DAYS[-1 - before]
    assert [(each.day, each.fault, each.remedy) for each in bars.faults] == [(day, name, remedy)]
    (warning,) = bars.warnings
    assert str(name) in warning
    assert str(remedy) in warning
    assert str(day) in warning
    after = table(bars)
    others = clean.keys() - {day}
    assert {d: after[d] for d in others} == {d: clean[d] for d in others}
    if fault in ("close_in_cents", "bar_in_cents", "twice"):
        assert after[day] == pytest.approx(clean[day])
    elif fault == "low_of_zero":
        open_, high, low, close = after[day]
        assert (open_, high, close) == (clean[day][0], clean[day][1], clean[day][3])
        assert low == min(open_, close)
    elif fault == "close_beside":
        assert after[day][1] == after[day][3] > clean[day][1]
    else:
        assert day not in after


def test_all_faults_at_once_are_each_named() -> None:
    chart = walk()
    strike(chart, [*OUTCOMES, "week_in_cents"])
    bars = read(chart)
    assert {each.fault for each in bars.faults} == set(Fault)
    clean = table(read(walk()))
    for day, prices in table(bars).items():
        assert prices[3] == pytest.approx(clean[day][3], rel=0.05), day


@settings(database=None, max_examples=examples(200))
@given(
    fault=st.sampled_from(sorted(OUTCOMES)), at=st.integers(30, SIZE - 1), seed=st.integers(0, 9)
)
def test_wherever_a_fault_strikes_no_close_is_far_from_the_true_one(
    fault: str, at: int, seed: int
) -> None:
    clean, chart = table(read(walk(seed))), walk(seed)
    CHART_FAULTS[fault](chart, at)
    bars = read(chart)
    assert len(bars) >= SIZE - 1
    for day, prices in table(bars).items():
        assert prices[3] == pytest.approx(clean[day][3], rel=0.05)
        assert prices[2] <= prices[3] <= prices[1]
    assert bars.faults or at == SIZE - 1


def test_what_comes_later_decides_nothing() -> None:
    """The way back of a run of cents is in the answer, but after the as-of date."""
    chart = walk()
    for i in (-3, -2):
        for name in PRICES:
            quote_of(chart)[name][i] /= 100
    whole = parse_chart({"chart": {"result": [chart], "error": None}}, "X", "test")
    then = in_one_unit(whole.until(DAYS[-2]))
    assert then.session == DAYS[-4]
    assert {each.remedy for each in then.faults} == {Remedy.LEFT_OUT}
    now = in_one_unit(whole)
    assert now.session == LAST
    assert {each.remedy for each in now.faults} == {Remedy.MENDED}


def test_a_new_unit_that_stays_is_a_new_beginning() -> None:
    chart = walk()
    for name in PRICES:
        column = quote_of(chart)[name]
        column[:-40] = [price * 100 for price in column[:-40]]
    bars = read(chart)
    assert len(bars) == 40
    assert bars.faults[-1].day == DAYS[-41]
    assert bars.warnings == (
        f"Bars with a price off by a factor of 100, left out: {SIZE - 40} "
        f"({DAYS[-41]}, {DAYS[-42]}, {DAYS[-43]} and earlier).",
    )


def crash(chart: dict[str, Any]) -> None:
    """From 100 to 1 within a day, and it stays there: LUNA in May 2022."""
    quote = quote_of(chart)
    for name in PRICES:
        quote[name][-3:] = [price / 100 for price in quote[name][-3:]]
    quote["open"][-3], quote["high"][-3] = quote["open"][-4], quote["high"][-4]


def deep_gap(chart: dict[str, Any]) -> None:
    """95 % lower at the opening, and it stays there."""
    for name in PRICES:
        quote_of(chart)[name][-3:] = [price / 20 for price in quote_of(chart)[name][-3:]]


def split(chart: dict[str, Any]) -> None:
    """Ten for one, with the prices before it on today's basis, as Yahoo gives them."""
    stamp = chart["timestamp"][-30]
    event = {"date": stamp, "numerator": 10, "denominator": 1, "splitRatio": "10:1"}
    chart["events"] = {"splits": {str(stamp): event}}


def unadjusted_reverse_split(chart: dict[str, Any]) -> None:
    """One for a hundred, which Yahoo knows, with prices that it has not adjusted yet."""
    stamp = chart["timestamp"][-30]
    event = {"date": stamp, "numerator": 1, "denominator": 100, "splitRatio": "1:100"}
    chart["events"] = {"splits": {str(stamp): event}}
    for name in PRICES:
        quote_of(chart)[name][-30:] = [price * 100 for price in quote_of(chart)[name][-30:]]


def halt(chart: dict[str, Any]) -> None:
    """Days without trade: the last close in every column, and no volume."""
    quote = quote_of(chart)
    for i in (-4, -3, -2):
        for name in PRICES:
            quote[name][i] = quote["close"][-5]
        quote["volume"][i] = 0


def fund(chart: dict[str, Any]) -> None:
    """One price a day, and never a volume."""
    quote = quote_of(chart)
    for name in PRICES:
        quote[name][:] = quote["close"]
    quote["volume"][:] = [0] * SIZE


def no_trade(chart: dict[str, Any]) -> None:
    """A day on which Yahoo has nothing at all is no bar, and no fault."""
    for column in quote_of(chart).values():
        column[-2] = None


def flat(chart: dict[str, Any]) -> None:
    """A stock of a fraction of a cent, which moves in steps of its own price."""
    for name in PRICES:
        quote_of(chart)[name][:] = [
            0.0001 if i % 3 else 0.0002 for i in range(len(quote_of(chart)[name]))
        ]


@pytest.mark.parametrize(
    "event", [crash, deep_gap, split, unadjusted_reverse_split, halt, fund, no_trade, flat]
)
def test_what_really_happened_passes_untouched(event: Any) -> None:
    chart = walk()
    event(chart)
    quote = quote_of(chart)
    bars = read(chart)
    there = [i for i in range(SIZE) if quote["close"][i] is not None]
    assert (bars.faults, len(bars)) == ((), len(there))
    for name in (*PRICES, "volume"):
        assert getattr(bars, name).tolist() == [quote[name][i] for i in there], name


def test_only_a_future_may_be_below_zero() -> None:
    """Oil for May 2020 closed at -37.63."""

    def oil(symbol: str, kind: str) -> Bars:
        chart = walk()
        chart["meta"]["instrumentType"] = kind
        for name, price in zip(PRICES, (17.7, 17.9, -40.3, -37.6), strict=True):
            quote_of(chart)[name][-2] = price
        return read(chart, symbol)

    assert oil("CL=F", "FUTURE").close[-2] == -37.6
    assert oil("CL=F", "FUTURE").faults == ()
    share = oil("X", "EQUITY")
    assert [each.fault for each in share.faults] == [Fault.NEGATIVE]
    assert share.close.min() > 0


def test_prices_of_any_size_are_checked_alike_and_keep_their_digits() -> None:
    chart = walk(start=8.17e-06)
    strike(chart, list(OUTCOMES))
    other = walk()
    strike(other, list(OUTCOMES))
    small, large = read(chart), read(other)
    assert small.faults == large.faults
    np.testing.assert_allclose(small.close / 8.17e-08, large.close, rtol=1e-9)


def test_undoing_a_split_keeps_the_digits_of_a_small_price() -> None:
    chart = walk(start=8.17e-06)
    split(chart)
    bars = read(chart)
    before = bars.on_basis_of(DAYS[-31])
    np.testing.assert_allclose(before.close, bars.close * 10, rtol=1e-5)
