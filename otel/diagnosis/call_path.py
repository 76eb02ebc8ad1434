"""Which span of one run is which of another, and what a run shows at each of its call paths.

A call path is the names of the spans from the run down. A place is one spot on it: the path, and at
each step the span's number among the siblings of its name. Siblings are numbered by turn, then by
the hash of their arguments, then by start, so that a fan-out has the same numbers whoever of it
came first. An LLM call goes without its model's name: another model is no other call.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Generic, TypeVar

from trading_graph.otel.diagnosis.actions import Share
from trading_graph.otel.diagnosis.call_tree import CallTree, call_tree
from trading_graph.otel.diagnosis.findings.concurrency import tools_of_turns
from trading_graph.otel.diagnosis.findings.waste import duplicates
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.verdict.group import overlap_ratio
from trading_graph.otel.verdict.parallelism import Parallelism, parallelism
from trading_graph.otel.verdict.work import is_from_cache

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


@dataclass
class Inside:
    """Children of some spans, added up span by span: their time, their union, the longest."""

    sum_ns: int = 0
    union_ns: int = 0
    longest_ns: int = 0


@dataclass
class PathMeasures:
    """The spans of one run at one call path; times in nanoseconds.

    `duration_ns` is their median, `on_path_ns` the time of the critical path spent in them and not
    below. `again` are the rows that ask for what another span of the run asks for too, `failed`
    those that failed, `from_cache` those that took their result from a cache.
    """

    branch: bool
    durations: list[int] = field(default_factory=list)
    on_path_ns: int = 0
    again: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    from_cache: int = 0
    inside: Inside = field(default_factory=Inside)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.durations)

    @property
    def duration_ns(self) -> float:
        """How long the middle one took."""
        return median(self.durations) if len(self.durations) > 1 else self.durations[0]

    @property
    def overlap(self) -> float | None:
        """How far their children ran at once: 0 one after the other, 1 all below the longest."""
        return overlap_ratio(self.inside.sum_ns, self.inside.union_ns, self.inside.longest_ns)


@dataclass(frozen=True)
class RunMeasures:
    """One run by place and by call path.

    `place_of` is by row; `spent` is the time of the critical path at each place, which adds up to
    the run's; `groups` are the spans that should have run at once, each by its places in order,
    with its name; `again` are those that ask for the same.
    """

    trace: SpanTable
    run: int
    wall_ns: int
    spent: Mapping[int, int]
    place_of: Mapping[int, int]
    paths: CallPaths
    by_path: Mapping[int, PathMeasures]
    groups: Mapping[tuple[int, ...], tuple[str, Parallelism]]
    again: tuple[tuple[int, ...], ...]

    @cached_property
    def row_at(self) -> Mapping[int, int]:
        """The span at each place."""
        return {place: row for row, place in self.place_of.items()}

    def path_of(self, row: int) -> int:
        """The call path of a span."""
        return self.paths.path_of(self.place_of[row])

    def rows_at(self, path: int) -> list[int]:
        """The spans of a call path, in order of start."""
        return sorted(
            row for row, place in self.place_of.items() if self.paths.path_of(place) == path
        )

    def judged(self, places: tuple[int, ...]) -> Parallelism:
        """Whether the spans at these places, those of them that are here, ran at once."""
        known = self.groups.get(places)
        if known is not None:
            return known[1]
        rows = sorted(self.row_at[place] for place in places if place in self.row_at)
        return parallelism(self.trace, rows)


def measure_run(trace: SpanTable, run: int, paths: CallPaths) -> RunMeasures:
    """Measure the run at a row; `paths` is the registry of all runs of a comparison."""
    schedule = Schedule(call_tree(trace, run))
    tree = schedule.tree
    place_of = paths.places(tree)
    path_of = {row: paths.path_of(place) for row, place in place_of.items()}
    by_path = _by_path(tree, path_of)
    for row, spent in schedule.path.self_ns.items():
        by_path[path_of[row]].on_path_ns += spent
    again = tuple(_again(schedule))
    for rows in again:
        for row in rows:
            by_path[path_of[row]].again.append(row)
    groups = {}
    for name, judged in _groups(schedule, paths, place_of):
        groups[tuple(sorted(place_of[row] for row in judged.group.rows))] = (name, judged)
    return RunMeasures(
        trace=trace,
        run=run,
        wall_ns=tree.wall_ns,
        spent={place_of[row]: spent for row, spent in schedule.path.self_ns.items()},
        place_of=place_of,
        paths=paths,
        by_path=by_path,
        groups=groups,
        again=again,
    )


def _by_path(tree: CallTree, path_of: Mapping[int, int]) -> dict[int, PathMeasures]:
    trace = tree.trace
    status = trace.status.tolist()
    found: dict[int, PathMeasures] = {}
    for row in tree.rows:
        path = path_of[row]
        here = found.get(path)
        if here is None:
            here = found[path] = PathMeasures(branch=trace.roles[row] is Role.AGENT)
        here.durations.append(tree.duration(row))
        if status[row] == ERROR:
            here.failed.append(row)
        if is_from_cache(trace, row):
            here.from_cache += 1
        _add_children(tree, row, here.inside)
    return found


def _add_children(tree: CallTree, row: int, inside: Inside) -> None:
    """Children come in order of start, so their union is one pass."""
    children = tree.children(row)
    if len(children) < 2:
        return
    reached = longest = 0
    for child in children:
        start, end = tree.start[child], tree.end[child]
        if end > start:
            inside.sum_ns += end - start
            inside.union_ns += max(end - max(start, reached), 0)
            longest = max(longest, end - start)
            reached = max(reached, end)
    inside.longest_ns += longest


def _again(schedule: Schedule) -> Iterator[tuple[int, ...]]:
    """The groups of spans that ask for the same, as the diagnosis finds them."""
    for finding in duplicates(schedule):
        for action in finding.actions:
            if isinstance(action, Share):
                yield action.rows


def _groups(
    schedule: Schedule, paths: CallPaths, place_of: Mapping[int, int]
) -> Iterator[tuple[str, Parallelism]]:
    """Everything that was meant to run at once."""
    trace = schedule.tree.trace
    for fan_out in schedule.measures.fan_outs:
        yield fan_out.name, fan_out.judgement
    for rows in tools_of_turns(schedule):
        parent = paths.place_text(place_of[int(trace.parent[rows[0]])])
        turn = trace.number(rows[0], semconv.TURN_INDEX)
        yield f"the tools of {parent}, turn {turn:g}", parallelism(trace, rows)
