"""Declaring the limits that spans wait for, and recording what they are granted."""

from collections.abc import Mapping, Sequence

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import limits as names
from trading_graph.otel.vocabularies.limits import DeclaredLimit


def limit_attributes(limits: Sequence[DeclaredLimit]) -> dict[str, AttributeValue]:
    """Return what a span above all who share these limits declares; nothing without a limit."""
    if not limits:
        return {}
    return {
        names.NAMES: [each.name for each in limits],
        names.CAPACITIES: [float(each.capacity) for each in limits],
        names.WINDOWS_S: [float(each.window_s) for each in limits],
        names.UNITS: [each.unit for each in limits],
    }


def grant_attributes(
    amounts: Mapping[str, float],
    *,
    wait_s: float = 0.0,
    waited_for: str = "",
    held_s: float | None = None,
    more: Mapping[str, float] | None = None,
) -> dict[str, AttributeValue]:
    """Return the attributes of a grant: so much of each limit, after a wait.

    `wait_s` is how long it was waited for, mostly because of `waited_for`. `held_s` is how long it
    was used, None for until the span's end, and `more` what was booked beyond `amounts` then.
    """
    attributes: dict[str, AttributeValue] = {
        names.GRANT_LIMITS: list(amounts),
        names.GRANT_AMOUNTS: [float(each) for each in amounts.values()],
        names.GRANT_WAIT_MS: round(wait_s * 1000, 6),
    }
    if waited_for:
        attributes[names.GRANT_WAITED_FOR] = waited_for
    if held_s is not None:
        attributes[names.GRANT_HELD_MS] = round(held_s * 1000, 6)
    booked = [float((more or {}).get(name, 0.0)) for name in amounts]
    if any(booked):
        attributes[names.GRANT_MORE] = booked
    return attributes


def record_grant(span: Span, given_ns: int, attributes: Mapping[str, AttributeValue]) -> None:
    """Record a grant on the span that got it; `given_ns` is when, since the epoch."""
    span.add_event(names.GRANT, attributes, given_ns)
