"""The market analyst's rules: trend, momentum, bands, and strength against the benchmark."""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation, number, one_line, section
from trading_graph.graph.offline_model.report import (
    Analyst,
    Bullet,
    ToolRequest,
    benchmark_of,
    quote,
)

PRICES = "get_prices"
INDICATORS = "get_indicators"

_INDICATOR_NAMES = (
    "close_50_sma",
    "close_200_sma",
    "close_10_ema",
    "macdh",
    "rsi",
    "boll_ub",
    "boll_lb",
    "atr",
    "vwma",
    "mfi",
)


def _bullets(conversation: Conversation) -> Iterator[Bullet]:
    prices = conversation.record(PRICES, conversation.symbol)
    indicators = conversation.record(INDICATORS, conversation.symbol)
    values, previous = section(indicators, "values"), section(indicators, "previous")
    close = number(prices, "close")
    if close is None:
        close = number(indicators, "close")
    yield from _session(prices)
    if close is not None:
        yield from _trend(close, values)
        yield from _bands(close, values)
        yield from _volatility(close, values)
    yield from _momentum(values, previous)
    yield from _strength(conversation, prices)
    if values:
        absent = [name for name in _INDICATOR_NAMES if number(values, name) is None]
        if absent:
            yield Bullet(0, f"No data: no value of {', '.join(absent)} yet", INDICATORS)


def _session(prices: Mapping[str, Any]) -> Iterator[Bullet]:
    note, session = prices.get("note"), prices.get("session")
    if isinstance(note, str) and note:
        yield Bullet(0, note, PRICES)
    elif isinstance(session, str):
        yield Bullet(0, f"The prices are those of the session of {session}", PRICES)
    yield from _company(prices)


def _company(prices: Mapping[str, Any]) -> Iterator[Bullet]:
    """What the symbol is, and in what its prices are."""
    company = section(prices, "company")
    kind, source = company.get("instrument"), company.get("source")
    if isinstance(kind, str) and isinstance(source, str):
        name = one_line(str(company.get("name") or prices.get("symbol")), 80)
        words = (company.get("exchange"), company.get("country"))
        places = [one_line(word, 80) for word in words if isinstance(word, str)]
        text = ", ".join(
            (f"{one_line(str(name), 80)} is of the kind {one_line(kind, 20)}", *places)
        )
        yield Bullet(0, f"{text}; source: {one_line(source, 80)}", PRICES)
    currency = prices.get("currency")
    if isinstance(currency, str):
        yield Bullet(0, f"Prices are in {one_line(currency, 8)}", PRICES)
    elif "currency" in prices:
        yield Bullet(0, "No data: the source does not name the currency of the prices", PRICES)


def _trend(close: float, values: Mapping[str, Any]) -> Iterator[Bullet]:
    fifty, long = number(values, "close_50_sma"), number(values, "close_200_sma")
    for level, label, points in (
        (fifty, "the 50-day average", rules.TREND_50_POINTS),
        (number(values, "close_10_ema"), "the 10-day average", rules.TREND_10_POINTS),
        (number(values, "vwma"), "the volume-weighted average", rules.VWMA_POINTS),
    ):
        if level is not None:
            side, sign = _side(close, level)
            text = f"The close of {quote(close)} is {side} {label} of {quote(level)}"
            yield Bullet(sign * points, text, INDICATORS)
    if fifty is not None and long is not None:
        side, sign = _side(fifty, long)
        yield Bullet(
            sign * rules.TREND_200_POINTS,
            f"The 50-day average of {quote(fifty)} is {side} the 200-day average of {quote(long)}",
            INDICATORS,
        )


def _side(value: float, reference: float) -> tuple[str, int]:
    if value > reference:
        return "above", 1
    return ("below", -1) if value < reference else ("at", 0)


def _bands(close: float, values: Mapping[str, Any]) -> Iterator[Bullet]:
    upper, lower = number(values, "boll_ub"), number(values, "boll_lb")
    if upper is None or lower is None:
        return
    if close > upper:
        text = f"The close of {quote(close)} is above the upper Bollinger band of {quote(upper)}"
        yield Bullet(-rules.BOLLINGER_POINTS, text, INDICATORS)
    elif close < lower:
        text = f"The close of {quote(close)} is below the lower Bollinger band of {quote(lower)}"
        yield Bullet(rules.BOLLINGER_POINTS, text, INDICATORS)
    else:
        text = f"The close is inside the Bollinger bands, {quote(lower)} to {quote(upper)}"
        yield Bullet(0, text, INDICATORS)


