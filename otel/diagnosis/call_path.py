"""Matches the spans of one run with those of another, and measures a run at each call path.

A call path is the names of the spans from the run down. A place is one position on it: the path,
and at each step the number of the span among its siblings with the same name. Siblings are numbered
by turn, then by what they ask for, then by start, so that the numbers of a fan-out do not depend on
which branch came first. The name of an LLM call leaves out the model, so that a call of another
model is still the same call.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median
from typing import Generic, TypeVar

from trading_graph.otel.diagnosis.actions import Share
from trading_graph.otel.diagnosis.call_tree import CallTree, call_tree
from trading_graph.otel.diagnosis.findings.waste import duplicates
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import ERROR, SpanTable, semconv
from trading_graph.otel.trace.dependencies import Dependencies, ShownOrder
from trading_graph.otel.trace.structure import requests, turns
from trading_graph.otel.verdict.agents import Use, use
from trading_graph.otel.verdict.group_measures import overlap_ratio
from trading_graph.otel.verdict.parallelism import Parallelism, parallelism
from trading_graph.otel.verdict.work import is_from_cache
from trading_graph.otel.vocabularies import Role

RUN = 0
"""The path, and the place, of the run itself."""

_SHOWN = 6

Label = TypeVar("Label", bound=Hashable)


class _Nodes(Generic[Label]):
    """The nodes of a tree by number; the number of a node is greater than that of its parent."""

    def __init__(self, root: Label) -> None:
        self._ids: dict[tuple[int, Label], int] = {}
        self.above = [-1]
        self.label = [root]
        self._top = [RUN]
        self._depth = [0]

    def below(self, above: int, label: Label) -> int:
        """The node with this label below another; made at first use."""
        key = (above, label)
        node = self._ids.get(key)
        if node is None:
            node = self._ids[key] = len(self.label)
            self.above.append(above)
            self.label.append(label)
            self._top.append(node if above == RUN else self._top[above])
            self._depth.append(self._depth[above] + 1)
        return node

    def has(self, above: int, label: Label) -> bool:
        """Whether there is a node with this label below another."""
        return (above, label) in self._ids

    def way(self, node: int) -> tuple[list[int], bool]:
        """The nodes from below the root down to a node, and whether the middle is left out.

        Leaving out the middle keeps the text of a deep tree as short as that of a flat one.
        """
        whole = self._depth[node] <= _SHOWN
        last = []
        for _ in range(self._depth[node] if whole else _SHOWN - 2):
            last.append(node)
            node = self.above[node]
        return [*([] if whole else [self._top[node]]), *reversed(last)], not whole


class CallPaths:
    """Numbers for the call paths and places of all runs in a comparison."""

    def __init__(self, run: str) -> None:
        self._paths = _Nodes(run)
        self._places = _Nodes((RUN, 0))

    def places(self, tree: CallTree) -> Mapping[int, int]:
        """The place of each span of a run, by row; every run itself is at RUN."""
        place_of = {tree.run: RUN}
        turn_of = _turn_numbers(tree.trace, tree.run)
        for parent in tree.rows:
            family = tree.children(parent)
            if not family:
                continue
            place = place_of[parent]
            path = self.path_of(place)
            for name, rows in _by_name(tree.trace, family, turn_of).items():
                below = self._paths.below(path, name)
                for number, row in enumerate(rows):
                    place_of[row] = self._places.below(place, (below, number))
        return place_of

    def path_of(self, place: int) -> int:
        """The call path of a place."""
        return self._places.label[place][0]

    def parent(self, path: int) -> int:
        """The path above a path, which has a lower number; -1 for the run."""
        return self._paths.above[path]

    def path_text(self, path: int) -> str:
        """The path below the run, with > between the names; a long one without its middle."""
        way, is_short = self._paths.way(path)
        return _join([self._paths.label[each] for each in way], is_short) or self._paths.label[RUN]

    def place_text(self, place: int) -> str:
        """The path of a place, with the number of each span that has siblings with its name."""
        way, is_short = self._places.way(place)
        names = []
        for each in way:
            path, number = self._places.label[each]
            alone = not self._places.has(self._places.above[each], (path, 1))
            names.append(self._paths.label[path] + ("" if alone else f" #{number + 1}"))
        return _join(names, is_short) or self._paths.label[RUN]


def _turn_numbers(trace: SpanTable, run: int) -> Mapping[int, int]:
    """The number of its turn among all turns of the run, for each tool."""
    return {row: number for number, turn in enumerate(turns(trace, run)) for row in turn.tools}


def _by_name(
    trace: SpanTable, family: Sequence[int], turn_of: Mapping[int, int]
) -> Mapping[str, Sequence[int]]:
    """Siblings by name, each list in the order of its numbers."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for row in family:
        by_name[_name(trace, row)].append(row)
    for rows in by_name.values():
        if len(rows) > 1:
            asked = requests(trace, rows)
            rows.sort(key=lambda row: (turn_of.get(row, -1), asked.get(row, ""), row))
    return by_name


