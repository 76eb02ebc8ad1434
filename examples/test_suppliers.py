"""Assert in pytest that a program really does its calls at once.

pytest examples/test_suppliers.py
"""

import asyncio

from opentelemetry import trace

from trading_graph import spans_where
from trading_graph.testing import RecordedSpans, assert_complete, assert_overlap

tracer = trace.get_tracer("shop")


async def ask(supplier: str) -> None:
    """Ask one supplier for a price."""
    with tracer.start_as_current_span(f"ask {supplier}"):
        await asyncio.sleep(0.1)


async def quote() -> None:
    """Ask all suppliers; with a loop in the place of gather the test below fails."""
    with tracer.start_as_current_span("quote"):
        await asyncio.gather(*(ask(supplier) for supplier in ("north", "south", "east")))


def test_suppliers_are_asked_at_once(recorded_spans: RecordedSpans) -> None:
    """The three requests overlap."""
    asyncio.run(quote())
    assert_complete(recorded_spans.trace)
    assert_overlap(recorded_spans.trace, spans_where(name="ask *"), at_least=0.8)
