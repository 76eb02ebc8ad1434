"""A run played again under other limits: what would have been granted when, and when it had ended.

Limits hold across the branches of a run, so this is a simulation event by event. A span begins as
in `schedule.py`, in the order that was observed: a gap after the last sibling that had ended before
it. What asks for a share of limits stands in a line, first come first served; limits of which
something is granted together share one line (`limit_lines.py`). What no limit touches keeps its
length.
"""

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial

import msgspec

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.diagnosis.limit_lines import Act, Lines
from trading_graph.otel.trace.grants import Grant, grants_of, limits_of

SOON_NS = 2_000_000
"""What is asked for this soon after the start of a span is asked for at its start."""


class LimitPlay(msgspec.Struct, frozen=True):
    """When spans would have begun and ended, in nanoseconds after the start of the run, by row.

    A span begins when it has what it asks for at its start; `wait` is how long that took. Spans
    below which nothing asks for anything are left out.
    """

    wall_ns: int
    begin: Mapping[int, int]
    end: Mapping[int, int]
    wait: Mapping[int, int]


def play(tree: CallTree, raised: Mapping[str, float]) -> LimitPlay:
    """Play a run with the capacities of some limits multiplied; with none, as it was recorded."""
    return _Play(tree, raised).run()


@dataclass(slots=True, eq=False)
class _Piece:
    """A part of a run as it was recorded: a span, or what a span did with a grant in its middle.

    Times are nanoseconds after the start of the run. `row` is None for the second. `counts` says
    that the span above waits for it, and `fixed_wait_ns` is a wait that no declared limit explains.
    """

    row: int | None
    asked: int
    begin: int
    end: int
    grant: Grant | None
    counts: bool = True
    below: "list[_Piece]" = field(default_factory=list)
    fixed_wait_ns: int = 0

    @property
    def length(self) -> int:
        """How long it took once it had begun."""
        return self.end - self.begin


@dataclass(slots=True, eq=False)
class _Family:
    """The pieces below one that is in play, in order of asking.

    Piece i waits for the first `until[i]` of `by_end`, and `gaps[i]` after the last of them.
    `latest[k]` is when the first k of them had ended.
    """

    owner: "_Node"
    nodes: "list[_Node]"
    by_end: Sequence[int]
    until: Sequence[int]
    gaps: Sequence[int]
    tail_ns: int
    latest: list[int]
    open_count: int
    next_to_ask: int = 0


@dataclass(slots=True, eq=False)
class _Node:
    """A piece in play; `family` is that of the pieces beside it."""

    piece: _Piece
    family: _Family | None = None
    asked_at: int = 0
    end_at: int | None = None


class _Play:
    def __init__(self, tree: CallTree, raised: Mapping[str, float]) -> None:
        grants = grants_of(tree.trace, tree.run)
        declared = limits_of(tree.trace, tree.run)
        self._root = _Node(_pieces(tree, grants, declared.keys()))
        self._lines = Lines(declared, grants, raised, self._at)
        self._events: list[tuple[int, int, int, Act]] = []
        self._count = 0
        self._begins: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._waits: dict[int, int] = {}

    def run(self) -> LimitPlay:
        """Play to the end."""
        self._begin(self._root, 0)
        at = 0
        while self._events or self._lines.relent(at):
            if self._events:
                at, _, _, act = heapq.heappop(self._events)
                act(at)
        end = self._root.end_at
        return LimitPlay(at if end is None else end, self._begins, self._ends, self._waits)

    def _at(self, time: int, act: Act, order: int = -1) -> None:
        """Do something at a time; of several at once the lowest order comes first."""
        self._count += 1
        heapq.heappush(self._events, (time, order, self._count, act))

    def _ask(self, node: _Node, now: int) -> None:
        node.asked_at = now
        grant = node.piece.grant

        def stand_in_line(at: int) -> None:
            if grant is None:
                self._begin(node, at)
            else:
                self._lines.ask(grant, at, lambda given: self._begin(node, given))

        if node.piece.fixed_wait_ns:
            self._at(now + node.piece.fixed_wait_ns, stand_in_line)
        else:
            stand_in_line(now)

    def _begin(self, node: _Node, now: int) -> None:
        piece, grant = node.piece, node.piece.grant
        if piece.row is not None:
            self._begins[piece.row] = now
            self._waits[piece.row] = now - node.asked_at
        if grant is not None and not grant.whole:
            held_ns = grant.end_ns - grant.given_ns
            self._at(now + held_ns, lambda at: self._lines.give_back(grant, at))
        family = _family(node, now) if piece.below else None
        if family is None or not family.open_count:
            self._at(now + piece.length, lambda at: self._finish(node, at))
        if family is not None:
            self._go_on(family)

    def _go_on(self, family: _Family) -> None:
        """Let those pieces ask of which all have ended that they wait for."""
        nodes, latest = family.nodes, family.latest
        while (known := len(latest) - 1) < len(nodes):
            end = nodes[family.by_end[known]].end_at
            if end is None:
                break
            latest.append(max(latest[-1], end))
        while family.next_to_ask < len(nodes):
            number = family.next_to_ask
            if family.until[number] >= len(latest):
                break
            family.next_to_ask += 1
            at = latest[family.until[number]] + family.gaps[number]
            # Those that ask at once stand in line as they did.
            self._at(at, partial(self._ask, nodes[number]), nodes[number].piece.begin)

    def _finish(self, node: _Node, now: int) -> None:
        node.end_at = now
        piece, family = node.piece, node.family
        if piece.row is not None:
            self._ends[piece.row] = now
        if piece.grant is not None and piece.grant.whole:
            self._lines.give_back(piece.grant, now)
        if family is None:
            return
        self._go_on(family)
        if piece.counts:
            family.open_count -= 1
            if not family.open_count:
                self._at(now + family.tail_ns, lambda at: self._finish(family.owner, at))