def _name(trace: SpanTable, row: int) -> str:
    name = trace.names[row]
    if trace.roles[row] is Role.LLM:
        name = name.removesuffix(f" {trace.attributes(row).get(semconv.REQUEST_MODEL)}")
    return name


def _join(names: Sequence[str], is_short: bool) -> str:
    return " > ".join([names[0], "…", *names[1:]] if is_short else names)


@dataclass
class Inside:
    """The children of some spans, summed over these spans: durations, unions, longest children."""

    sum_ns: int = 0
    union_ns: int = 0
    longest_ns: int = 0


@dataclass
class PathMeasures:
    """The spans of one run at one call path; times in nanoseconds.

    `duration_ns` is their median duration, `on_path_ns` the time of the critical path in these
    spans themselves. `again` are the rows that request what another span requests too, `failures`
    those that failed; `from_cache` counts those that took their result from a cache.
    """

    branch: bool
    durations: list[int] = field(default_factory=list)
    on_path_ns: int = 0
    again: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    from_cache: int = 0
    inside: Inside = field(default_factory=Inside)

    @property
    def count(self) -> int:
        """The number of spans."""
        return len(self.durations)

    @property
    def duration_ns(self) -> float:
        """The median duration."""
        return median(self.durations) if len(self.durations) > 1 else self.durations[0]

    @property
    def overlap(self) -> float | None:
        """The overlap of their children: 0 in sequence, 1 if all are hidden below the longest."""
        return overlap_ratio(self.inside.sum_ns, self.inside.union_ns, self.inside.longest_ns)


@dataclass(frozen=True)
class RunMeasures:
    """One run by place and by call path.

    `place_of` is by row. `on_path_ns` is the time of the critical path at each place; it sums to
    the duration of the run. `use` are the LLM calls and tokens. `groups` are the spans that should
    have run at once: for the places of each group, in order, its name and judgement. `again` are
    groups of spans with the same request.
    """

    trace: SpanTable
    run: int
    wall_ns: int
    on_path_ns: Mapping[int, int]
    place_of: Mapping[int, int]
    paths: CallPaths
    by_path: Mapping[int, PathMeasures]
    use: Use
    groups: Mapping[tuple[int, ...], tuple[str, Parallelism]]
    again: tuple[tuple[int, ...], ...]

    @cached_property
    def row_at(self) -> Mapping[int, int]:
        """The row at each place."""
        return {place: row for row, place in self.place_of.items()}

    def path_of(self, row: int) -> int:
        """The call path of a span."""
        return self.paths.path_of(self.place_of[row])

    def rows_at(self, path: int) -> list[int]:
        """The spans at a call path, in order of start."""
        return sorted(
            row for row, place in self.place_of.items() if self.paths.path_of(place) == path
        )

    @cached_property
    def _turn_of(self) -> Mapping[int, tuple[int, ...]]:
        """All tools of the turn that a tool belongs to."""
        return {row: turn.tools for turn in turns(self.trace, self.run) for row in turn.tools}

    def judge(self, places: tuple[int, ...]) -> Parallelism:
        """Whether the spans at these places, as far as the run has them, ran at once.

        Models ask for the same tools in other turns, and programs put other spans around them. Then
        the turns are judged which these tools are in now; not if each asks for a single tool.
        """
        group = self.groups.get(places)
        if group is not None:
            return group[1]
        rows = sorted(self.row_at[place] for place in places if place in self.row_at)
        now_in = dict.fromkeys(self._turn_of[row] for row in rows if row in self._turn_of)
        wide = [parallelism(self.trace, turn) for turn in now_in if len(turn) > 1]
        if wide and (len(now_in) > 1 or len(rows) < len(places)):
            return next((each for each in wide if not each.stands), wide[0])
        return parallelism(self.trace, rows)


