"""What is known of a span while it is open, and the attributes that it gets at its end."""

import sys
import threading
from time import process_time_ns, time_ns
from typing import Any

from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.activities import Activity
from trading_graph.otel.witness.current import current_cause
from trading_graph.otel.witness.loops import LoopWatch, watches
from trading_graph.otel.witness.pauses import pauses
from trading_graph.otel.witness.thread_time import thread_time
from trading_graph.otel.witness.watchdog import Watchdog

MOST_OFFSETS = 16

LEAST_NS = 100_000
"""What took less is not worth an attribute."""

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

    def measure(self, ended_ns: int, watchdog: Watchdog) -> dict[str, AttributeValue]:
        """The attributes of the span that ends, or ended, at this time."""
        now, cpu_ns = time_ns(), process_time_ns() - self.cpu_ns
        start, end = self.start_ns, min(ended_ns, now)
        if self.was_seen_later:
            return self._measure_later(start, end, watchdog)
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
                attributes[witness.LOOP_ID] = watch.name
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

    def _measure_later(self, start: int, end: int, watchdog: Watchdog) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {}
        if (share := watchdog.cpu_share(start, end)) is not None:
            attributes[witness.CPU_OVER_WALL] = round(share, 3)
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
