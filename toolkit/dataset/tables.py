"""The tables of the embedded data set, each read once, when first needed.

Reading blocks: call these functions in a thread.
"""

import csv
import datetime
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from trading_graph.toolkit.records import Fact, Filing, Observation

R = TypeVar("R")

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
def digest() -> str:
    """A digest of all tables."""
    tables = b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.csv")))
    return hashlib.sha256(tables).hexdigest()


@cache
def prices() -> Mapping[str, tuple[PriceRow, ...]]:
    """Daily bars by symbol, oldest first."""

    def read(day: str, *numbers: str) -> PriceRow:
        open_, high, low, close, volume, dividend, split = (float(text or 0) for text in numbers)
        return PriceRow(_day(day), (open_, high, low, close, volume), dividend, split)

    return _read("prices", read)


@cache
def statements() -> Mapping[str, tuple[Fact, ...]]:
    """Facts of 10-K and 10-Q reports by symbol, those of one period in the order of filing."""

    def read(concept: str, start: str, end: str, filed: str, form: str, value: str) -> Fact:
        since = _day(start) if start else None
        return Fact(concept, since, _day(end), _day(filed), form, float(value))

    return _read("statements", read)


@cache
def filings() -> Mapping[str, tuple[Filing, ...]]:
    """Filings by symbol, in the order of filing."""

    def read(form: str, filed: str, items: str) -> Filing:
        return Filing(form, _day(filed), tuple(items.split()))

    return {
        symbol: tuple(sorted(rows, key=lambda row: (row.filed, row.form, row.items)))
        for symbol, rows in _read("filings", read).items()
    }


@cache
def macro() -> Mapping[str, tuple[Observation, ...]]:
    """Macro observations by series, oldest first."""
    return _read(
        "macro", lambda day, value, available: Observation(_day(day), float(value), _day(available))
    )


def first_session() -> datetime.date:
    """The first day of the tables."""
    return min(rows[0].date for rows in prices().values())


def last_session() -> datetime.date:
    """The last day of the tables."""
    return max(rows[-1].date for rows in prices().values())


def _read(table: str, read: Callable[..., R]) -> dict[str, tuple[R, ...]]:
    """The rows of a table by their first column; `read` makes a row of the other columns."""
    groups: defaultdict[str, list[R]] = defaultdict(list)
    with (_FOLDER / f"{table}.csv").open(newline="", encoding="ascii") as file:
        reader = csv.reader(file)
        next(reader)
        for name, *columns in reader:
            groups[name].append(read(*columns))
    return {name: tuple(rows) for name, rows in groups.items()}


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)