def measure_run(
    trace: SpanTable, run: int, paths: CallPaths, dependencies: Dependencies | None = None
) -> RunMeasures:
    """Measure the run at a row; `paths` numbers the paths of all runs in a comparison."""
    shown = None if dependencies is None else ShownOrder(dependencies, trace, run)
    schedule = Schedule(call_tree(trace, run), shown)
    tree = schedule.tree
    place_of = paths.places(tree)
    path_of = {row: paths.path_of(place) for row, place in place_of.items()}
    by_path = _by_path(tree, path_of)
    for row, self_ns in schedule.path.self_ns.items():
        by_path[path_of[row]].on_path_ns += self_ns
    again = tuple(_again(schedule))
    for rows in again:
        for row in rows:
            by_path[path_of[row]].again.append(row)
    groups = {}
    for name, judgement in _groups(schedule, paths, place_of):
        places = tuple(sorted(place_of[row] for row in judgement.group.rows))
        groups[places] = (name, judgement)
    return RunMeasures(
        trace=trace,
        run=run,
        wall_ns=tree.wall_ns,
        on_path_ns={place_of[row]: ns for row, ns in schedule.path.self_ns.items()},
        place_of=place_of,
        paths=paths,
        by_path=by_path,
        use=use(trace, run),
        groups=groups,
        again=again,
    )


def _by_path(tree: CallTree, path_of: Mapping[int, int]) -> dict[int, PathMeasures]:
    trace = tree.trace
    status = trace.status
    by_path: dict[int, PathMeasures] = {}
    for row in tree.rows:
        path = path_of[row]
        here = by_path.get(path)
        if here is None:
            here = by_path[path] = PathMeasures(branch=trace.roles[row] is Role.AGENT)
        here.durations.append(tree.duration(row))
        if status[row] == ERROR:
            here.failures.append(row)
        if is_from_cache(trace, row):
            here.from_cache += 1
        _add_children(tree, row, here.inside)
    return by_path


def _add_children(tree: CallTree, row: int, inside: Inside) -> None:
    """Add the children of a span; they come in order of start, so one pass gives their union."""
    children = tree.children(row)
    if len(children) < 2:
        return
    last_end = longest = 0
    for child in children:
        start, end = tree.start[child], tree.end[child]
        if end > start:
            inside.sum_ns += end - start
            inside.union_ns += max(end - max(start, last_end), 0)
            longest = max(longest, end - start)
            last_end = max(last_end, end)
    inside.longest_ns += longest


def _again(schedule: Schedule) -> Iterator[tuple[int, ...]]:
    """The groups of spans with the same request, as the diagnosis finds them."""
    for finding in duplicates(schedule):
        for action in finding.actions:
            if isinstance(action, Share):
                yield action.rows


def _groups(
    schedule: Schedule, paths: CallPaths, place_of: Mapping[int, int]
) -> Iterator[tuple[str, Parallelism]]:
    """All groups of spans that should have run at once: fan-outs, and the tools of each turn."""
    trace, run = schedule.tree.trace, schedule.tree.run
    for fan_out in schedule.measures.fan_outs:
        yield fan_out.name, fan_out.judgement
    count: Counter[int] = Counter()
    for turn in turns(trace, run):
        count[turn.scope] += 1
        if len(turn.tools) > 1:
            scope = paths.place_text(place_of[turn.scope])
            name = f"the tools of {scope}, turn {count[turn.scope]}"
            yield name, parallelism(trace, turn.tools)
