"""What was asked for, by whom, and in words what was asked for more than once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import requests
from trading_graph.otel.trace.structure.calls import nearest_above
from trading_graph.otel.vocabularies import Role, tool_call

_SHOWN = 5
_LENGTH = 80


def by_request(trace: SpanTable, run: int, rows: Sequence[int]) -> Mapping[str, list[int]]:
    """The spans that ask for each thing, in their order.

    A tool's span inside another that asks for the same is the same call, recorded twice.
    """
    asked = requests(trace, rows)
    above = nearest_above(trace, run, Role.TOOL)
    who: dict[str, list[int]] = defaultdict(list)
    for row, request in asked.items():
        if above[row] < 0 or asked.get(above[row]) != request:
            who[request].append(row)
    return who


def asked_again(trace: SpanTable, requests: Iterable[Sequence[int]]) -> list[str]:
    """A sentence for each request that was made more than once, the most frequent first.

    Each request is given as the rows of all that made it.
    """
    repeated = sorted((rows for rows in requests if len(rows) > 1), key=len, reverse=True)
    notes = [f"{_asked_for(trace, rows[0])}: {len(rows)} times." for rows in repeated[:_SHOWN]]
    more = len(repeated) - len(notes)
    return [*notes, f"{more} more were asked for again."] if more else notes


def _asked_for(trace: SpanTable, row: int) -> str:
    """The tool and its arguments, shortened; a fetch by its name, because its key is opaque."""
    if trace.roles[row] is not Role.TOOL:
        return trace.names[row]
    call = tool_call(trace.attributes(row))
    text = " ".join(f"{call.name or trace.names[row]} {call.arguments or ''}".split())
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
