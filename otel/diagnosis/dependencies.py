"""Which of two siblings had to wait for the other, as far as a trace declares it.

A link to a sibling names what a span waited for. The step of LangGraph, and the turn of an LLM call
and its tools, say what must not be reordered. Where nothing is declared, only times are left, and
they are no proof.
"""

import sys
from collections.abc import Mapping, Sequence

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.vocabularies import Role

SOON_NS = 50_000_000
"""A span that starts this soon after the siblings to which it links started because of them."""

_BESIDE = sys.maxsize


def declared_predecessors(tree: CallTree) -> Mapping[int, tuple[int, ...]]:
    """The siblings whose end let a span start, by its links, where these explain its start.

    A span that started much later also waited for something else, which only its times show.
    """
    trace = tree.trace
    predecessors: dict[int, tuple[int, ...]] = {}
    for row in tree.rows if trace.linked else ():
        if row == tree.run or row not in trace.linked:
            continue
        row_of = trace.row_of
        targets = [row_of[link.span_id] for link in trace.links(row) if link.span_id in row_of]
        # One that starts at the same time and comes later in order has not been placed before.
        family = [
            each
            for each in targets
            if tree.parents[each] == tree.parents[row]
            and (tree.start[each], each) < (tree.start[row], row)
        ]
        last_end = max([tree.end[each] for each in family], default=0)
        if family and 0 <= tree.start[row] - last_end <= SOON_NS:
            predecessors[row] = tuple(family)
    return predecessors


def fetch_leaders(tree: CallTree) -> Mapping[int, int]:
    """The span of another branch whose end let a span end: the fetch of another that it shared.

    Of several linked spans, the last to end counts, where that explains the end of the span.
    """
    trace = tree.trace
    cache = trace.values(semconv.CACHE)
    leader_of: dict[int, int] = {}
    for row in tree.rows if trace.linked else ():
        if cache[row] != "shared":
            continue
        row_of = trace.row_of
        leaders = [row_of[link.span_id] for link in trace.links(row) if link.span_id in row_of]
        last = max(leaders, key=tree.end.__getitem__, default=None)
        if last is None or tree.end[last] <= tree.start[row]:
            continue
        if 0 <= tree.end[row] - tree.end[last] <= SOON_NS:
            leader_of[row] = last
    return leader_of


def declared_ranks(tree: CallTree, parent: int) -> Mapping[int, int]:
    """The declared rank of each child of a span: it waits for all children of lower rank.

    There are ranks only if every child declares one and the times agree. A prefetch is outside the
    order, since no sibling waits for it.
    """
    family, roles = tree.children(parent), tree.trace.roles
    if len(family) < 2:
        return {}
    prefetch = Role.PREFETCH
    sequence = [row for row in family if roles[row] is not prefetch]
    places = _steps(tree.trace, sequence) or _turns(tree.trace, sequence)
    if not places or not _agrees(tree, sequence, places):
        return {}
    ranks = dict(zip(sequence, places, strict=True))
    return ranks if len(ranks) == len(family) else dict.fromkeys(family, _BESIDE) | ranks


def _steps(trace: SpanTable, family: Sequence[int]) -> list[int] | None:
    places = []
    steps = trace.steps
    for row in family:
        place = steps[row]
        if place is None:
            return None
        places.append(place)
    return places


def _turns(trace: SpanTable, family: Sequence[int]) -> list[int] | None:
    """The rank of an LLM call, then of its tools, then of the next call."""
    places = []
    roles, turns = trace.roles, trace.figures(semconv.TURN_INDEX)
    tool, llm = Role.TOOL, Role.LLM
    for row in family:
        role, turn = roles[row], turns[row]
        if turn is None or (role is not tool and role is not llm):
            return None
        places.append(2 * int(turn) + (role is tool))
    return places


def _agrees(tree: CallTree, family: Sequence[int], places: Sequence[int]) -> bool:
    """Whether all spans of lower ranks had ended when one of a higher rank started."""
    last_end, before, highest = 0, 0, places[0]
    for row, place in zip(family, places, strict=True):  # in order of start
        if place < highest:
            return False
        if place > highest:
            before, highest = last_end, place
        if before > tree.start[row]:
            return False
        last_end = max(last_end, tree.end[row])
    return True
