"""What calls ask for, so that two of them can be told to ask for the same."""

from collections.abc import Sequence

from trading_graph.otel.trace import semconv
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, arguments, tool_call

LEAST_SHARE = 0.01
"""A tool call shorter than this share of the longest asks for nothing that matters."""


def requests(trace: SpanTable, rows: Sequence[int]) -> dict[int, str]:
    """What each of some spans asks for, in their order, without those that do not say.

    A tool call asks by its name and arguments, a fetch by its declared key.
    """
    keys, roles, tool = trace.values(semconv.FETCH_KEY), trace.roles, Role.TOOL
    lengths = trace.lengths
    asking = [row for row in rows if roles[row] is tool or keys[row] is not None]
    tools = [row for row in asking if roles[row] is tool]
    # A tool span of next to no time is bookkeeping, such as that of the final answer.
    least = LEAST_SHARE * max([lengths[row] for row in tools], default=0)
    asked: dict[int, str] = {}
    for row in asking:
        if (key := keys[row]) is not None:
            asked[row] = str(key)
        elif lengths[row] >= least and (request := _tool_request(trace, row)):
            asked[row] = request
    return asked


def _tool_request(trace: SpanTable, row: int) -> str | None:
    asked = trace.read(arguments, row)
    return f"{tool_call(trace.attributes(row)).name or trace.names[row]} {asked}" if asked else None
