"""Judge the spans of a program inside the program, with no backend and no file.

python examples/judge_spans_in_memory.py
"""

import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import trading_graph as tg
from trading_graph import checks

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("example")


async def work(name: str) -> None:
    """Do something that takes a while."""
    with tracer.start_as_current_span(name):
        await asyncio.sleep(0.1)


async def main() -> None:
    """Run two tasks at once and judge what was recorded."""
    with tracer.start_as_current_span("both"):
        await asyncio.gather(work("work 1"), work("work 2"))
    gate = tg.Gate(checks=(checks.Overlap(set=tg.spans_where(name="work *")),))
    for found in tg.read(exporter.get_finished_spans()):
        verdict = tg.judge(found, gate)
        print(verdict)
        print(verdict.checks[0].grade)


if __name__ == "__main__":
    asyncio.run(main())
