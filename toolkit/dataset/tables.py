"""The tables of the embedded data set, each read once, when first needed.

Reading blocks: call these functions in a thread.
"""

import csv
import datetime
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trading_graph.toolkit.records import Fact, Filing, Observation

_FOLDER = Path(__file__).parent

REVISED_SERIES = frozenset(
    ("CPIAUCSL", "CPILFESL", "ICSA", "INDPRO", "PAYEMS", "PCEPILFE", "RSAFS", "UNRATE")
)
"""Series whose values in the table are later revisions of those first published."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One bar as in the table: on the share basis of the table's last day."""

    date: datetime.date
    ohlcv: tuple[float, float, float, float, float]
    dividend: float
    split: float


@cache
def prices() -> Mapping[str, tuple[PriceRow, ...]]:
    """Daily bars by symbol, oldest first."""
    by_name: defaultdict[str, list[PriceRow]] = defaultdict(list)
    for symbol, day, open_, high, low, close, volume, dividend, split in _rows("prices"):
        ohlcv = (float(open_), float(high), float(low), float(close), float(volume))
        by_name[symbol].append(PriceRow(_day(day), ohlcv, float(dividend or 0), float(split or 0)))
    return {symbol: tuple(rows) for symbol, rows in by_name.items()}


@cache
def statements() -> Mapping[str, tuple[Fact, ...]]:
    """Facts of 10-K and 10-Q reports by symbol, those of one period in the order of filing."""
    by_name: defaultdict[str, list[Fact]] = defaultdict(list)
    for symbol, concept, start, end, filed, form, value in _rows("statements"):
        since = _day(start) if start else None
        by_name[symbol].append(Fact(concept, since, _day(end), _day(filed), form, float(value)))
    return {symbol: tuple(facts) for symbol, facts in by_name.items()}


@cache
def filings() -> Mapping[str, tuple[Filing, ...]]:
    """Filings by symbol, in the order of filing."""
    by_name: defaultdict[str, list[Filing]] = defaultdict(list)
    for symbol, form, filed, items in _rows("filings"):
        by_name[symbol].append(Filing(form, _day(filed), tuple(items.split())))
    return {
        symbol: tuple(sorted(rows, key=lambda row: (row.filed, row.form, row.items)))
        for symbol, rows in by_name.items()
    }


@cache
def macro() -> Mapping[str, tuple[Observation, ...]]:
    """Macro observations by series, oldest first."""
    by_name: defaultdict[str, list[Observation]] = defaultdict(list)
    for series, day, value, available in _rows("macro"):
        by_name[series].append(Observation(_day(day), float(value), _day(available)))
    return {series: tuple(rows) for series, rows in by_name.items()}


def first_session() -> datetime.date:
    """The first day of the tables."""
    return min(rows[0].date for rows in prices().values())


def last_session() -> datetime.date:
    """The last day of the tables."""
    return max(rows[-1].date for rows in prices().values())


def _rows(table: str) -> Iterator[list[str]]:
    with (_FOLDER / f"{table}.csv").open(newline="", encoding="ascii") as file:
        reader = csv.reader(file)
        next(reader)
        yield from reader


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)
