"""Which of two siblings had to wait for the other, as far as a trace declares it.

LangGraph's step, and the turn of an LLM call and of its tools, put siblings in an order that is
known, whatever their times suggest. Where nothing is declared only times are left, and what they
suggest is no proof.
"""

from collections.abc import Mapping, Sequence

from otel.diagnosis.call_tree import CallTree
from otel.trace import Trace, semconv
from otel.trace.kinds import Role, step


def declared_ranks(tree: CallTree) -> Mapping[int, int]:
    """The declared place of each span among its siblings: it waits for all of lower rank.

    Only of families in which every span declares one and the times agree; others are left out.
    """
    ranks: dict[int, int] = {}
    for parent in tree.rows:
        family = tree.children(parent)
        if len(family) > 1:
            places = _steps(tree.trace, family) or _turns(tree.trace, family)
            if places is not None and _agrees(tree, family, places):
                ranks.update(zip(family, places, strict=True))
    return ranks


def _steps(trace: Trace, family: Sequence[int]) -> list[int] | None:
    places = []
    for row in family:
        place = step(trace.attributes(row))
        if place is None:
            return None
        places.append(place)
    return places


def _turns(trace: Trace, family: Sequence[int]) -> list[int] | None:
    """An LLM call, then its tools, then the next call."""
    places = []
    for row in family:
        role = trace.roles[row]
        turn = trace.number(row, semconv.TURN_INDEX) if role in (Role.LLM, Role.TOOL) else None
        if turn is None:
            return None
        places.append(2 * int(turn) + (role is Role.TOOL))
    return places


def _agrees(tree: CallTree, family: Sequence[int], places: Sequence[int]) -> bool:
    """Whether all of a lower rank had ended when one of a higher rank started."""
    reached, before, highest = 0, 0, places[0]
    for row, place in zip(family, places, strict=True):  # in order of start
        if place < highest:
            return False
        if place > highest:
            before, highest = reached, place
        if before > tree.start[row]:
            return False
        reached = max(reached, tree.end[row])
    return True
