"""The calls of a run: each LLM call and each tool call once, however many spans recorded it.

Frameworks record one call as a wrapper with a client's span inside, and add spans of their own
bookkeeping. An LLM call is the innermost span of it, a tool call the outermost.
"""

from collections import defaultdict

import msgspec

from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.table import SpanTable
from trading_graph.otel.vocabularies import Role, answer

WRAPPER_SHARE = 0.5
"""An LLM span is a wrapper if LLM spans below it take this share of its time."""

BOOKKEEPING_SHARE = 0.25
"""An LLM span without any sign of an answer is bookkeeping below this share of the longest."""


class Calls(msgspec.Struct, frozen=True):
    """The calls of one run by row, in order of start."""

    llm: tuple[int, ...]
    tools: tuple[int, ...]


@once_per_trace
def calls(trace: SpanTable, run: int) -> Calls:
    """The LLM calls and tool calls of the run at a row; cached by row."""
    llm, tools = trace.of_role(Role.LLM, run), trace.of_role(Role.TOOL, run)
    return Calls(tuple(_innermost(trace, run, llm)), tuple(_outermost(trace, run, tools)))


def _innermost(trace: SpanTable, run: int, llm: list[int]) -> list[int]:
    """The LLM spans that are calls: no wrapper, and no bookkeeping."""
    if len(llm) < 2:
        return llm
    lengths = trace.lengths
    inside_ns: dict[int, int] = defaultdict(int)
    if any(map(trace.child_rows.__getitem__, llm)):
        above = nearest_above(trace, run, Role.LLM)
        for row in llm:
            if above[row] >= 0:
                inside_ns[above[row]] += lengths[row]
    innermost = [row for row in llm if inside_ns.get(row, 0) < WRAPPER_SHARE * max(lengths[row], 1)]
    least = BOOKKEEPING_SHARE * max([lengths[row] for row in innermost], default=0)
    short = {row for row in innermost if lengths[row] < least and row not in trace.failed}
    if not short:
        return innermost
    silent = {row for row in short if not trace.read(answer, row).is_given}
    if not silent or not any(
        trace.read(answer, row).is_given for row in innermost if row not in silent
    ):
        return innermost
    return [row for row in innermost if row not in silent]


def _outermost(trace: SpanTable, run: int, tools: list[int]) -> list[int]:
    """The tool spans that are not below another tool span."""
    if len(tools) < 2 or not any(map(trace.child_rows.__getitem__, tools)):
        return tools
    above = nearest_above(trace, run, Role.TOOL)
    return [row for row in tools if above[row] < 0]


@once_per_trace
def nearest_above(trace: SpanTable, run: int, role: Role) -> list[int]:
    """For each row the nearest span above it, inside the run, that has a role; -1 for none."""
    roles, below = trace.roles, trace.child_rows
    nearest = [-1] * len(trace)
    for row in trace.tree_rows(run):
        if below[row]:
            here = row if roles[row] is role else nearest[row]
            if here >= 0:
                for child in below[row]:
                    nearest[child] = here
    return nearest
