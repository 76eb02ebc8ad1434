"""New traces of one service in Jaeger, each reported once, when it has settled.

Jaeger does not say when a trace is over, so this polls. A trace has settled when it holds the spans
that it declares. Without a declaration it has settled when it looks whole at two polls. A trace
that lacks something has settled when nothing more has come for a while.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trading_graph.otel.errors import AnswerTooLargeError
from trading_graph.otel.trace import Span, SpanTable, semconv
from trading_graph.otel.verdict import completeness

if TYPE_CHECKING:
    from trading_graph.otel.sources.jaeger_query import JaegerQuery

POLL_S = 2.0
QUIET_S = 30.0
"""A trace that has a root and lacks something settles after this time without new spans."""
ROOTLESS_S = 600.0
"""The same without a root: the call of a model can take minutes."""
LOOKBACK_S = 600.0
"""How far back traces are searched: their spans may come in any order, and late."""
_AHEAD_S = 60.0  # the clocks of two machines differ
_PAGE = 50
_MOST_REMEMBERED = 20_000
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class SettledTrace:
    """A trace that has settled: its root's name and times, in seconds since the epoch."""

    trace: SpanTable
    name: str
    started: float
    seconds: float | None


@dataclass(slots=True)
class _UnsettledTrace:
    """How many spans a trace had when it last changed, and when that was."""

    spans: int
    changed: float


class TraceWatch:
    """Polls Jaeger for the traces of a service that ended after a time. Blocks.

    The first poll looks back to `look_from`, so that an interrupted watch misses nothing. By
    default that is a few minutes before `since`.
    """

    def __init__(
        self,
        jaeger: "JaegerQuery",
        service: str,
        since: float,
        look_from: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jaeger = jaeger
        self._service = service
        self._since_ns = int(since * 1e9)
        self._look_from = (since if look_from is None else look_from) - LOOKBACK_S
        self._clock = clock
        self._page = _PAGE  # stays smaller once the traces were too large
        self._growing: dict[str, _UnsettledTrace] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._closed = threading.Event()

    @property
    def pending(self) -> int:
        """How many traces have come and have not settled."""
        return len(self._growing)

    def close(self) -> None:
        """Let a poll in another thread end after its current request."""
        self._closed.set()

    def mark_done(self, trace_id: str) -> None:
        """Do not report a trace again."""
        self._growing.pop(trace_id, None)
        self._done[trace_id] = None
        if len(self._done) > _MOST_REMEMBERED:
            self._done.popitem(last=False)

    def poll(self) -> list[SettledTrace]:
        """The traces that have settled and are not done, in order of start; raises TraceError."""
        began = time.time()
        traces = {trace.trace_id: trace for trace in self._search() if self._concerns(trace)}
        for trace_id in self._growing.keys() - traces.keys():
            # Quiet for longer than the search looks back, or gone from Jaeger's memory.
            trace = self._jaeger.trace(trace_id)
            if trace is None:
                del self._growing[trace_id]
            else:
                traces[trace_id] = trace
        settled = [_settled(trace) for trace in traces.values() if self._has_settled(trace)]
        self._look_from = began - LOOKBACK_S
        return sorted(settled, key=lambda arrived: arrived.started)

    def _search(self) -> Iterator[SpanTable]:
        """Everything since `look_from`, page by page; Jaeger gives the newest first."""
        since, until = _utc(self._look_from), _utc(time.time() + _AHEAD_S)
        seen: set[str] = set()
        while not self._closed.is_set():
            try:
                page = self._jaeger.search(self._service, since, until, self._page)
            except AnswerTooLargeError:
                if self._page == 1:
                    raise
                self._page //= 2
                continue
            new = [trace for trace in page if trace.trace_id not in seen]
            seen.update(trace.trace_id for trace in new)
            yield from new
            if len(page) < self._page or not new:
                return
            until = _utc(int(page[-1].start[0]) / 1e9)

    def _concerns(self, trace: SpanTable) -> bool:
        return (
            trace.trace_id not in self._done
            and int(trace.end.max()) >= self._since_ns
            and not is_derived(trace)
        )

    def _has_settled(self, trace: SpanTable) -> bool:
        state = completeness(trace)
        if state.exact:
            return True
        now = self._clock()
        before = self._growing.get(trace.trace_id)
        if before is None or before.spans != len(trace):
            self._growing[trace.trace_id] = _UnsettledTrace(len(trace), now)
            return False
        is_whole = state.complete and not state.is_called
        return is_whole or now - before.changed >= (QUIET_S if trace.roots else ROOTLESS_S)


class PollBackoff:
    """How long to wait until the next poll: longer every time while Jaeger does not answer."""

    _MOST_S = 60.0

    def __init__(self) -> None:
        self.problem: str | None = None
        """The problem of the last poll."""
        self.wait_s = POLL_S

    def note_failure(self, problem: str) -> bool:
        """Note that a poll failed; true if the poll before it worked."""
        is_news = self.problem is None
        self.wait_s = POLL_S if is_news else min(self._MOST_S, self.wait_s * 2)
        self.problem = problem
        return is_news

    def note_success(self) -> bool:
        """Note that a poll worked; true if the poll before it failed."""
        is_news = self.problem is not None
        self.problem, self.wait_s = None, POLL_S
        return is_news


def is_derived(trace: SpanTable) -> bool:
    """Whether a trace has no verdict of its own: a predicted one, or work nobody waited for."""
    first = trace.attributes(0)
    return semconv.PREDICTED in first or first.get(semconv.OPERATION) == semconv.DETACHED


def settled_trace(trace: SpanTable, run: Span | None) -> SettledTrace:
    """The name and the times of a trace that has settled: its run's, else its root's."""
    top = run or Span(trace, (trace.roots or [0])[0])
    name = "".join(each if each.isprintable() else " " for each in top.name)
    seconds = (top.end_ns - top.start_ns) / 1e9
    return SettledTrace(
        trace, name[:_LONGEST_NAME], top.start_ns / 1e9, seconds if seconds >= 0 else None
    )


def _settled(trace: SpanTable) -> SettledTrace:
    run = completeness(trace).run
    return settled_trace(trace, None if run is None else Span(trace, run))


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(max(0.0, seconds), UTC)