def _family(owner: _Node, now: int) -> _Family:
    """The pieces below one that begins now."""
    piece = owner.piece
    by_end = sorted(range(len(piece.below)), key=lambda number: piece.below[number].end)
    ends = [max(piece.below[number].end, piece.begin) for number in by_end]
    place = {number: at for at, number in enumerate(by_end)}
    # One without length has ended when it asks; it does not wait for itself.
    until = [
        min(bisect_right(ends, each.asked), place[number])
        for number, each in enumerate(piece.below)
    ]
    before = [piece.begin, *ends]
    counted = [each.end for each in piece.below if each.counts]
    family = _Family(
        owner=owner,
        nodes=[],
        by_end=by_end,
        until=until,
        gaps=[
            max(each.asked - before[most], 0) for each, most in zip(piece.below, until, strict=True)
        ],
        tail_ns=max(piece.end - max(counted, default=piece.begin), 0),
        latest=[now],
        open_count=len(counted),
    )
    family.nodes = [_Node(each, family) for each in piece.below]
    return family


def _pieces(tree: CallTree, grants: Sequence[Grant], declared: Set[str]) -> _Piece:
    """The run in pieces, as far as grants touch it."""
    by_row = _by_row(tree, grants)
    touched = set[int]()
    for row in by_row:
        while row not in touched:
            touched.add(row)
            if row == tree.run:
                break
            row = tree.parents[row]
    zero, pieces = tree.start[tree.run], dict[int, _Piece]()
    for row in reversed(tree.rows):  # children before parents
        children = tree.children(row)
        own = list(by_row.get(row, ()))
        leading = _leading(tree, row, own)
        start, end = tree.start[row] - zero, tree.end[row] - zero
        if row in by_row and row != tree.run and tree.waited_for[row]:
            # The tree cuts off what overlaps a sibling by little, as if that followed.
            end = max(end, min(tree.trace.intervals[row][1], tree.end[tree.parents[row]]) - zero)
        piece = _Piece(row, start, start, end, leading, tree.waited_for[row])
        if leading is not None:
            own.remove(leading)
            piece.asked = min(max(leading.asked_ns - zero, 0), start)
            piece.begin = min(max(leading.given_ns - zero, start), end)
            piece.fixed_wait_ns = _fixed_wait_ns(leading, declared)
        if own or not touched.isdisjoint(children):
            piece.below = [pieces.pop(child) for child in children]
            piece.below += [_middle(each, zero, end, declared) for each in own]
            piece.below.sort(key=lambda each: (each.asked, each.begin, each.end))
        else:
            for child in children:
                pieces.pop(child)
        pieces[row] = piece
    return pieces[tree.run]


def leading_grants(tree: CallTree) -> Mapping[int, Grant]:
    """The grant that each span needs to begin, by row, for those that need one."""
    leading = {
        row: _leading(tree, row, own)
        for row, own in _by_row(tree, grants_of(tree.trace, tree.run)).items()
    }
    return {row: grant for row, grant in leading.items() if grant is not None}


def _by_row(tree: CallTree, grants: Sequence[Grant]) -> Mapping[int, list[Grant]]:
    by_row: dict[int, list[Grant]] = defaultdict(list)
    for grant in grants:
        if grant.row in tree.inside:
            by_row[grant.row].append(grant)
    return by_row


def _leading(tree: CallTree, row: int, grants: Sequence[Grant]) -> Grant | None:
    """The grant that a span needs to begin, if it has one: asked for before anything else."""
    if row == tree.run or not grants:
        return None
    first = min(grants, key=lambda each: (each.asked_ns, each.given_ns))
    if first.asked_ns > tree.start[row] + SOON_NS:
        return None
    children = tree.children(row)
    is_before = not children or tree.start[children[0]] >= first.given_ns - SOON_NS
    others = [each.asked_ns for each in grants if each is not first]
    is_first = min(others, default=first.given_ns) >= first.given_ns - SOON_NS
    return first if is_before and is_first else None


def _middle(grant: Grant, zero: int, end: int, declared: Set[str]) -> _Piece:
    stop = min(max(grant.end_ns - zero, grant.given_ns - zero), end)
    given = min(grant.given_ns - zero, stop)
    asked = min(grant.asked_ns - zero, given)
    return _Piece(None, asked, given, stop, grant, fixed_wait_ns=_fixed_wait_ns(grant, declared))


def _fixed_wait_ns(grant: Grant, declared: Set[str]) -> int:
    """How long something waited for a limit that is not declared: that does not change."""
    is_known = not grant.waited_for or grant.waited_for in declared
    return 0 if is_known else grant.wait_ns
