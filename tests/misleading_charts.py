"""Yahoo's chart with what Yahoo gets wrong, each fault a switch.

Faults strike the last bar of the answer up to `DAY`, or one some sessions before it; the rest of
the answer stays as it is. Each was seen at Yahoo (yfinance #315, #1281, #2660, #2924; Equibles
#3753, #4278).
"""

import datetime
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

DAY = datetime.date(2025, 11, 14)
PRICES = ("open", "high", "low", "close")

Chart = dict[str, Any]
"""One `result` of a v8 answer."""


def _zeros(chart: Chart, i: int) -> None:
    for name in PRICES:
        _quote(chart)[name][i] = 0.0


def _low_of_zero(chart: Chart, i: int) -> None:
    _quote(chart)["low"][i] = 0.0


def _close_in_cents(chart: Chart, i: int) -> None:
    _quote(chart)["close"][i] /= 100


def _bar_in_cents(chart: Chart, i: int) -> None:
    for name in PRICES:
        _quote(chart)[name][i] /= 100


def _week_in_cents(chart: Chart, i: int) -> None:
    for j in range(i - 4, i + 1):
        _bar_in_cents(chart, j)


def _close_outside(chart: Chart, i: int) -> None:
    quote = _quote(chart)
    quote["close"][i] = quote["high"][i] * 1.3


def _close_beside(chart: Chart, i: int) -> None:
    quote = _quote(chart)
    quote["close"][i] = quote["high"][i] * 1.01


def _negative(chart: Chart, i: int) -> None:
    _quote(chart)["low"][i] *= -1


def _twice(chart: Chart, i: int) -> None:
    chart["timestamp"].insert(i, chart["timestamp"][i] - 60)
    for name, column in _quote(chart).items():
        column.insert(i, column[i] * (1 if name == "volume" else 1.01))


def _lost(chart: Chart, i: int) -> None:
    del chart["timestamp"][i]
    for column in _quote(chart).values():
        del column[i]


def _no_volume(chart: Chart, i: int) -> None:
    _quote(chart)["volume"][:] = [0] * len(chart["timestamp"])


def _no_currency(chart: Chart, i: int) -> None:
    del chart["meta"]["currency"]


CHART_FAULTS: Mapping[str, Callable[[Chart, int], None]] = {
    "zeros": _zeros,
    "low_of_zero": _low_of_zero,
    "close_in_cents": _close_in_cents,
    "bar_in_cents": _bar_in_cents,
    "week_in_cents": _week_in_cents,
    "close_outside": _close_outside,
    "close_beside": _close_beside,
    "negative": _negative,
    "twice": _twice,
    "lost": _lost,
    "no_volume": _no_volume,
    "no_currency": _no_currency,
}
# Not all at one bar: each strikes one of its own. The last one strikes first, so that a day that is
# inserted or lost moves nobody else's.
SESSIONS_BEFORE: Mapping[str, int] = {
    "zeros": 0,
    "low_of_zero": 1,
    "close_in_cents": 2,
    "close_outside": 3,
    "close_beside": 4,
    "negative": 5,
    "twice": 6,
    "bar_in_cents": 7,
    "week_in_cents": 20,
    "lost": 28,
}


def strike(chart: Chart, faults: Iterable[str]) -> None:
    """Let faults of `CHART_FAULTS` strike a chart, each its own bar."""
    end = datetime.datetime.combine(DAY, datetime.time(23), datetime.UTC).timestamp()
    last = sum(stamp < end for stamp in chart["timestamp"]) - 1
    for fault in sorted(faults, key=lambda fault: SESSIONS_BEFORE.get(fault, 0)):
        CHART_FAULTS[fault](chart, last - SESSIONS_BEFORE.get(fault, 0))


def misleading_answer(faults: Iterable[str], answer: web.Response) -> web.Response:
    """A chart answer with faults; any other answer as it is."""
    assert isinstance(answer.body, bytes)
    document = json.loads(answer.body)
    for chart in document["chart"]["result"] or ():
        if chart.get("timestamp"):
            strike(chart, faults)
    return web.json_response(document, status=answer.status)


def _quote(chart: Chart) -> dict[str, list[Any]]:
    quote: dict[str, list[Any]] = chart["indicators"]["quote"][0]
    return quote