def _volatility(close: float, values: Mapping[str, Any]) -> Iterator[Bullet]:
    atr = number(values, "atr")
    if atr is None or close <= 0:
        return
    high = atr / close > rules.VOLATILE_ATR_SHARE
    text = f"A day's typical range (ATR) is {quote(atr)} at a close of {quote(close)}"
    if high:
        text += f", more than {100 * rules.VOLATILE_ATR_SHARE:g} % of it"
    yield Bullet(-rules.VOLATILE_POINTS if high else 0, text, INDICATORS)


def _momentum(values: Mapping[str, Any], previous: Mapping[str, Any]) -> Iterator[Bullet]:
    rsi = number(values, "rsi")
    if rsi is not None:
        yield _rsi(rsi)
    mfi = number(values, "mfi")
    if mfi is not None and mfi > rules.MFI_HIGH:
        text = f"The money flow index of {quote(mfi)} is above {rules.MFI_HIGH:g}"
        yield Bullet(-rules.MFI_POINTS, text, INDICATORS)
    elif mfi is not None and mfi < rules.MFI_LOW:
        text = f"The money flow index of {quote(mfi)} is below {rules.MFI_LOW:g}"
        yield Bullet(rules.MFI_POINTS, text, INDICATORS)
    histogram, before = number(values, "macdh"), number(previous, "macdh")
    if histogram is not None:
        side, sign = _side(histogram, 0)
        points = sign * rules.MACD_POINTS
        text = f"The MACD histogram of {quote(histogram)} is {side} zero"
        yield Bullet(points, text, INDICATORS)
    if histogram is not None and before is not None and histogram != before:
        rises = histogram > before
        yield Bullet(
            rules.MACD_TURN_POINTS if rises else -rules.MACD_TURN_POINTS,
            f"The MACD histogram has {'risen' if rises else 'fallen'} to {quote(histogram)} from "
            f"{quote(before)} five sessions before",
            INDICATORS,
        )


def _rsi(rsi: float) -> Bullet:
    if rsi > rules.RSI_OVERBOUGHT:
        points, text = -rules.RSI_EXTREME_POINTS, f"above {rules.RSI_OVERBOUGHT:g}: overbought"
    elif rsi < rules.RSI_OVERSOLD:
        points, text = rules.RSI_EXTREME_POINTS, f"below {rules.RSI_OVERSOLD:g}: oversold"
    elif rsi >= rules.RSI_MIDDLE:
        points, text = rules.RSI_SIDE_POINTS, f"in the upper half, from {rules.RSI_MIDDLE:g}"
    else:
        points, text = -rules.RSI_SIDE_POINTS, f"in the lower half, below {rules.RSI_MIDDLE:g}"
    return Bullet(points, f"The RSI of {quote(rsi)} is {text}", INDICATORS)


def _strength(conversation: Conversation, prices: Mapping[str, Any]) -> Iterator[Bullet]:
    benchmark = benchmark_of(conversation.symbol)
    if not benchmark:
        return
    own = number(prices, "change_20d_pct")
    market = number(conversation.record(PRICES, benchmark), "change_20d_pct")
    if own is None or market is None:
        return
    margin = rules.RELATIVE_MARGIN_PCT
    sign = 1 if own - market > margin else -1 if market - own > margin else 0
    verdict = {1: "stronger than the market", 0: "in step with the market", -1: "weaker than it"}
    yield Bullet(
        sign * rules.RELATIVE_POINTS,
        f"In 20 sessions the price changed by {quote(own)} % and {benchmark} by {quote(market)} %, "
        f"{verdict[sign]}",
        PRICES,
    )


MARKET_ANALYST = Analyst(
    "Market",
    (ToolRequest(PRICES), ToolRequest(INDICATORS), ToolRequest(PRICES, benchmark=True)),
    _bullets,
)
