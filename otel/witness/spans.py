"""What the witness puts on the spans of every tracer, whoever opens and ends them.

The SDK hands its processors a read-only copy of each span that ends. That copy gets the attributes,
beside the program's own and whatever its limit: `set_attributes` would push the program's oldest
attributes out, and a span processor sees neither open spans nor other providers.
"""

import functools
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util import BoundedList
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness.activities import tracking
from trading_graph.otel.witness.blocks import Block
from trading_graph.otel.witness.clock import anchor, clock_id, now_ns
from trading_graph.otel.witness.current import current_activity
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.span_measures import OpenSpan, Root
from trading_graph.otel.witness.watchdog import Watchdog

MOST_SPANS = 200_000
"""So many open spans are watched at once; the others are recorded as if there were no witness."""

MOST_BLOCKS = 16
LEAST_BLOCKED_NS = 1_000_000
"""A shorter span is not asked for the blocks of its loop."""

_ATTRIBUTE = "_trading_graph_open_span"


_roots: dict[int, Root] = {}


_RECORDS = [str(each) for each in witness.Recorded]
_WAITS = [str(each) for each in witness.Wait]


def declarations() -> dict[str, AttributeValue]:
    """The attributes by which a process declares what is recorded on its spans."""
    return {
        witness.RECORDS: _RECORDS.copy(),
        witness.WAITS: _WAITS.copy(),
        witness.CLOCK: clock_id(),
    }


def watch_spans(
    patches: Patches, watchdog: Watchdog, on_end: Callable[[ReadableSpan], None] | None
) -> None:
    """Watch every span of the SDK that starts from now on; call `on_end` with each that ends."""

    def at_end(original: Method) -> Method:
        return _readable_span(original, watchdog, on_end)

    # From here the SDK has the times of spans and events that nobody gives.
    patches.replace(trace, "time_ns", lambda _: functools.partial(now_ns))
    patches.replace(Span, "start", _start)
    if _copies_are_attributed():
        patches.replace(Span, "_readable_span", at_end)
    else:
        patches.replace(Span, "end", lambda original: _end(original, watchdog, on_end))


def forget_spans() -> None:
    """Forget all open spans."""
    tracking.spans.clear()
    _roots.clear()


def _start(original: Method) -> Method:
    def start(span: Span, start_time: int | None = None, parent_context: Any = None) -> None:
        if span._start_time is None:
            try:
                _open(span, start_time)
            except Exception as error:
                faults.note(error)
        original(span, start_time, parent_context)

    return start


def _open(span: Span, started_ns: int | None) -> None:
    context, parent = span._context, span._parent
    if parent is None or parent.is_remote:
        if not tracking.spans:
            anchor()
        root: Root | None = Root()
    else:
        root = _roots.get(parent.span_id)
    if root is not None and context is not None:
        root.span_ids.append(context.span_id)
        _roots[context.span_id] = root
    if len(tracking.spans) >= MOST_SPANS:
        return
    activity = current_activity()
    open_span = OpenSpan(activity, root, started_ns)
    # Through its `__dict__`, each of its attributes costs more.
    setattr(span, _ATTRIBUTE, open_span)
    tracking.spans[id(open_span)] = open_span
    activity.spans.append(open_span)
    if activity.loop_id is not None and not activity.running_since:
        activity.seen_since = open_span.created_ns
    if open_span.watch is not None:
        open_span.watch.note_span()


def _readable_span(
    original: Method, watchdog: Watchdog, on_end: Callable[[ReadableSpan], None] | None
) -> Method:
    def readable_span(span: Span) -> ReadableSpan:
        readable: ReadableSpan = original(span)
        if span._end_time is None:
            return readable
        open_span = _take(span)
        if open_span is not None:
            try:
                _close(span, open_span, readable, watchdog)
            except Exception as error:
                faults.note(error)
        if on_end is not None:
            try:
                on_end(readable)
            except Exception as error:
                faults.note(error)
        return readable

    return readable_span


def _take(span: Span) -> OpenSpan | None:
    """What is known of a span, once."""
    open_span: OpenSpan | None = getattr(span, _ATTRIBUTE, None)
    if open_span is not None:
        setattr(span, _ATTRIBUTE, None)
    return open_span


