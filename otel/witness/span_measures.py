"""What is known of a span while it is open, and the attributes that it gets at its end."""

import sys
import threading
from time import process_time_ns
from typing import Any

from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness import timeline
from trading_graph.otel.witness.activities import Activity
from trading_graph.otel.witness.clock import now_ns
from trading_graph.otel.witness.cpu_time import thread_time
from trading_graph.otel.witness.current import current_cause
from trading_graph.otel.witness.loops import LoopWatch, watches
from trading_graph.otel.witness.pauses import pauses
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
        self.thread_time = had = thread_time() if activity.loop_id is None else None
        self.cpu_ns = process_time_ns() if had is None else had.process
        self.created_ns = self.start_ns = now = now_ns()
        if started_ns is not None and started_ns < now:
            self.start_ns = started_ns

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
        now, process_ns = now_ns(), process_time_ns()
        start, end = self.start_ns, min(ended_ns, now)
        if self.was_seen_later:
            return self._measure_later(start, end, watchdog)
        if end <= start:
            return {}
        watch, activity = self.watch, self.activity
        attributes: dict[str, AttributeValue] = {
            witness.THREAD_ID: threading.get_ident(),
            witness.CPU_OVER_WALL: _share(process_ns - self.cpu_ns, now - self.created_ns),
        }
        lag_ms = 0.0
        if watch is not None:
            if lag_ns := watch.lag_ns(start, end):
                lag_ms = _ms(lag_ns)
            if activity.loop_id is not None:
                attributes[witness.LOOP_ID] = watch.name
        attributes[witness.LOOP_LAG_MAX_MS] = lag_ms
        if imports := len(sys.modules) - self.modules:
            attributes[witness.IMPORTS] = imports
        if (pause_ns := pauses.total_ns - self.pauses_ns) >= 1_000_000:
            attributes[witness.GC_MS] = _ms(pause_ns)
        if end - start >= LEAST_NS:
            self._add_time(attributes, start, end, process_ns)
            if self.waits:
                self._add_waits(attributes, self.waits, start, end)
        return attributes

    def _measure_later(self, start: int, end: int, watchdog: Watchdog) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {}
        if (share := watchdog.cpu_share(start, end)) is not None:
            attributes[witness.CPU_OVER_WALL] = round(share, 3)
        if self.watch is not None:
            attributes[witness.LOOP_LAG_MAX_MS] = _ms(self.watch.lag_ns(start, end))
        if end > start:
            attributes[witness.UNACCOUNTED_MS] = _ms(end - start)
        return attributes

    def _add_time(
        self, attributes: dict[str, AttributeValue], start: int, end: int, process_ns: int
    ) -> None:
        """Add what the time was spent on, and how much of it is not accounted for."""
        activity, had = self.activity, self.thread_time
        cpu = None
        if activity.loop_id is not None:
            totals = activity.totals(start, end, current_cause())
        else:
            totals = activity.timeline.totals(start, end)
            if had is not None and self.thread_id == threading.get_ident():
                cpu = thread_time(process_ns).since(had)
                totals[timeline.RUNNING], totals[timeline.READY] = cpu.running, cpu.queued
        unknown = end - start - sum(totals.values()) + totals.get(timeline.UNACCOUNTED, 0)
        if cpu and unknown >= LEAST_NS and cpu.is_held_up_by_others(unknown):
            self.add_wait(witness.Wait.INTERPRETER_LOCK, end - unknown, end)
            unknown = 0
        if self.waits:
            unknown = max(unknown, _length(self._notes(timeline.UNACCOUNTED, start, end)))
        for kind, spent in totals.items():
            if spent >= LEAST_NS and (key := _KEYS.get(kind)):
                attributes[key] = _ms(spent)
        if unknown >= 1_000_000:
            attributes[witness.UNACCOUNTED_MS] = _ms(unknown)

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


# `round` to some digits takes several times as long.


def _ms(time_ns: int) -> float:
    """Milliseconds, to a tenth."""
    return (time_ns + 50_000) // 100_000 / 10


def _share(part: int, whole: int) -> float:
    """One time over another, to a thousandth."""
    whole = max(whole, 1)
    return (part * 1000 + whole // 2) // whole / 1000


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
