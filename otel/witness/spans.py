"""What the witness puts on the spans of every tracer, whoever opens and ends them.

The SDK hands its processors a read-only copy of each span that ends. That copy gets the attributes,
beside the program's own and whatever its limit: `set_attributes` would push the program's oldest
attributes out, and a span processor sees neither open spans nor other providers.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from time import process_time_ns, time_ns
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.util import BoundedList
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.activities import (
    Activity,
    current_activity,
    current_cause,
    tracking,
)
from trading_graph.otel.witness.block_events import block_event
from trading_graph.otel.witness.clock import clock_id
from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.loops import LoopWatch, watches
from trading_graph.otel.witness.patches import Method, Patches
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.thread_time import thread_time
from trading_graph.otel.witness.watchdog import Watchdog

MOST_SPANS = 200_000
"""So many open spans are watched at once; the others are recorded as if there were no witness."""

MOST_OFFSETS = 16
MOST_BLOCKS = 16

LEAST_NS = 100_000
"""What took less is not worth an attribute."""

_ATTRIBUTE = "_trading_graph_open_span"

_KEYS = {
    timeline.RUNNING: witness.RUNNING_MS,
    timeline.READY: witness.READY_MS,
    timeline.SOCKET: witness.SOCKET_MS,
    timeline.TIMER: witness.TIMER_MS,
    timeline.CHILDREN: witness.CHILDREN_MS,
    timeline.IDLE: witness.IDLE_MS,
}

Interval = tuple[int, int]
Note = list[Any]
"""A wait: its kind, its start and its end, in nanoseconds. The kind can be corrected."""


class Root:
    """A span at the top of a trace's part in this process, and all below it so far."""

    __slots__ = ("span_ids",)

    def __init__(self) -> None:
        self.span_ids: list[int] = []