@cache
def _copies_are_attributed() -> bool:
    """Whether this version of the SDK has what the copies need; tried on a span of nobody's."""
    provider = TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False)
    span = provider.get_tracer(__name__).start_span("trial")
    if not isinstance(span, Span):  # the SDK is disabled, and no span will be recorded
        return True
    try:
        readable = span._readable_span()
        own = vars(readable._attributes)
        _add_attributes(readable, {witness.THREAD_ID: 1})
        _add_events(readable, [Event(witness.BLOCKED)])
        return (
            (readable.attributes or {})[witness.THREAD_ID] == 1
            and len(readable.events) == 1
            and vars(readable._attributes).keys() == own.keys()
        )
    except Exception as error:
        faults.note(error)
        return False


def _end(
    original: Method, watchdog: Watchdog, on_end: Callable[[ReadableSpan], None] | None
) -> Method:
    """The second best way: attributes of the span itself, which its own limit counts."""

    def end(span: Span, end_time: int | None = None) -> None:
        open_span = _take(span)
        if open_span is not None and span.is_recording():
            try:
                span.set_attributes(_attributes_of(span, open_span, end_time or now_ns(), watchdog))
            except Exception as error:
                faults.note(error)
        original(span, end_time)
        if on_end is not None and open_span is not None:
            on_end(span)

    return end


def _close(span: Span, open_span: OpenSpan, readable: ReadableSpan, watchdog: Watchdog) -> None:
    assert span._end_time is not None
    _add_attributes(readable, _attributes_of(span, open_span, span._end_time, watchdog))
    watch = open_span.watch
    if span._end_time - open_span.start_ns < LEAST_BLOCKED_NS:
        return
    if watch is not None and (open_span.activity.loop_id is not None or open_span.was_seen_later):
        blocks = watchdog.blocks(watch.loop_id, open_span.start_ns, span._end_time)
        if blocks:
            _add_events(readable, [block_event(block) for block in blocks[-MOST_BLOCKS:]])


def _attributes_of(
    span: Span, open_span: OpenSpan, ended_ns: int, watchdog: Watchdog
) -> dict[str, AttributeValue]:
    """What a span that ends gets; it is open no longer."""
    try:
        attributes = open_span.measure(ended_ns, watchdog)
    finally:
        tracking.spans.pop(id(open_span), None)
        spans = open_span.activity.spans
        if spans and spans[-1] is open_span:
            spans.pop()
        elif open_span in spans:
            spans.remove(open_span)
    root, parent = open_span.root, span.parent
    if root is not None and (parent is None or parent.is_remote):
        attributes |= declarations()
        attributes[witness.SPANS_STARTED] = len(root.span_ids)
        for span_id in root.span_ids:
            _roots.pop(span_id, None)
    return attributes


def _add_attributes(readable: ReadableSpan, attributes: Mapping[str, AttributeValue]) -> None:
    """Put attributes on a copy of a span; those that the program has set stay as they are."""
    own: Any = readable._attributes
    copy: Any = BoundedAttributes.__new__(BoundedAttributes)
    copy.maxlen, copy._dict = None, {**attributes, **own._dict}
    copy.dropped, copy.max_value_len = own.dropped, own.max_value_len
    copy._immutable, copy._lock = own._immutable, own._lock
    readable._attributes = copy


def _add_events(readable: ReadableSpan, events: list[Event]) -> None:
    own = readable._events
    dropped = getattr(own, "dropped", 0)
    both = BoundedList.from_seq(None, [*own, *events])
    both.dropped = dropped
    readable._events = both


def block_event(block: Block) -> Event:
    """Make the event `witness.blocked`, at the time when the block began."""
    attributes: dict[str, AttributeValue] = {
        witness.BLOCKED_DURATION_MS: _ms(block.end_ns - block.start_ns),
        witness.BLOCKED_STATE: str(block.state),
        witness.BLOCKED_CPU_SHARE: round(block.cpu_share, 3),
    }
    if block.line is not None:
        attributes[witness.CODE_FILE] = block.line.path
        attributes[witness.CODE_LINE] = block.line.number
        attributes[witness.CODE_FUNCTION] = block.line.function
    if block.library is not None:
        attributes[witness.BLOCKED_LIBRARY] = str(block.library)
    if block.task is not None:
        attributes[witness.BLOCKED_TASK] = block.task
    if block.in_collection:
        attributes[witness.BLOCKED_GC] = True
    if block.starved_ns > 0:
        attributes[witness.BLOCKED_STARVED_MS] = _ms(block.starved_ns)
    return Event(witness.BLOCKED, attributes, block.start_ns)


def _ms(time_ns: int) -> float:
    return round(time_ns / 1e6, 1)
