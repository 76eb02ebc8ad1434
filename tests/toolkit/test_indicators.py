"""Indicators: equal to TA-Lib on embedded symbols, honest about warm-up, closed to free names."""

import datetime
import threading

import numpy as np
import pytest
import talib

from trading_graph.toolkit import indicators
from trading_graph.toolkit.bar_checks import Floats
from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.errors import BadRequestError
from trading_graph.toolkit.indicators import INDICATORS, compute
from trading_graph.toolkit.tools.prices import IndicatorsArguments

TOLERANCE = 1e-4


def embedded(symbol: str) -> Bars:
    """A symbol's whole table as bars."""
    rows = tables.prices()[symbol]
    ohlcv = list(zip(*(row.ohlcv for row in rows), strict=True))
    return make_bars(symbol, [row.date for row in rows], ohlcv)


def bars_of(close: list[float] | Floats, volume: float = 1e6) -> Bars:
    """Bars of one price a day."""
    size = len(close)
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=day) for day in range(size)]
    return make_bars("TEST", days, [close, close, close, close, [volume] * size])


def reference(bars: Bars) -> dict[str, Floats]:
    """The same indicators from TA-Lib; the weighted average from its definition."""
    high, low, close, volume = (
        column.copy() for column in (bars.high, bars.low, bars.close, bars.volume)
    )
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    return {
        "close_50_sma": talib.SMA(close, 50),
        "close_200_sma": talib.SMA(close, 200),
        "close_10_ema": talib.EMA(close, 10),
        "macd": macd,
        "macds": signal,
        "macdh": histogram,
        "rsi": talib.RSI(close, 14),
        "boll": middle,
        "boll_ub": upper,
        "boll_lb": lower,
        "atr": talib.ATR(high, low, close, 14),
        "vwma": talib.SUM(close * volume, 20) / talib.SUM(volume, 20),
        "mfi": talib.MFI(high, low, close, volume, 14),
    }


@pytest.mark.parametrize(
    "symbol", ["AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT", "^GSPC"]
)
def test_every_given_value_equals_ta_lib(symbol: str) -> None:
    bars = embedded(symbol)
    expected = reference(bars)
    for name, values in compute(bars).items():
        finite = np.isfinite(values)
        assert finite.sum() == len(bars) - INDICATORS[name] + 1, name
        # MACD lines cross zero: they are measured against their usual size, not against zero.
        scale = np.abs(expected[name])
        if name.startswith("macd"):
            scale = np.maximum(scale, np.nanmean(scale))
        worst = np.max(np.abs(values - expected[name])[finite] / scale[finite])
        assert worst < TOLERANCE, name


def test_nothing_is_given_before_the_warm_up() -> None:
    bars = embedded("AAPL").until(datetime.date(2022, 12, 9))
    assert len(bars) == 19
    values = compute(bars)
    assert np.isfinite(values["mfi"][-1])
    assert all(np.isnan(column).all() for name, column in values.items() if name != "mfi")


def test_a_value_does_not_change_when_bars_are_added() -> None:
    whole, cut = embedded("NVDA"), embedded("NVDA").until(datetime.date(2025, 3, 14))
    later, earlier = compute(whole), compute(cut)
    for name in INDICATORS:
        np.testing.assert_allclose(later[name][: len(cut)], earlier[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    "name", ["close_1~200000_max", "rsi_99999", "close_999999_sma", "", "open", "__class__", "RSI"]
)
def test_a_free_name_is_refused_before_anything_is_computed(name: str) -> None:
    with pytest.raises(BadRequestError, match=r"There is no indicator .*choose from close_50_sma"):
        compute(embedded("AAPL"), [name])


def test_the_tools_names_are_the_computed_ones() -> None:
    assert list(IndicatorsArguments(symbol="AAPL").names) == list(INDICATORS)


def test_a_price_that_never_moved_has_no_strength() -> None:
    values = compute(bars_of([100.0] * 300))
    assert np.isnan(values["rsi"]).all()
    assert values["close_200_sma"][-1] == pytest.approx(100)
    assert values["boll_ub"][-1] == pytest.approx(values["boll_lb"][-1])
    assert values["atr"][-1] == pytest.approx(0)


@pytest.mark.parametrize("name", ["vwma", "mfi"])
def test_without_volume_nothing_is_weighted_by_it(name: str) -> None:
    """A fund, a currency: stockstats gives a money flow of 50."""
    bars = bars_of(np.linspace(1, 2, 60), volume=0)
    columns = compute(bars, [name, "boll"])
    assert np.isnan(columns[name]).all()
    assert np.isfinite(columns["boll"][-1])


@pytest.mark.parametrize(("name", "window"), [("vwma", 20), ("mfi", 14)])
@pytest.mark.parametrize("share", [0.6, 0.75])
def test_a_few_days_of_halt_leave_a_value_and_many_do_not(
    name: str, window: int, share: float
) -> None:
    volume = np.full(60, 1e6)
    volume[-window:][: window - round(share * window)] = 0
    close = 10 + np.sin(np.arange(60.0))
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=day) for day in range(60)]
    values = compute(make_bars("TEST", days, [close, close, close, close, volume]), [name])[name]
    assert np.isfinite(values[-1]) == (share >= 0.7)
    assert np.isfinite(values[-window - 1])


def test_no_bars_give_empty_columns() -> None:
    assert {name: len(values) for name, values in compute(bars_of([])).items()} == dict.fromkeys(
        INDICATORS, 0
    )


def test_threads_that_share_bars_do_not_disturb_each_other() -> None:
    bars = embedded("AAPL")
    expected = compute(bars)
    results: list[dict[str, Floats]] = []
    threads = [threading.Thread(target=lambda: results.append(compute(bars))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for values in results:
        for name in INDICATORS:
            np.testing.assert_array_equal(values[name], expected[name])


def test_results_are_read_only_and_the_warm_up_runs_alone() -> None:
    indicators.warm_up()
    with pytest.raises(ValueError, match="read-only"):
        compute(embedded("AAPL"), ["boll"])["boll"][0] = 1
