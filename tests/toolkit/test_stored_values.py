"""Values as bytes: what is read is what was written, or nothing."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.toolkit.answers import answers
from trading_graph.toolkit import stored_values
from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.errors import NoDataError, NotApplicableError, UnknownSymbolError
from trading_graph.toolkit.records import Filing, SourceAnswer
from trading_graph.toolkit.sources.company_facts import Reported, TagValue
from trading_graph.toolkit.stored_values import (
    TYPES,
    StoredValueError,
    decode,
    decode_absence,
    encode,
    encode_absence,
    fingerprint,
)
from trading_graph.toolkit.symbols import identify
from trading_graph.toolkit.ttl import TODAY

DAY = datetime.date(2025, 11, 14)
KINDS = {of: kind for kind, of in TYPES.items() if isinstance(of, type)}


def same(one: object, other: object) -> bool:
    """Whether two values are equal, arrays item by item, and of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype == float)
    if is_dataclass(one):
        names = [field.name for field in fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return one == other


def test_every_kind_that_is_cached_can_be_written() -> None:
    assert TYPES.keys() == TODAY.keys()


@given(answer=answers)
@settings(max_examples=60)
def test_an_answer_comes_back_as_it_was(answer: SourceAnswer) -> None:
    assert same(decode(KINDS[type(answer)], encode(answer)), answer)


def a_bar(**changes: Any) -> Bars:
    return make_bars("A", [DAY], [[1.5]] * 5, **changes)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bars", a_bar(identity=identify("VOW3.DE"), currency="EUR")),
        (
            "bars",
            make_bars("A", [DAY, DAY], [[1.0, 2.0], [3.0, 3.0], [0.0, 1.0], [2.0, 2.0], [0, 1]]),
        ),
        ("companies", {"AAPL": 320193, "NVDA": 1045810}),
        ("submissions", (Filing("8-K", DAY, ("2.02", "9.01")), Filing("4", DAY))),
        (
            "company_facts",
            Reported(
                {"USD": {"Revenues": [TagValue(DAY, -1.5, DAY, "10-K", DAY)]}, "EUR": {}},
                {"Shares": [TagValue(DAY, 1e18, DAY, "10-Q")]},
            ),
        ),
    ],
)
def test_other_values_come_back_as_they_were(kind: str, value: object) -> None:
    assert same(decode(kind, encode(value)), value)


def test_arrays_come_back_read_only() -> None:
    bars = decode("bars", encode(a_bar()))
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 2.0


@pytest.mark.parametrize(
    "absence",
    [UnknownSymbolError("no such ticker"), NoDataError("nothing"), NotApplicableError("by nature")],
)
def test_an_absence_comes_back_with_its_class(absence: UnknownSymbolError | NoDataError) -> None:
    read = decode_absence(encode_absence(absence))
    assert (type(read), str(read)) == (type(absence), str(absence))


class OfAnotherKindError(NoDataError):
    """An absence that nothing here knows."""


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(StoredValueError):
        encode_absence(OfAnotherKindError("?"))
    with pytest.raises(StoredValueError):
        encode(a_bar().close.astype(np.int32))


def broken(data: bytes) -> Iterator[bytes]:
    yield b""
    yield data[:-1]
    yield data[: len(data) // 2]
    yield b"\xc1" + data[1:]
    yield encode({"symbol": "A"})
    yield data.replace(b"<f8", b"|O8")
    yield data.replace(b"<f8", b"<c8")


def test_bytes_that_are_no_value_are_refused() -> None:
    for data in broken(encode(a_bar())):
        with pytest.raises(StoredValueError):
            decode("bars", data)
    for data in (b"", b"\x92\xa9Exception\xa1?", encode("NoDataError")):
        with pytest.raises(StoredValueError):
            decode_absence(data)


@dataclass(frozen=True)
class Old:
    day: datetime.date
    value: float


@dataclass(frozen=True)
class Renamed:
    date: datetime.date
    value: float


@dataclass(frozen=True)
class Retyped:
    day: datetime.date
    value: str


@dataclass(frozen=True)
class Extended:
    day: datetime.date
    value: float
    unit: str = ""


def test_a_type_that_changes_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = (Old, Renamed, Retyped, Extended, tuple[Old, ...], dict[str, Old])
    monkeypatch.setattr(stored_values, "TYPES", {str(of): of for of in versions})
    assert len({fingerprint(str(of)) for of in versions}) == len(versions)
