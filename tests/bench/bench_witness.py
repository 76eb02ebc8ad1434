"""What the witness costs: spans, an uncontended semaphore or lock, tasks, steps, an idle loop.

    python tests/bench/bench_witness.py [--spans 20000] [--rounds 5]

Each figure is CPU time of the thread, the least of some rounds, with and without the witness in
turn. Spans are opened and ended by the bare SDK with a processor that does nothing. The idle loop
runs for two seconds without any span; its figure is the CPU time of the whole process over them.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Mapping

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer
from opentelemetry.util.types import AttributeValue

from trading_graph.otel import witness

ATTRIBUTES: Mapping[str, AttributeValue] = {"a": 1, "b": 2, "c": "3"}
LONG_S = 120e-6
"""From 0.1 ms on, what a span's time was spent on is measured too."""


def bare_tracer() -> Tracer:
    """A tracer of the bare SDK."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    return provider.get_tracer("bench")


def spans_here(count: int) -> float:
    """Microseconds for a span of the bare SDK with three attributes, on a thread of its own."""
    tracer = bare_tracer()
    with tracer.start_as_current_span("root"):
        began = time.thread_time()
        for _ in range(count):
            with tracer.start_as_current_span("work", attributes=ATTRIBUTES):
                pass
        return (time.thread_time() - began) / count * 1e6


def spans(count: int) -> float:
    """The same on an event loop."""

    async def run() -> float:
        return spans_here(count)

    return asyncio.run(run())


def long_spans_here(count: int) -> float:
    """Microseconds to start and to end a span that lasts longer, on a thread: the median."""
    tracer, costs = bare_tracer(), []
    with tracer.start_as_current_span("root"):
        for _ in range(count // 20):
            began = time.thread_time()
            span = tracer.start_span("work", attributes=ATTRIBUTES)
            started = time.thread_time()
            while time.thread_time() - started < LONG_S:
                pass
            ending = time.thread_time()
            span.end()
            costs.append(time.thread_time() - ending + started - began)
    return statistics.median(costs) * 1e6


def long_spans(count: int) -> float:
    """The same on an event loop."""

    async def run() -> float:
        return long_spans_here(count)

    return asyncio.run(run())


def semaphores(count: int) -> float:
    """Microseconds for an uncontended semaphore of asyncio, and for a lock: the mean of both."""

    async def run() -> float:
        semaphore, lock = asyncio.Semaphore(1), asyncio.Lock()
        began = time.thread_time()
        for _ in range(count):
            async with semaphore:
                pass
            async with lock:
                pass
        return time.thread_time() - began

    return asyncio.run(run()) / count / 2 * 1e6


def tasks(count: int) -> float:
    """Microseconds for a task that sleeps once for no time."""

    async def run() -> float:
        began = time.thread_time()
        for _ in range(count):
            await asyncio.create_task(asyncio.sleep(0))
        return time.thread_time() - began

    return asyncio.run(run()) / count * 1e6


def steps(count: int) -> float:
    """Microseconds for a step of a task, while a span is open."""
    tracer = bare_tracer()

    async def run() -> float:
        with tracer.start_as_current_span("root"):
            began = time.thread_time()
            for _ in range(count):
                await asyncio.sleep(0)
            return time.thread_time() - began

    return asyncio.run(run()) / count * 1e6


def idle(_: int) -> float:
    """The share of a CPU in per cent that a loop takes which has nothing to do."""
    cpu, began = time.process_time(), time.perf_counter()
    asyncio.run(asyncio.sleep(2))
    return (time.process_time() - cpu) / (time.perf_counter() - began) * 100


def compare(measure: Callable[[int], float], count: int, rounds: int) -> tuple[float, float]:
    """The least figure without the witness, and with it."""
    without, with_it = [], []
    for _ in range(rounds):
        without.append(measure(count))
        witness.install()
        with_it.append(measure(count))
        witness.uninstall()
    return min(without), min(with_it)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'':28}{'without':>10}{'with':>10}{'more':>10}")
    for name, measure, unit, rounds in (
        ("span", spans, "us", options.rounds),
        ("longer span", long_spans, "us", options.rounds),
        ("span on a thread", spans_here, "us", options.rounds),
        ("longer, on a thread", long_spans_here, "us", options.rounds),
        ("semaphore or lock", semaphores, "us", options.rounds),
        ("task", tasks, "us", options.rounds),
        ("step, span open", steps, "us", options.rounds),
        ("idle loop", idle, "% CPU", 1),
    ):
        without, with_it = compare(measure, options.spans, rounds)
        more = with_it - without
        print(f"{name:20}{unit:>8}{without:10.2f}{with_it:10.2f}{more:10.2f}")


if __name__ == "__main__":
    main()