class OpenSpan:
    """What is known of a span while it is open.

    Some instrumentors open spans later, on a thread of their own, and give them the start of what
    they saw. Nothing is known of the activity of such a span (`was_seen_later`), only of the loop.
    """

    __slots__ = (
        "activity",
        "cpu_ns",
        "created_ns",
        "modules",
        "pauses_ns",
        "root",
        "start_ns",
        "thread_id",
        "thread_time",
        "waits",
        "was_seen_later",
        "watch",
    )

    def __init__(self, activity: Activity, root: Root | None, started_ns: int | None) -> None:
        self.activity = activity
        self.was_seen_later = started_ns is not None and activity.is_helper()
        self.watch = watches.only if self.was_seen_later else _watch_of(activity)
        self.root = root
        self.waits: list[Note] | None = None
        self.thread_id = threading.get_ident()
        self.modules = len(sys.modules)
        self.pauses_ns = pauses.total_ns
        self.thread_time = thread_time() if activity.loop_id is None else None
        self.cpu_ns = process_time_ns()
        self.created_ns = time_ns()
        self.start_ns = min(started_ns or self.created_ns, self.created_ns)

    def add_wait(self, kind: str, start: int, end: int) -> Note:
        """Note a wait of this span's activity, or of one below it."""
        note = [kind, start, end]
        if self.waits is None:
            self.waits = [note]
        else:
            self.waits.append(note)
        return note

    def measure(self, ended_ns: int) -> dict[str, AttributeValue]:
        """The attributes of the span that ends, or ended, at this time."""
        now, cpu_ns = time_ns(), process_time_ns() - self.cpu_ns
        start, end = self.start_ns, min(ended_ns, now)
        if self.was_seen_later:
            return self._measure_later(start, end)
        if end <= start:
            return {}
        watch, lag_ns = self.watch, 0
        attributes: dict[str, AttributeValue] = {
            witness.THREAD_ID: threading.get_ident(),
            witness.CPU_OVER_WALL: round(cpu_ns / max(now - self.created_ns, 1), 3),
        }
        if watch is not None:
            lag_ns = watch.lag_ns(start, end)
            if self.activity.loop_id is not None:
                attributes[witness.LOOP_ID] = watch.loop_id
        attributes[witness.LOOP_LAG_MAX_MS] = round(lag_ns / 1e6, 1)
        if imports := len(sys.modules) - self.modules:
            attributes[witness.IMPORTS] = imports
        if (pause_ns := pauses.total_ns - self.pauses_ns) >= 1_000_000:
            attributes[witness.GC_MS] = round(pause_ns / 1e6, 1)
        if end - start >= LEAST_NS:
            self._add_time(attributes, start, end)
            if self.waits:
                self._add_waits(attributes, self.waits, start, end)
        return attributes

    def _measure_later(self, start: int, end: int) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {}
        if self.watch is not None:
            attributes[witness.LOOP_LAG_MAX_MS] = round(self.watch.lag_ns(start, end) / 1e6, 1)
        if end > start:
            attributes[witness.UNACCOUNTED_MS] = round((end - start) / 1e6, 1)
        return attributes

    def _add_time(self, attributes: dict[str, AttributeValue], start: int, end: int) -> None:
        """Add what the time was spent on, and how much of it is not accounted for."""
        activity = self.activity
        totals = activity.totals(start, end, current_cause())
        had = self.thread_time
        has = None
        if had and activity.loop_id is None and self.thread_id == threading.get_ident():
            has = thread_time()
            totals[timeline.RUNNING] = has.running - had.running
            totals[timeline.READY] = has.queued - had.queued
        unknown = end - start - sum(totals.values()) + totals.get(timeline.UNACCOUNTED, 0)
        if had and has and unknown >= LEAST_NS and has.held_up_by_others(had, unknown):
            self.add_wait(witness.Wait.INTERPRETER_LOCK, end - unknown, end)
            unknown = 0
        if self.waits:
            unknown = max(unknown, _length(self._notes(timeline.UNACCOUNTED, start, end)))
        for kind, spent in totals.items():
            if spent >= LEAST_NS and (key := _KEYS.get(kind)):
                attributes[key] = round(spent / 1e6, 1)
        if unknown >= 1_000_000:
            attributes[witness.UNACCOUNTED_MS] = round(unknown / 1e6, 1)

    def _add_waits(
        self, attributes: dict[str, AttributeValue], waits: list[Note], start: int, end: int
    ) -> None:
        by_kind = {
            kind: self._notes(kind, start, end)
            for kind in dict.fromkeys(kind for kind, _, _ in waits if kind != timeline.UNACCOUNTED)
        }
        merged = _merge([each for some in by_kind.values() for each in some])
        if not merged:
            return
        attributes[witness.WAIT_MS] = round(_length(merged) / 1e6, 3)
        attributes[witness.WAIT_KIND] = str(max(by_kind, key=lambda kind: _length(by_kind[kind])))
        longest = sorted(sorted(merged, key=lambda each: each[0] - each[1])[:MOST_OFFSETS])
        attributes[witness.WAIT_OFFSETS_MS] = [
            round((edge - start) / 1e6, 3) for each in longest for edge in each
        ]

    def _notes(self, kind: str, start: int, end: int) -> list[Interval]:
        """The disjoint intervals of the notes of one kind inside a window."""
        return _merge(
            [
                (max(began, start), min(over, end))
                for what, began, over in self.waits or ()
                if what == kind and over > start and began < end
            ]
        )


_roots: dict[int, Root] = {}


def declarations() -> dict[str, AttributeValue]:
    """The attributes by which a process declares what is recorded on its spans."""
    return {
        witness.RECORDS: [str(each) for each in witness.Recorded],
        witness.WAITS: [str(each) for each in witness.Wait],
        witness.CLOCK: clock_id(),
    }


def spans_started(span: Any) -> int | None:
    """How many spans have started so far below a local root, its own included; None if unknown."""
    known = _known(span)
    return None if known is None or known.root is None else len(known.root.span_ids)


def watch_spans(
    patches: Patches, watchdog: Watchdog, on_end: Callable[[ReadableSpan], None] | None
) -> None:
    """Watch every span of the SDK that starts from now on; call `on_end` with each that ends."""

    def at_end(original: Method) -> Method:
        return _readable_span(original, watchdog, on_end)

    patches.replace(Span, "start", _start)
    if _copies_are_attributed():
        patches.replace(Span, "_readable_span", at_end)
    else:
        patches.replace(Span, "end", lambda original: _end(original, on_end))


def forget_spans() -> None:
    """Forget all open spans."""
    tracking.spans.clear()
    _roots.clear()


