"""Limits that work waits for, and who took how much of each: attributes of no framework.

A limit holds how much is under way at once, or how much begins within a time. The span that stands
above all who share it declares it; who takes of it says so in an event. docs/spans.md explains each
attribute.
"""

from collections.abc import Iterator

import msgspec

from trading_graph.otel.vocabularies.values import Attributes, finite, first_text, sequence
from trading_graph.otel.vocabularies.vocabulary import Reader

# On the span that declares limits; the lists have an entry for each limit
NAMES = "witness.limit.names"
CAPACITIES = "witness.limit.capacities"
"""The most of each: at once, or within its window."""
WINDOWS_S = "witness.limit.windows_s"
"""The time within which the capacity may begin, in seconds; 0 where it holds for what is under way
at once."""
UNITS = "witness.limit.units"
"""What is counted, in the plural: requests, tokens, jobs."""

# The event of a grant, on the span that got it; its time is when it was given
GRANT = "witness.grant"
GRANT_LIMITS = "witness.grant.limits"
"""The names of the limits of which something was granted."""
GRANT_AMOUNTS = "witness.grant.amounts"
"""How much of each."""
GRANT_MORE = "witness.grant.more"
"""How much more of each was booked at the end, when that was known."""
GRANT_WAIT_MS = "witness.grant.wait_ms"
"""How long was waited until it was given; that may have begun before the span."""
GRANT_WAITED_FOR = "witness.grant.waited_for"
"""The name of the limit that made it wait longest."""
GRANT_HELD_MS = "witness.grant.held_ms"
"""How long it was used; without it until the end of the span."""

ITEM = "witness.item"
"""Which of many equal pieces of work a span is, in words for people."""

# What the trace holds that a span links to, summed, where that trace is stored elsewhere
LINKED_LLM_CALLS = "witness.linked.llm_calls"
LINKED_INPUT_TOKENS = "witness.linked.input_tokens"
LINKED_OUTPUT_TOKENS = "witness.linked.output_tokens"
LINKED_COST_USD = "witness.linked.cost_usd"
"""What it cost in US dollars; absent where that is not known."""


class DeclaredLimit(msgspec.Struct, frozen=True):
    """A limit as a program declares it; `window_s` is 0 for one on what is under way at once."""

    name: str
    capacity: float
    window_s: float = 0.0
    unit: str = ""

    @property
    def is_rate(self) -> bool:
        """Whether it holds what begins within a time."""
        return self.window_s > 0


def _declared(attributes: Attributes) -> tuple[DeclaredLimit, ...]:
    return tuple(_read_declared(attributes))


def _read_declared(attributes: Attributes) -> Iterator[DeclaredLimit]:
    names, capacities = sequence(attributes.get(NAMES)), sequence(attributes.get(CAPACITIES))
    windows, units = sequence(attributes.get(WINDOWS_S)), sequence(attributes.get(UNITS))
    for number, (name, capacity) in enumerate(zip(names, capacities, strict=False)):
        most = finite(capacity)
        if not isinstance(name, str) or not name or most is None or most <= 0:
            continue
        window_s = finite(windows[number]) if number < len(windows) else None
        unit = units[number] if number < len(units) else ""
        yield DeclaredLimit(
            name, most, max(window_s or 0.0, 0.0), unit if isinstance(unit, str) else ""
        )


declared_limits = Reader(_declared, {NAMES}, tuple[DeclaredLimit, ...]())
"""The limits that a span declares; without those that have no name or no capacity."""


class GrantNote(msgspec.Struct, frozen=True):
    """What the event of a grant says: amounts by limit, and times in milliseconds.

    `held_ms` is None where it was used until the end of its span.
    """

    amounts: dict[str, float]
    more: dict[str, float]
    wait_ms: float
    waited_for: str
    held_ms: float | None


def grant_note(attributes: Attributes) -> GrantNote | None:
    """What an event of the name `GRANT` says; None where it names no limit."""
    names = [name for name in sequence(attributes.get(GRANT_LIMITS)) if isinstance(name, str)]
    if not names:
        return None
    return GrantNote(
        amounts=_by_name(names, attributes.get(GRANT_AMOUNTS), 1.0),
        more=_by_name(names, attributes.get(GRANT_MORE), 0.0),
        wait_ms=max(finite(attributes.get(GRANT_WAIT_MS)) or 0.0, 0.0),
        waited_for=first_text(attributes, (GRANT_WAITED_FOR,)) or names[0],
        held_ms=finite(attributes.get(GRANT_HELD_MS)),
    )


def _by_name(names: list[str], values: object, otherwise: float) -> dict[str, float]:
    numbers = [finite(each) for each in sequence(values)]
    numbers += [None] * (len(names) - len(numbers))
    return {
        name: otherwise if number is None else max(number, 0.0)
        for name, number in zip(names, numbers, strict=False)
    }
