"""What a run is measured by: its spans, and the pool's connections while it is open."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from trading_graph.otel.export import SpanMetrics
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
