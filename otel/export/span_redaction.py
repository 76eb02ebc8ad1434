"""Redacts secrets in spans: in their names, attributes, resource, events, links and status.

What counts as a secret is defined in `otel.redaction`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import Attributes

from trading_graph.otel.redaction import Redactor

_PLAIN = frozenset({bool, int, float})


class SpanRedactor:
    """Redacts spans; each sending thread needs its own."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._last_resource: tuple[Resource | None, Resource] = (None, Resource.get_empty())

    def redact(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """Return the spans without secrets, in the same order."""
        return [self._span(span) for span in spans]

    def _span(self, span: ReadableSpan) -> ReadableSpan:
        """Return the span itself if it holds no secret, else a copy without secrets."""
        before = span.attributes  # a new view at every use
        name, resource = self._redactor.text(span.name), self._resource(span.resource)
        attributes, status = self._attributes(before), self._status(span.status)
        events = [self._event(each) for each in span.events] if span.events else span.events
        links = [self._link(each) for each in span.links] if span.links else span.links
        if (
            name == span.name
            and resource is span.resource
            and attributes is before
            and status is span.status
            and _same(events, span.events)
            and _same(links, span.links)
        ):
            return span
        return ReadableSpan(
            name=name,
            context=span.get_span_context(),
            parent=span.parent,
            resource=resource,
            attributes=attributes,
            events=events,
            links=links,
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _resource(self, resource: Resource) -> Resource:
        # All spans of a process share one, and hashing or comparing it is slow.
        if self._last_resource[0] is not resource:
            attributes = self._attributes(resource.attributes)
            copy = (
                resource
                if attributes is resource.attributes
                else Resource(attributes or {}, resource.schema_url)
            )
            self._last_resource = (resource, copy)
        return self._last_resource[1]

    def _event(self, event: Event) -> Event:
        name, attributes = self._redactor.text(event.name), self._attributes(event.attributes)
        if name == event.name and attributes is event.attributes:
            return event
        return Event(name, attributes, event.timestamp)

    def _link(self, link: Link) -> Link:
        attributes = self._attributes(link.attributes)
        return link if attributes is link.attributes else Link(link.context, attributes)

    def _status(self, status: Status) -> Status:
        if not status.description:
            return status
        description = self._redactor.text(status.description)
        if description == status.description:
            return status
        return Status(status.status_code, description)

    def _attributes(self, attributes: Attributes) -> Attributes:
        changes = {}
        for key, value in (attributes or {}).items():
            # Numbers hold no secret.
            if type(value) in _PLAIN:
                continue
            if (replacement := self._value(key, value)) != value:
                changes[key] = replacement
        return {**(attributes or {}), **changes} if changes else attributes

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._redactor.attribute(key, value)
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return type(value)(self._value(key, each) for each in value)  # type: ignore[call-arg]
        if isinstance(value, Mapping):
            return {name: self._value(name, each) for name, each in value.items()}
        return value


def _same(parts: Sequence[object], before: Sequence[object]) -> bool:
    return all(part is other for part, other in zip(parts, before, strict=True))
