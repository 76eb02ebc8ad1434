"""A diagnosed run for other tools: a timeline for Perfetto, and folded stacks for flame graphs.

The timeline is of Chrome trace events, which ui.perfetto.dev and chrome://tracing open. It has two
processes: the run as recorded, with its critical path on a track of its own, and the run as
predicted with all fixes made. A branch (an agent, or whatever runs beside its siblings) has a
track, so that the spans on one nest.

The stacks are those of the critical path, which flamegraph.pl, speedscope and others draw. A line
is the names from the run down to a span, with `;` between them, and the nanoseconds that the path
spent in the span itself. The lines sum to the run's time exactly.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from trading_graph.otel.diagnosis import PathTable, Ranking
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.visible import visible_line
from trading_graph.otel.vocabularies import Role

_RECORDED, _PREDICTED = 1, 2
_PATH_TRACK = 1


def perfetto(ranking: Ranking) -> str:
    """The document; times are microseconds after the run's start."""
    tree, path = ranking.schedule.tree, ranking.path
    begin = tree.start[tree.run]
    events = [
        _name("process_name", _RECORDED, "recorded"),
        _name("thread_name", _RECORDED, "critical path", _PATH_TRACK),
        *(
            _event(ranking.trace, row, start - begin, end - begin, _RECORDED, _PATH_TRACK)
            for row, start, end in path.segments
        ),
        *_process(ranking, tree.start, tree.end, _RECORDED),
    ]
    if ranking.steps:
        start, end = ranking.all_fixed().times()
        events.append(_name("process_name", _PREDICTED, "predicted, all fixes made"))
        events += _process(ranking, start, end, _PREDICTED)
    document = {
        "displayTimeUnit": "ms",
        "otherData": {"trace_id": ranking.trace.trace_id},
        "traceEvents": events,
    }
    return msgspec.json.encode(document).decode()


def _process(
    ranking: Ranking, start: Sequence[int], end: Sequence[int], process: int
) -> list[dict[str, Any]]:
    tree, trace = ranking.schedule.tree, ranking.trace
    rows = sorted(tree.rows, key=lambda row: (start[row], tree.depth[row], -end[row], row))
    tracks = _Tracks(trace, tree.run, start, end)
    begin = start[tree.run]
    spans = [
        _event(trace, row, start[row] - begin, end[row] - begin, process, tracks.place(row))
        for row in rows
    ]
    names = [
        _name("thread_name", process, name, track) for track, name in sorted(tracks.names.items())
    ]
    return names + spans


class _Tracks:
    """Places spans, given in order of start, on tracks on which they nest.

    A span stays on its parent's track unless a sibling is still at work there. An agent has a track
    of its own name, and its next round comes back to it.
    """

    def __init__(
        self, trace: SpanTable, run: int, start: Sequence[int], end: Sequence[int]
    ) -> None:
        self.names: dict[int, str] = {}
        self._trace, self._run = trace, run
        self._start, self._end = start, end
        self._track: dict[int, int] = {}
        self._free_at: dict[int, int] = {}  # by parent: when its own track is free again
        self._idle: dict[str, list[tuple[int, int]]] = defaultdict(list)  # by name: end, track

    def place(self, row: int) -> int:
        """The track of a span."""
        parent = int(self._trace.parent[row])
        begin, end = self._start[row], self._end[row]
        above = self._track.get(parent)  # None also where a detached span starts before its parent
        if row == self._run or above is None or self._trace.roles[row] is Role.AGENT:
            track = self._own(self._trace.names[row].removeprefix("invoke_agent "), begin, end)
        elif self._free_at.get(parent, 0) <= begin and end <= self._end[parent]:
            track = above
            self._free_at[parent] = end
        else:
            track = self._own(self.names[above], begin, end)
        self._track[row] = track
        return track

    def _own(self, name: str, begin: int, end: int) -> int:
        """A track of this name that is idle, else a new one."""
        idle = self._idle[name]
        if idle and idle[0][0] <= begin:
            _, track = heapq.heappop(idle)
        else:
            track = _PATH_TRACK + 1 + len(self.names)
            self.names[track] = name
        heapq.heappush(idle, (end, track))
        return track


def _event(
    trace: SpanTable, row: int, start_ns: int, end_ns: int, process: int, track: int
) -> dict[str, Any]:
    return {
        "name": trace.names[row],
        "cat": trace.roles[row],
        "ph": "X",
        "ts": start_ns / 1000,
        "dur": (end_ns - start_ns) / 1000,
        "pid": process,
        "tid": track,
        "args": {"span_id": trace.span_ids[row], **_parent(trace, row)},
    }


def _parent(trace: SpanTable, row: int) -> dict[str, str]:
    above = trace.parents[row]
    return {"parent_id": trace.span_ids[above]} if above >= 0 else {}


def _name(kind: str, process: int, name: str, track: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": track, "args": {"name": name}}


DEPTH = 100
"""Frames of a stack; what is deeper is booked to one frame below: a flame graph shows no more."""

_DEEPER = "(deeper)"


def folded(path: PathTable) -> str:
    """The stacks of the path, in the order in which the run came to them."""
    tree, names = path.tree, path.tree.trace.names
    parents, depth = tree.parents, tree.depth
    # The span whose stack is written for each: itself, or the deepest above it that has a frame.
    frame_row: dict[int, int] = {}
    stacks: dict[int, str] = {}
    times: dict[str, int] = defaultdict(int)
    above = path.total_ns
    for row in tree.rows:
        if row not in above:
            continue
        if depth[row] >= DEPTH:
            frame_row[row] = frame_row[parents[row]]
            continue
        frame_row[row] = row
        before = stacks[parents[row]] + ";" if row != tree.run else ""
        stacks[row] = before + _frame(names[row])
    for row, took in path.self_ns.items():
        times[stacks[frame_row[row]] + ("" if frame_row[row] == row else f";{_DEEPER}")] += took
    return "".join(f"{stack} {took}\n" for stack, took in times.items())


def _frame(name: str) -> str:
    return visible_line(" ".join(name.replace(";", ",").split())) or "(unnamed)"
