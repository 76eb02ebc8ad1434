"""What calls ask for, so that two of them can be told to ask for the same."""

from collections.abc import Sequence

from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, tool_call


def requests(trace: SpanTable, rows: Sequence[int]) -> dict[int, str | None]:
    """What each of some spans asks for; None where a span does not say.

    A tool call asks by its name and arguments, a fetch by its declared key.
    """
    return {row: _request(trace, row) for row in rows}


def _request(trace: SpanTable, row: int) -> str | None:
    attributes = trace.attributes(row)
    if (key := attributes.get(semconv.FETCH_KEY)) is not None:
        return str(key)
    if trace.roles[row] is not Role.TOOL:
        return None
    call = tool_call(attributes)
    if not call.arguments:
        return None
    return f"{call.name or trace.names[row]} {call.arguments}"
