"""What the calls of one try of a ticker-day took: tokens, cost, and shares of limits.

It is read from the spans of the run, live or from the run's folder after its process was killed, so
the trace of a portfolio says what the traces of its runs say.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.util.types import AttributeValue

from trading_graph.graph.backend_choice import OFFLINE_DEEP_MODEL, OFFLINE_QUICK_MODEL
from trading_graph.graph.chat.prices import Price
from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.intervals import Interval, merge, total_ns, without
from trading_graph.otel.vocabularies import limits, witness
from trading_graph.otel.vocabularies.limits import GrantNote, grant_note

_OFFLINE = frozenset({OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL})
_MOST_PLACES = 16

PriceOf = Callable[[str], Price | None]
"""The price of a model by its name, where it is known."""


class CallTally:
    """The sums over the LLM calls of a run; a `SpanListener`.

    `grants` are what its calls were granted of limits, as the events are recorded there.
    """

    def __init__(self, price_of: PriceOf) -> None:
        self.grants: list[Event] = []
        self._price_of = price_of
        self._lock = threading.Lock()
        self._calls = self._input = self._output = 0
        self._cost: float | None = 0.0
        self._work: list[Interval] = []
        self._waits: list[Interval] = []

    def on_start(self, span: ReadableSpan) -> None:
        """Ignore the start: what a call took is known at its end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Count a call, or note when a tool was at work."""
        attributes = span.attributes or {}
        operation = attributes.get(semconv.OPERATION_NAME)
        if attributes.get(semconv.ERROR_TYPE) == semconv.KILLED:
            return  # a part of an earlier try
        with self._lock:
            if operation == semconv.EXECUTE_TOOL:
                self._work.append((span.start_time or 0, span.end_time or 0))
            elif operation == semconv.CHAT:
                self._count(span)

    def _count(self, span: ReadableSpan) -> None:
        attributes = span.attributes or {}
        tokens_in, tokens_out, cached = (
            _whole(attributes.get(key))
            for key in (
                semconv.USAGE_INPUT_TOKENS,
                semconv.USAGE_OUTPUT_TOKENS,
                semconv.USAGE_CACHED_TOKENS,
            )
        )
        self._calls += 1
        self._input += tokens_in
        self._output += tokens_out
        cost = self._cost_of(
            str(attributes.get(semconv.REQUEST_MODEL)), tokens_in, tokens_out, cached
        )
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        at = span.start_time or 0
        for event in span.events:
            note = grant_note(event.attributes or {}) if event.name == limits.GRANT else None
            if note is None or event.timestamp is None:
                continue
            self.grants.append(event)
            begin, granted, end = _times(event.timestamp, note)
            self._waits.append((begin, granted))
            self._work += [(at, begin), (granted, end)]
            at = end
        self._work.append((at, span.end_time or 0))

    def _cost_of(self, model: str, tokens_in: int, tokens_out: int, cached: int) -> float | None:
        if model in _OFFLINE:
            return 0.0
        price = self._price_of(model)
        if price is None or not tokens_in + tokens_out:
            return None
        return price.cost(tokens_in, tokens_out, cached)

    def attributes(self, start_ns: int) -> dict[str, AttributeValue]:
        """The sums, and the waits in which nothing else was done, as attributes of a span.

        `start_ns` is the start of that span.
        """
        with self._lock:
            sums: dict[str, AttributeValue] = {
                limits.LINKED_LLM_CALLS: self._calls,
                limits.LINKED_INPUT_TOKENS: self._input,
                limits.LINKED_OUTPUT_TOKENS: self._output,
            }
            if self._cost is not None:
                sums[limits.LINKED_COST_USD] = round(self._cost, 6)
            return sums | _waits(self._idle(), start_ns)

    def _idle(self) -> Sequence[Interval]:
        """When a call waited for its turn and no other call and no tool was at work."""
        waits = merge([each for each in self._waits if each[1] > each[0]])
        return without(waits, merge([each for each in self._work if each[1] > each[0]]))


def tally_of(spans: Iterable[ReadableSpan], since_ns: int, price_of: PriceOf) -> CallTally:
    """The tally of the spans of a run that started at a time or later."""
    tally = CallTally(price_of)
    for span in spans:
        if (span.start_time or 0) >= since_ns and span.end_time:
            tally.on_end(span)
    return tally


def _waits(places: Sequence[Interval], start_ns: int) -> dict[str, AttributeValue]:
    if not places:
        return {}
    longest = sorted(sorted(places, key=lambda each: each[0] - each[1])[:_MOST_PLACES])
    return {
        witness.WAIT_MS: round(total_ns(places) / 1e6, 3),
        witness.WAIT_KIND: witness.Wait.RATE_LIMIT,
        witness.WAIT_OFFSETS_MS: [
            round(max(edge - start_ns, 0) / 1e6, 3) for place in longest for edge in place
        ],
    }


def _times(given_ns: int, note: GrantNote) -> tuple[int, int, int]:
    """When something was asked for, granted, and no longer used."""
    held_ns = int((note.held_ms or 0.0) * 1e6)
    return given_ns - int(note.wait_ms * 1e6), given_ns, given_ns + held_ns


def _whole(value: AttributeValue | None) -> int:
    return int(value) if isinstance(value, int | float) else 0
