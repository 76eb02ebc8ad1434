"""Market data as bytes and back, for a cache that outlives the process.

Values are written as msgpack and read by the type that their kind of data has now: nothing in a
file names a class, and nothing in it is executed. A fingerprint of the type is a part of the key
under which a value stands, so that what was written under another type is not found.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, get_origin

import msgspec
import numpy as np

from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import NoDataError, NotApplicableError, UnknownSymbolError
from trading_graph.toolkit.records import (
    Filing,
    Filings,
    Insiders,
    News,
    Posts,
    Series,
    Statements,
)
from trading_graph.toolkit.sources.company_facts import Reported

TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "bars": Bars,
        "statements": Statements,
        "filings": Filings,
        "macro": Series,
        "insiders": Insiders,
        "submissions": tuple[Filing, ...],
        "news": News,
        "posts": Posts,
        "companies": dict[str, int],
        "company_facts": Reported,
    }
)
"""The type of each kind of data; a kind that is missing here is never written."""

Absence = UnknownSymbolError | NoDataError
"""That a source has nothing: the only errors that are cached."""

_ABSENCES: Final[Mapping[str, type[Absence]]] = MappingProxyType(
    {each.__name__: each for each in (UnknownSymbolError, NoDataError, NotApplicableError)}
)
_DTYPES: Final = frozenset(("<f8", "<M8[D]"))


class StoredValueError(Exception):
    """Bytes that are no value of their kind."""


class _AbsenceRecord(msgspec.Struct, frozen=True, array_like=True):
    error: str
    message: str


class _Array(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    items: bytes


def encode(value: Any) -> bytes:
    """A value as bytes; raises StoredValueError for what cannot be written."""
    try:
        return _encoder().encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise StoredValueError(str(error)) from error


def decode(kind: str, data: bytes) -> Any:
    """The value of a kind; its arrays are read-only. Raises StoredValueError."""
    try:
        return _decoder(kind).decode(data)
    except (ValueError, msgspec.MsgspecError) as error:
        raise StoredValueError(str(error)) from error


def encode_absence(error: Absence) -> bytes:
    """An absence as bytes; raises StoredValueError for a class that is not known here."""
    name = type(error).__name__
    if _ABSENCES.get(name) is not type(error):
        raise StoredValueError(f"{name} is no absence that is written.")
    return msgspec.msgpack.encode(_AbsenceRecord(name, str(error)))


def decode_absence(data: bytes) -> Absence:
    """The absence; raises StoredValueError."""
    try:
        record = msgspec.msgpack.decode(data, type=_AbsenceRecord)
        return _ABSENCES[record.error](record.message)
    except (KeyError, msgspec.MsgspecError) as error:
        raise StoredValueError(str(error)) from error


@cache
def fingerprint(kind: str) -> str:
    """A digest of the type of a kind: of its fields, their types and what they mean."""
    schema = msgspec.json.schema(TYPES[kind], schema_hook=lambda of: {"title": str(of)})
    return hashlib.sha256(msgspec.json.encode(schema, order="sorted")).hexdigest()[:12]


@cache
def _encoder() -> msgspec.msgpack.Encoder:
    return msgspec.msgpack.Encoder(enc_hook=_from_array)


@cache
def _decoder(kind: str) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(TYPES[kind], dec_hook=_to_array)


def _from_array(value: Any) -> _Array:
    if isinstance(value, np.ndarray) and value.dtype.str in _DTYPES and value.ndim == 1:
        return _Array(value.dtype.str, value.tobytes())
    raise TypeError(f"{type(value).__name__} is nothing that market data is made of.")


def _to_array(of: Any, value: Any) -> Any:
    if get_origin(of) is not np.ndarray:
        raise TypeError(f"{of} is nothing that market data is made of.")
    array = msgspec.convert(value, _Array, builtin_types=(bytes,))
    if array.dtype not in _DTYPES:
        raise ValueError(f"{array.dtype} is no type of a column.")
    return np.frombuffer(array.items, array.dtype)
