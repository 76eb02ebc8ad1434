"""One span as a source holds it, before the table has it in columns."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from trading_graph.otel.vocabularies import Attributes

NO_RESOURCE: Attributes = MappingProxyType({})
"""The resource of a span whose source says nothing about its process."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened during a span."""

    name: str
    time_ns: int
    attributes: Attributes


class Link(msgspec.Struct, frozen=True):
    """A reference from one span to another, in the same trace or in another one."""

    trace_id: str
    span_id: str
    attributes: Attributes


def nothing() -> list[Any]:
    """The events, or the links, of a span that has none."""
    return []


def no_events() -> tuple[()]:
    """The events of a span whose source stores no events at all."""
    return ()


class SpanRecord(Protocol):
    """One span as a source holds it; attributes, events and links are decoded by a call.

    Times are nanoseconds since the epoch, 0 where unknown. `kind` and `status` are OTLP's enums.
    Spans of one process share one `resource`, its attributes.
    """

    @property
    def span_id(self) -> str:
        """The id, unique in the trace."""

    @property
    def parent_id(self) -> str | None:
        """The id of the parent; empty or None for a root."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def kind(self) -> int:
        """OTLP's kind."""

    @property
    def start_ns(self) -> int:
        """The start."""

    @property
    def end_ns(self) -> int:
        """The end."""

    @property
    def status(self) -> int:
        """OTLP's status code."""

    @property
    def attributes(self) -> Callable[[], Attributes]:
        """A function that decodes the attributes."""

    @property
    def events(self) -> Callable[[], Sequence[Event]]:
        """A function that decodes the events."""

    @property
    def links(self) -> Callable[[], Sequence[Link]]:
        """A function that decodes the links."""

    @property
    def resource(self) -> Attributes:
        """The attributes of the process."""

    @property
    def follows(self) -> bool:
        """Whether its parent only caused it, and is known not to have waited for it."""


class SpanValues(msgspec.Struct, frozen=True):
    """A span record that holds its values itself."""

    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: Callable[[], Attributes]
    events: Callable[[], Sequence[Event]] = nothing
    links: Callable[[], Sequence[Link]] = nothing
    resource: Attributes = msgspec.field(default_factory=lambda: NO_RESOURCE)
    follows: bool = False
