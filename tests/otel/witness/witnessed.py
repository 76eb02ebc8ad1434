"""A program with a tracer of its own, whose spans the witness watches."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trading_graph.otel import witness
from trading_graph.otel.witness.faults import faults

WORK_S = 0.06
Work = Callable[[], Awaitable[None]]


class Program:
    """A program's own tracer and what it exports."""

    def __init__(self, limits: SpanLimits | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("program")

    def attributes(self, name: str) -> Mapping[str, Any]:
        (span,) = [span for span in self.ended if span.name == name]
        return dict(span.attributes or {})

    def figure(self, name: str, key: str) -> float:
        return float(self.attributes(name).get(key, 0.0))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def run(self, *works: Work) -> None:
        """Run works at once, each in a span that bears its number."""

        async def traced(number: int, work: Work) -> None:
            with self.tracer.start_as_current_span(str(number)):
                await work()

        async def main() -> None:
            with self.tracer.start_as_current_span("root"):
                await asyncio.gather(*(traced(n, work) for n, work in enumerate(works)))

        asyncio.run(main())


@pytest.fixture
def program() -> Iterator[Program]:
    faults.count = 0
    witness.install()
    yield Program()
    witness.uninstall()
    assert faults.count == 0


async def sleep() -> None:
    await asyncio.sleep(WORK_S)
