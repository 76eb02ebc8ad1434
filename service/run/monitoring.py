"""What monitoring reads: metrics of runs, and log lines on when each agent started and ended.

The monitoring commands look for these lines:

    grep "⏱️" logs/trading_graph.log
    grep "START" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'
    grep "Total execution time" logs/trading_graph.log

They come from the agents' spans, so that log and trace cannot disagree.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.export import SpanMetrics
from trading_graph.otel.spans import UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.service.log import LOG
from trading_graph.toolkit.pool import HttpPool, PoolConnections
from trading_graph.toolkit.tools import TOOLS

_STATE = "http.connection.state"


class RunMetrics:
    """The instruments of one process, for all its runs; `spans` listens to each of them."""

    def __init__(self, meter: Meter) -> None:
        self.spans = SpanMetrics(meter, TOOLS)
        self._pools: tuple[HttpPool, ...] = ()
        meter.create_observable_gauge(
            "trading.pool.connections", [self._connections], unit="{connection}"
        )
        meter.create_observable_gauge("trading.pool.waiting", [self._waiting], unit="{request}")

    @contextmanager
    def watching(self, pool: HttpPool) -> Iterator[None]:
        """Measure the pool's connections for the duration of the block."""
        self._pools = (*self._pools, pool)
        try:
            yield
        finally:
            self._pools = tuple(each for each in self._pools if each is not pool)

    def _connections(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._sum(lambda pool: pool.in_use), {_STATE: "active"})
        yield Observation(self._sum(lambda pool: pool.idle), {_STATE: "idle"})

    def _waiting(self, options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(self._sum(lambda pool: pool.waiting))

    def _sum(self, number: Callable[[PoolConnections], int]) -> int:
        return sum(number(pool.connections) for pool in self._pools)


class DeadTime:
    """The time that a resumed run spent without a process; a `SpanListener`.

    It has to listen from the start, since the newest interruption is recorded as the run is opened.
    """

    def __init__(self, unfinished: UnfinishedRun | None) -> None:
        earlier = () if unfinished is None else unfinished.ended_spans
        self.total_ns = sum(map(_interruption_ns, earlier))

    def on_start(self, span: ReadableSpan) -> None:
        """Do nothing: an interruption is over when it is recorded."""

    def on_end(self, span: ReadableSpan) -> None:
        """Add an interruption."""
        self.total_ns += _interruption_ns(span)


class TimingLog:
    """Logs the start and the end of every agent, and of the run; a `SpanListener`."""

    def __init__(self, dead: DeadTime) -> None:
        self._dead = dead

    def on_start(self, span: ReadableSpan) -> None:
        """Log the start of an agent, with the epoch as the last field, which awk prints."""
        if agent := _agent(span):
            LOG.info("⏱️ %s START: %.3f", agent, (span.start_time or 0) / 1e9, extra=_about(span))

    def on_end(self, span: ReadableSpan) -> None:
        """Log an agent's end, and the run's total: how long it worked in all its processes."""
        end, start = (span.end_time or 0) / 1e9, (span.start_time or 0) / 1e9
        if agent := _agent(span):
            LOG.info(
                "⏱️ %s END: %.3f (duration: %.3fs)", agent, end, end - start, extra=_about(span)
            )
        elif _operation(span) == semconv.INVOKE_WORKFLOW:
            whole_ns, dead_ns = _duration_ns(span), self._dead.total_ns
            whole = f" ({whole_ns / 1e9:.3f}s with the time without a process)" if dead_ns else ""
            worked_s = (whole_ns - dead_ns) / 1e9
            LOG.info("Total execution time: %.3fs%s", worked_s, whole, extra=_about(span))


def _operation(span: ReadableSpan) -> object:
    return (span.attributes or {}).get(semconv.OPERATION_NAME)


def _interruption_ns(span: ReadableSpan) -> int:
    """How long an interruption was; 0 for any other span."""
    is_one = (span.attributes or {}).get(semconv.OPERATION) == semconv.INTERRUPTION
    return _duration_ns(span) if is_one else 0


def _duration_ns(span: ReadableSpan) -> int:
    return (span.end_time or 0) - (span.start_time or 0)


def _agent(span: ReadableSpan) -> object:
    if _operation(span) != semconv.INVOKE_AGENT:
        return None
    return (span.attributes or {}).get(semconv.AGENT_NAME)


def _about(span: ReadableSpan) -> dict[str, object]:
    return {"span": span.get_span_context()}
