"""The tracer provider of a program, and spans of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

provider = TracerProvider(resource=Resource.create({"service.name": "weather"}))
provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("weather-app")


@contextmanager
def span(operation: str, name: str) -> Iterator[trace.Span]:
    """Open a span by the conventions for agents, such as `execute_tool` of `weather`."""
    kind = {"invoke_agent": "agent", "execute_tool": "tool"}.get(operation, "workflow")
    attributes = {"gen_ai.operation.name": operation, f"gen_ai.{kind}.name": name}
    with tracer.start_as_current_span(f"{operation} {name}", attributes=attributes) as opened:
        yield opened
