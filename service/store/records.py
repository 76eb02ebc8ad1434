"""What the store holds: runs, verdicts on traces, and services that are watched."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter

from trading_graph.service.run.request import RunRequest


class RunState(StrEnum):
    """The state of a run of the service; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the run will not change any more."""
        return self in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in the store; times are seconds since the epoch.

    `passed` is the result of its verdict, None without a verdict.
    """

    id: str
    request: RunRequest
    symbol: str
    date: str
    state: RunState
    trace_id: str
    traceparent: str | None
    idempotency_key: str | None
    created: float
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    resumed: int = 0
    action: str | None = None
    confidence: float | None = None
    degraded: bool = False
    passed: bool | None = None
    error: str | None = None
    langsmith: str | None = None
    kills: int = 0
    """How many processes have died while the run was under way."""

    @property
    def title(self) -> str:
        """What is analysed."""
        return f"{self.symbol} as of {self.date}"

    @property
    def columns(self) -> dict[str, Any]:
        """The fields by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The verdict on a trace; `document` is its JSON.

    `id` is the id of a run of this service, since two runs may share a trace, else the trace's.
    """

    id: str
    trace_id: str
    service: str
    name: str
    started: float
    seconds: float | None
    passed: bool | None
    judged: float
    document: str


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """A service whose traces are judged from a time on; `setting`: a setting asks for it."""

    service: str
    since: float
    setting: bool


Record = TypeVar("Record", StoredRun, StoredVerdict, StoredWatch)

_REQUEST = TypeAdapter(RunRequest)
_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (StoredRun, StoredVerdict, StoredWatch)
}


def encode(record: StoredRun | StoredVerdict | StoredWatch) -> dict[str, Any]:
    """The columns of a record."""
    return encode_columns({name: getattr(record, name) for name in _NAMES[type(record)]})


def encode_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with their values as a database holds them."""
    return {name: _encode(value) for name, value in columns.items()}


def _encode(value: Any) -> Any:
    return _REQUEST.dump_json(value).decode() if isinstance(value, RunRequest) else value


def decode(kind: type[Record], row: Sequence[Any]) -> Record:
    """The record of a row, which has a column for each field, in their order."""
    return _record(kind, dict(zip(_NAMES[kind], row, strict=True)))


def decode_document(columns: dict[str, Any]) -> StoredRun:
    """The run of its columns by name; raises ValueError, or msgspec's ValidationError."""
    return _record(StoredRun, columns)


def _record(kind: type[Record], values: dict[str, Any]) -> Record:
    if "request" in values:
        values["request"] = _REQUEST.validate_json(values["request"])
    return msgspec.convert(values, kind, strict=False)  # SQLite stores a truth value as a number.


def now() -> float:
    """The time as the store holds it, in seconds since the epoch."""
    return time.time()