def _known(span: Any) -> OpenSpan | None:
    known = getattr(span, _ATTRIBUTE, None)
    return known if isinstance(known, OpenSpan) else None


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
    context, parent = span.get_span_context(), span.parent
    if parent is None or parent.is_remote:
        root: Root | None = Root()
    else:
        root = _roots.get(parent.span_id)
    if root is not None and context is not None:
        root.span_ids.append(context.span_id)
        _roots[context.span_id] = root
    if len(tracking.spans) >= MOST_SPANS:
        return
    activity = current_activity()
    span.__dict__[_ATTRIBUTE] = known = OpenSpan(activity, root, started_ns)
    tracking.spans[id(known)] = known
    activity.spans.append(known)
    if known.watch is not None:
        known.watch.note_span()


def _readable_span(
    original: Method, watchdog: Watchdog, on_end: Callable[[ReadableSpan], None] | None
) -> Method:
    def readable_span(span: Span) -> ReadableSpan:
        readable: ReadableSpan = original(span)
        if span._end_time is None:
            return readable
        known = span.__dict__.pop(_ATTRIBUTE, None)
        if known is not None:
            try:
                _close(span, known, readable, watchdog)
            except Exception as error:
                faults.note(error)
        if on_end is not None:
            try:
                on_end(readable)
            except Exception as error:
                faults.note(error)
        return readable

    return readable_span


@cache
def _copies_are_attributed() -> bool:
    """Whether this version of the SDK has what the copies need; tried on a span of nobody's."""
    span = (
        TracerProvider(Resource.get_empty(), shutdown_on_exit=False).get_tracer("").start_span("")
    )
    try:
        assert isinstance(span, Span)
        readable = span._readable_span()
        _add_attributes(readable, {witness.THREAD_ID: 1})
        _add_events(readable, [Event(witness.BLOCKED)])
        return (readable.attributes or {})[witness.THREAD_ID] == 1 and len(readable.events) == 1
    except Exception as error:
        faults.note(error)
        return False


def _end(original: Method, on_end: Callable[[ReadableSpan], None] | None) -> Method:
    """The second best way: attributes of the span itself, which its own limit counts."""

    def end(span: Span, end_time: int | None = None) -> None:
        known = span.__dict__.pop(_ATTRIBUTE, None)
        if known is not None and span.is_recording():
            try:
                span.set_attributes(_attributes_of(span, known, end_time or time_ns()))
            except Exception as error:
                faults.note(error)
        original(span, end_time)
        if on_end is not None and known is not None:
            on_end(span)

    return end


def _close(span: Span, known: OpenSpan, readable: ReadableSpan, watchdog: Watchdog) -> None:
    assert span._end_time is not None
    _add_attributes(readable, _attributes_of(span, known, span._end_time))
    watch = known.watch
    if watch is not None and (known.activity.loop_id is not None or known.was_seen_later):
        blocks = watchdog.blocks(watch.loop_id, known.start_ns, span._end_time)
        if blocks:
            _add_events(readable, [block_event(block) for block in blocks[-MOST_BLOCKS:]])


def _attributes_of(span: Span, known: OpenSpan, ended_ns: int) -> dict[str, AttributeValue]:
    """What a span that ends gets; it is open no longer."""
    try:
        attributes = known.measure(ended_ns)
    finally:
        tracking.spans.pop(id(known), None)
        spans = known.activity.spans
        if spans and spans[-1] is known:
            spans.pop()
        elif known in spans:
            spans.remove(known)
    root, parent = known.root, span.parent
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
    copy.__dict__.update(own.__dict__, maxlen=None, _dict={**attributes, **own._dict})
    readable._attributes = copy


def _watch_of(activity: Activity) -> LoopWatch | None:
    """The watch of the loop that an activity runs on, or that it was started from."""
    above: Activity | None = activity
    while above is not None:
        if above.loop_id is not None:
            return watches.of(above.loop_id)
        above = above.parent
    return None


def _length(intervals: list[Interval]) -> int:
    return sum([end - start for start, end in intervals])


def _merge(intervals: list[Interval]) -> list[Interval]:
    """The disjoint intervals, in order, that cover the same time."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _add_events(readable: ReadableSpan, events: list[Event]) -> None:
    own = readable._events
    dropped = getattr(own, "dropped", 0)
    both = BoundedList.from_seq(None, [*own, *events])
    both.dropped = dropped
    readable._events = both
