"""What the waterfall of a report draws: lines on one time axis, collapsed by node.

A node is what stands directly below the run. Above `MOST_BARS` spans a line stands for all spans of
one call path, so a page stays small whatever the trace. Times are nanoseconds after the run's
start.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trading_graph.otel.diagnosis import Ranking
from trading_graph.otel.trace import ERROR, Span
from trading_graph.otel.trace.intervals import merge
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import Role

MOST_BARS = 2000
MOST_LINES = 60
"""The most lines of a trace that is drawn by call path."""


_CLASSES = {
    Role.LLM: "llm",
    Role.TOOL: "tool",
    Role.RETRIEVAL: "tool",
    Role.FETCH: "http",
    Role.HTTP: "http",
}

Stretch = tuple[int, int]
"""A start and an end, in nanoseconds after the run's start."""


@dataclass(eq=False, repr=False)
class Line:
    """The spans of one line: one span, or all of one call path.

    `item` says which of many equal pieces of work it is, where it is one span that does.
    """

    name: str
    depth: int
    kind: str
    above: "Line | None" = None
    rows: list[int] = field(default_factory=list)
    lines: list["Line"] = field(default_factory=list)
    item: str = ""

    @property
    def label(self) -> str:
        """What a page calls it."""
        return f"{self.name} {self.item}".rstrip()

    def below(self) -> list["Line"]:
        """The lines below it, parents before children."""
        lines, pending = [], self.lines[::-1]
        while pending:
            line = pending.pop()
            lines.append(line)
            pending += line.lines[::-1]
        return lines


class Timeline:
    """The lines of a diagnosed run."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking
        self.tree = ranking.schedule.tree
        self.begin = self.tree.start[self.tree.run]
        self.wall_ns = max(self.tree.wall_ns, 1)
        self.by_path = len(self.tree.rows) > MOST_BARS

    @cached_property
    def nodes(self) -> list[Line]:
        """A line for each node, in order of start, with the lines below it."""
        return self._root.lines

    @cached_property
    def left_out(self) -> int:
        """How many call paths are not drawn."""
        count = len(self._root.below())
        return len(self._lines) - 1 - count

    @cached_property
    def by_name(self) -> list[tuple[str, list[int]]]:
        """The nodes by name, for a chart with one line a name; those with most time on the path."""
        rows: dict[str, list[int]] = defaultdict(list)
        for line in self.nodes:
            rows[line.name] += line.rows
        return list(rows.items())[:MOST_LINES]

    @cached_property
    def path_below(self) -> Mapping[int, list[Stretch]]:
        """The stretches of the critical path in each line and below it, by the line's identity."""
        by_line: dict[int, list[Stretch]] = defaultdict(list)
        line_on_page = self._line_on_page
        visible: list[tuple[Line, int, int]] = []
        for row, start, end in self.ranking.path.segments:
            target = line_on_page[id(self._line_of[row])]
            if visible and visible[-1][0] is target and visible[-1][2] == start:
                visible[-1] = (target, visible[-1][1], end)
            else:
                visible.append((target, start, end))
        for target, start, end in visible:
            line: Line | None = target
            while line is not None:
                stretches = by_line[id(line)]
                if stretches and stretches[-1][1] == start - self.begin:
                    stretches[-1] = (stretches[-1][0], end - self.begin)
                else:
                    stretches.append((start - self.begin, end - self.begin))
                line = line.above
        return {key: self._simplify(each) for key, each in by_line.items()}

    def stretches(
        self, rows: Sequence[int], start: Sequence[int], end: Sequence[int]
    ) -> list[Stretch]:
        """When the spans at some rows ran, by these times of rows."""
        return self._simplify([(start[r] - self.begin, end[r] - self.begin) for r in rows])

    def work(self, line: Line) -> Mapping[str, list[Stretch]]:
        """When work was done in a line's spans or below, by class."""
        by_class: dict[str, list[Stretch]] = defaultdict(list)
        trace, tree = self.ranking.trace, self.tree
        for top in line.rows:
            for row in working_spans(trace, top):
                kind = class_of(trace.roles[row])
                if kind != "other":
                    by_class[kind].append(
                        (tree.start[row] - self.begin, tree.end[row] - self.begin)
                    )
        return {kind: self._simplify(each) for kind, each in by_class.items()}

    def failed(self, line: Line) -> bool:
        """Whether a span of the line failed."""
        return any(self.ranking.trace.status[row] == ERROR for row in line.rows)

    def _simplify(self, stretches: list[Stretch]) -> list[Stretch]:
        """Stretches in order; where many are drawn, those that the eye cannot tell apart as one."""
        if not self.by_path:
            return sorted(stretches)
        apart = self.wall_ns * MOST_LINES // MOST_BARS
        simple: list[Stretch] = []
        for start, end in merge(stretches):
            if simple and start - simple[-1][1] <= apart:
                simple[-1] = (simple[-1][0], end)
            else:
                simple.append((start, end))
        return simple

    @cached_property
    def _line_on_page(self) -> Mapping[int, Line]:
        """The line itself, or the nearest above it that is drawn, by the line's identity."""
        on_page = {id(line) for line in [self._root, *self._root.below()]}
        nearest: dict[int, Line] = {}
        for line in self._lines:  # those above come first
            nearest[id(line)] = (
                line if id(line) in on_page or line.above is None else nearest[id(line.above)]
            )
        return nearest

    @cached_property
    def _lines_and_rows(self) -> tuple[list[Line], dict[int, Line]]:
        """All lines, the run's first, and the line of each row."""
        trace, tree = self.ranking.trace, self.tree
        root = Line(trace.names[tree.run], 0, "other", rows=[tree.run])
        line_of = {tree.run: root}
        lines = [root]
        by_path: dict[tuple[int, str], Line] = {}
        parents = trace.parent.tolist()
        for row in tree.rows[1:]:
            above, name = line_of[parents[row]], trace.names[row]
            line = by_path.get((id(above), name)) if self.by_path else None
            if line is None:
                label = name.removeprefix("invoke_agent ") or "(unnamed)"
                line = Line(label, above.depth + 1, class_of(trace.roles[row]), above)
                line.item = "" if self.by_path else Span(trace, row).item
                by_path[id(above), name] = line
                above.lines.append(line)
                lines.append(line)
            line.rows.append(row)
            line_of[row] = line
        return lines, line_of

    @property
    def _lines(self) -> list[Line]:
        return self._lines_and_rows[0]

    @property
    def _line_of(self) -> dict[int, Line]:
        return self._lines_and_rows[1]

    @cached_property
    def _root(self) -> Line:
        """The run's line; by call path only lines with most time on the critical path are below."""
        lines = self._lines
        if self.by_path and len(lines) > MOST_LINES:
            spent = self.ranking.path.total_ns
            # A line above another has at least its time; the sort is stable, parents come first.
            weight = {id(line): sum(spent.get(row, 0) for row in line.rows) for line in lines}
            largest = {id(e) for e in sorted(lines, key=lambda e: -weight[id(e)])[: MOST_LINES + 1]}
            for line in lines:
                line.lines = [each for each in line.lines if id(each) in largest]
        return lines[0]


def class_of(role: Role) -> str:
    """What a span of this role is drawn as."""
    return _CLASSES.get(role, "other")
