"""Which span of one run is which of another.

A call path is the names of the spans from the run down. A place is one spot on it: the path, and at
each step the span's number among the siblings of its name. Siblings are numbered by turn, then by
the hash of their arguments, then by start, so that a fan-out has the same numbers whoever of it
came first. An LLM call goes without its model's name: another model is no other call.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from trading_graph.otel.diagnosis.call_tree import CallTree
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.kinds import Role

RUN = 0
"""The path, and the place, of the run itself."""

_SHOWN = 6

Label = TypeVar("Label", bound=Hashable)


class _Nodes(Generic[Label]):
    """Nodes of a tree by number, each made once; a node's number is above that of its parent."""

    def __init__(self, root: Label) -> None:
        self._ids: dict[tuple[int, Label], int] = {}
        self.above = [-1]
        self.label = [root]
        self._top = [RUN]
        self._depth = [0]

    def below(self, above: int, label: Label) -> int:
        """The node of this label below another."""
        key = (above, label)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.label)
            self.above.append(above)
            self.label.append(label)
            self._top.append(found if above == RUN else self._top[above])
            self._depth.append(self._depth[above] + 1)
        return found

    def has(self, above: int, label: Label) -> bool:
        """Whether there is a node of this label below another."""
        return (above, label) in self._ids

    def way(self, node: int) -> tuple[list[int], bool]:
        """The nodes from the root (left out) to one, and whether many after the first are left out.

        So that writing down every node of a deep tree takes no longer than of a flat one.
        """
        whole = self._depth[node] <= _SHOWN
        last = []
        for _ in range(self._depth[node] if whole else _SHOWN - 2):
            last.append(node)
            node = self.above[node]
        return [*([] if whole else [self._top[node]]), *reversed(last)], not whole


class CallPaths:
    """Numbers for the call paths and places of all runs that are compared with each other."""

    def __init__(self, run: str) -> None:
        self._paths = _Nodes(run)
        self._places = _Nodes((RUN, 0))

    def places(self, tree: CallTree) -> Mapping[int, int]:
        """The place of each span of a run, by row; every run itself is at RUN."""
        found = {tree.run: RUN}
        for parent in tree.rows:
            family = tree.children(parent)
            if not family:
                continue
            place = found[parent]
            path = self.path_of(place)
            for name, rows in _by_name(tree.trace, family).items():
                below = self._paths.below(path, name)
                for number, row in enumerate(rows):
                    found[row] = self._places.below(place, (below, number))
        return found

    def path_of(self, place: int) -> int:
        """The call path that a place is on."""
        return self._places.label[place][0]

    def parent(self, path: int) -> int:
        """The path above a path, of a lower number; -1 for the run."""
        return self._paths.above[path]

    def path_text(self, path: int) -> str:
        """A path with > between its names, the run left out; a long one without its middle."""
        way, cut = self._paths.way(path)
        return _joined([self._paths.label[each] for each in way], cut) or self._paths.label[RUN]

    def place_text(self, place: int) -> str:
        """A place as its path, with the number of each span that has siblings of its name."""
        way, cut = self._places.way(place)
        names = []
        for each in way:
            path, number = self._places.label[each]
            alone = not self._places.has(self._places.above[each], (path, 1))
            names.append(self._paths.label[path] + ("" if alone else f" #{number + 1}"))
        return _joined(names, cut) or self._paths.label[RUN]


def _by_name(trace: SpanTable, family: Sequence[int]) -> Mapping[str, Sequence[int]]:
    """Siblings of one name each, in the order of their numbers."""
    named: dict[str, list[int]] = defaultdict(list)
    for row in family:
        named[_name(trace, row)].append(row)
    for rows in named.values():
        if len(rows) > 1:
            rows.sort(key=lambda row: _rank(trace, row))
    return named


def _name(trace: SpanTable, row: int) -> str:
    name = trace.names[row]
    if trace.roles[row] is Role.LLM:
        name = name.removesuffix(f" {trace.attributes(row).get(semconv.REQUEST_MODEL)}")
    return name


def _rank(trace: SpanTable, row: int) -> tuple[float, str, int]:
    """Rows are in order of start."""
    found = trace.attributes(row)
    turn = trace.number(row, semconv.TURN_INDEX)
    asked = found.get(semconv.TOOL_ARGS_HASH) or found.get(semconv.FETCH_KEY) or ""
    return -1.0 if turn is None else turn, str(asked), row


def _joined(names: Sequence[str], cut: bool) -> str:
    return " > ".join([names[0], "…", *names[1:]] if cut else names)
