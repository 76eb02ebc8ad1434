"""Chrome's trace events: of browsers, profilers, and what `diagnose --export perfetto` writes.

Our own export says which span is whose. Of any other, spans on one thread nest by their times, and
what is outermost on a thread hangs below the one span of the process that encloses all of it, if
there is one: the format has no parents. Times are microseconds. Source: the Trace Event Format.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from trading_graph.otel.sources.fields import MICROSECOND, duration, items, mapping, moment, text
from trading_graph.otel.sources.formats.format import Format, Spans, json_reader
from trading_graph.otel.sources.head import Head, first_object
from trading_graph.otel.trace import Attributes, SpanValues, no_events, semconv

_NAME = "Chrome's trace events"
_OPERATIONS = {
    "run": "invoke_workflow",
    "agent": "invoke_agent",
    "llm": "chat",
    "tool": "execute_tool",
    "retrieval": "retrieval",
    "chain": "plan",
}
"""What the roles that our own export writes as categories are called by OpenTelemetry."""

_BEGINS, _ENDS = ("B", "b"), ("E", "e")

_Row = Mapping[str, Any]


def _spans(document: Any) -> Spans:
    rows = document if isinstance(document, list) else items(document, "traceEvents")
    events = [each for each in rows if isinstance(each, dict)]
    own_id = text(mapping(document, "otherData"), "trace_id") if isinstance(document, dict) else ""
    names = {
        (text(each, "pid"), text(each, "tid")): text(mapping(each, "args"), "name")
        for each in events
        if each.get("ph") == "M" and each.get("name") in ("process_name", "thread_name")
    }
    by_process: dict[str, list[SpanValues]] = defaultdict(list)
    for place, of_thread in _threads(events).items():
        # Our own export repeats spans where they are on the critical path, and plays them again.
        if not own_id or (names.get(place) != "critical path" and place[0] == "1"):
            by_process[place[0]] += _nested(list(_complete(of_thread, place)))
    for process, spans in by_process.items():
        trace_id = own_id or f"{zlib.crc32(process.encode()):032x}"
        yield from ((trace_id, span) for span in (spans if own_id else _below_one(spans)))


def _threads(events: Sequence[_Row]) -> Mapping[tuple[str, str], list[_Row]]:
    """The events of each thread; what is asynchronous has a track of its own."""
    threads: dict[tuple[str, str], list[_Row]] = defaultdict(list)
    for event in events:
        phase = event.get("ph")
        if phase in ("X", "B", "E"):
            threads[text(event, "pid"), text(event, "tid")].append(event)
        elif phase in ("b", "e"):
            track = (
                f"{text(event, 'cat')} {text(event, 'id') or text(mapping(event, 'id2'), 'local')}"
            )
            threads[text(event, "pid"), track].append(event)
    return threads


def _complete(events: Sequence[_Row], place: tuple[str, str]) -> Iterator[SpanValues]:
    """The spans of a thread: whole ones, and those with a begin and an end of their own."""
    began = list[tuple[int, _Row]]()
    for number, event in enumerate(events):
        at, phase = moment(event, "ts", MICROSECOND), event.get("ph")
        if phase == "X":
            yield _span(event, at, at + duration(event, "dur", MICROSECOND), (*place, number))
        elif phase in _BEGINS:
            began.append((at, event))
        elif began and phase in _ENDS:
            start, first = began.pop()
            yield _span(first, start, max(at, start), (*place, number))
    for number, (start, event) in enumerate(began):
        yield _span(event, start, 0, (*place, "open", number))


def _span(event: _Row, start: int, end: int, place: tuple[Any, ...]) -> SpanValues:
    args = mapping(event, "args")
    attributes = _attributes(event, args)
    return SpanValues(
        span_id=text(args, "span_id") or "-".join(map(str, place)),
        parent_id=text(args, "parent_id"),
        name=text(event, "name"),
        kind=1,
        # Times of a program's own clock may begin at 0, which means unknown here.
        start_ns=start + 1 if end or start else start,
        end_ns=end + 1 if end else 0,
        status=0,
        attributes=lambda: attributes,
        events=no_events,
        resource={"process.pid": place[0]},
    )


def _attributes(event: _Row, args: _Row) -> Attributes:
    operation = _OPERATIONS.get(text(event, "cat")) if "span_id" in args else None
    return {**args, semconv.OPERATION_NAME: operation} if operation else args


def _nested(spans: list[SpanValues]) -> list[SpanValues]:
    """The spans of a thread, each below the one that encloses it."""
    nested, open_ = list[SpanValues](), list[SpanValues]()
    for span in sorted(spans, key=lambda each: (each.start_ns, -each.end_ns)):
        while open_ and open_[-1].end_ns < (span.end_ns or span.start_ns):
            open_.pop()
        if open_ and not span.parent_id and "span_id" not in span.attributes():
            span = msgspec.structs.replace(span, parent_id=open_[-1].span_id)
        nested.append(span)
        open_.append(span)
    return nested


def _below_one(spans: Sequence[SpanValues]) -> Iterator[SpanValues]:
    """The spans of a process; the outermost one is above those of other threads inside it."""
    tops = [span for span in spans if not span.parent_id]
    first = min(tops, key=lambda each: (each.start_ns, -each.end_ns), default=None)
    for span in spans:
        if first is None or span is first or span.parent_id or span.end_ns > first.end_ns:
            yield span
        else:
            yield msgspec.structs.replace(span, parent_id=first.span_id)


def _recognises(head: Head) -> bool:
    value, first = head.value, head.first
    if isinstance(value, dict):
        return isinstance(value.get("traceEvents"), list)
    return {"ph", "ts", "pid"} <= set(first) or (
        first.get("ph") == "M" and "pid" in first and first is first_object(value)
    )


FORMATS = (
    Format(
        _NAME,
        "the JSON of Chrome, of profilers, of `diagnose --export perfetto`",
        "`traceEvents`; an array with `ph`, `ts` and `pid`",
        _recognises,
        json_reader(_NAME, _spans),
    ),
)
