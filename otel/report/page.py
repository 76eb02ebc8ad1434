"""A diagnosis as one HTML page: no script, nothing loaded, so it can be kept, mailed and printed.

What the page shows is prepared here, and `templates/diagnosis.html` draws it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    PathClass,
    Standing,
    predicted_times,
    ranking_of,
)
from trading_graph.otel.report.charts import Bar, Level, axis, bar, levels, outline
from trading_graph.otel.report.diagnosis import SHOWN, ClassTime, gains_table, time_by_class
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.outlook import headline, outlook
from trading_graph.otel.report.rendering import Figure, render
from trading_graph.otel.report.timeline import Line, Stretch, Timeline, class_of
from trading_graph.otel.report.verdict import checklist
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.verdict.work import working_spans

_STANDING = {
    Standing.INSIDE: "inside its target",
    Standing.IN_REACH: "over its target, which is in reach",
    Standing.OUT_OF_REACH: "over its target, which is out of reach",
}
_CLASSES = {
    PathClass.LLM: "llm",
    PathClass.TOOL: "tool",
    PathClass.HTTP: "http",
    PathClass.WAITING: "waiting",
    PathClass.BARRIER: "barrier",
    PathClass.ORCHESTRATION: "other",
}
_NAMES = 8
_DEEPEST = 8


def page(diagnosis: Diagnosis) -> str:
    """The whole document."""
    timeline = Timeline(ranking_of(diagnosis))
    target = diagnosis.target
    limit_ns = int(target.limit_s * 1e9) if target.projected_call_s is None else None
    return render(
        "diagnosis.html",
        diagnosis=diagnosis,
        standing=_STANDING[target.standing],
        headline=headline(diagnosis),
        outlook=outlook(diagnosis),
        figures=_figures(diagnosis),
        cards=[_card(each, diagnosis.wall_s) for each in diagnosis.findings[:SHOWN]],
        more=len(diagnosis.findings) - SHOWN,
        gains=gains_table(diagnosis, 60) if diagnosis.steps else None,
        before_after=_before_after(diagnosis, timeline) if diagnosis.steps else None,
        waterfall=_waterfall(timeline),
        concurrency=_concurrency(diagnosis, timeline),
        axis=axis(timeline.wall_ns),
        limited_axis=axis(timeline.wall_ns, limit_ns),
        classes=_classes(diagnosis),
        names=list(diagnosis.by_name.items())[:_NAMES],
        checklist=checklist(diagnosis.verdict),
    )


def _figures(diagnosis: Diagnosis) -> list[Figure]:
    target, number = diagnosis.target, len(diagnosis.steps)
    gap = f"{target.now_s / target.limit_s:.1f}x the target"
    if target.standing is Standing.INSIDE:
        gap = f"{brief(target.limit_s - target.now_s)} to spare"
    figures = [
        Figure("now", brief(target.now_s), gap, kind="now"),
        Figure("target", f"{target.limit_s:g} s", "at most", kind="target"),
    ]
    if number:
        fixes = "with the one fix made" if number == 1 else f"with all {number} fixes made"
        times = f"{target.now_s / max(target.least_s, 1e-9):.1f}x faster"
        note = f"{fixes}, {times}"
        figures.append(Figure("predicted", brief(target.least_s), note, kind="predicted"))
    return figures


@dataclass(frozen=True, slots=True)
class _Card:
    """A finding, and bars of what the run would take with it mended."""

    finding: Finding
    bars: tuple[Bar, ...]


def _card(finding: Finding, wall_s: float) -> _Card:
    low, high = finding.wall.low_s, finding.wall.high_s
    bars = [bar("track", 0, low, wall_s), bar("doubt", low, min(high, wall_s), wall_s)]
    if high < wall_s:
        bars.append(bar("sure", high, wall_s, wall_s))
    return _Card(finding, tuple(bars))


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of a chart and the lines that it opens; `path` are its stretches of the path."""

    label: str
    name: str
    seconds: float
    bars: tuple[Bar, ...]
    path: tuple[Bar, ...] = ()
    depth: int = 0
    failed: bool = False
    below: tuple["_Row", ...] = ()


@dataclass(frozen=True, slots=True)
class _Waterfall:
    """The run collapsed by node, with the critical path below each bar."""

    note: str
    seconds: float
    path: tuple[Bar, ...]
    rows: tuple[_Row, ...]


def _waterfall(timeline: Timeline) -> _Waterfall:
    trace, whole = timeline.ranking.trace, timeline.wall_ns
    segments = timeline.ranking.path.segments
    if timeline.by_path:
        # Of very many only those that can be seen.
        segments = tuple(each for each in segments if each.duration_ns >= whole // 1000)
    path = tuple(
        bar(
            class_of(trace.roles[row]),
            start - timeline.begin,
            end - timeline.begin,
            whole,
            f"{trace.names[row]}: {brief((end - start) / 1e9)} on the path",
        )
        for row, start, end in segments
    )
    rows = tuple(_node(timeline, node) for node in timeline.nodes)
    what = "by call path" if timeline.by_path else "by node; open one to see what is inside"
    note = f"One axis, {what}."
    if timeline.left_out:
        note += f" {timeline.left_out} call paths with less time are left out."
    return _Waterfall(note, whole / 1e9, path, rows)


def _node(timeline: Timeline, node: Line) -> _Row:
    bars = _bars("other", _recorded(timeline, node), timeline.wall_ns)
    for kind, stretches in timeline.work(node).items():
        bars += _bars(kind, stretches, timeline.wall_ns)
    below = tuple(
        _row(timeline, line, _bars(line.kind, _recorded(timeline, line), timeline.wall_ns))
        for line in node.below()
    )
    return _row(timeline, node, bars, below)


def _row(timeline: Timeline, line: Line, bars: Sequence[Bar], below: tuple[_Row, ...] = ()) -> _Row:
    stretches = timeline.path_below.get(id(line), [])
    many = f" x {len(line.rows)}" if len(line.rows) > 1 else ""
    return _Row(
        label=line.label + many,
        name=line.label,
        seconds=sum(timeline.tree.duration(row) for row in line.rows) / 1e9,
        bars=tuple(bars),
        path=tuple(_bars("on-path", stretches, timeline.wall_ns)),
        depth=min(line.depth - 1, _DEEPEST),
        failed=timeline.failed(line),
        below=below,
    )


def _recorded(timeline: Timeline, line: Line) -> list[Stretch]:
    return timeline.stretches(line.rows, timeline.tree.start, timeline.tree.end)


def _bars(kind: str, stretches: Sequence[Stretch], whole: int) -> list[Bar]:
    return [
        bar(
            kind,
            start,
            end,
            whole,
            f"{brief(start / 1e9)} to {brief(end / 1e9)} ({brief((end - start) / 1e9)})",
        )
        for start, end in stretches
    ]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A node as it ran and as it is predicted, on one axis; `seconds` is the prediction."""

    name: str
    before: tuple[Bar, ...]
    after: tuple[Bar, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _BeforeAfter:
    """The run as recorded and as predicted with all fixes made, node by node."""

    before_s: float
    after_s: float
    pairs: tuple[_Pair, ...]


def _before_after(diagnosis: Diagnosis, timeline: Timeline) -> _BeforeAfter:
    tree, wall = timeline.tree, timeline.wall_ns
    start, end = predicted_times(diagnosis)
    after = end[tree.run] - start[tree.run]
    pairs = [_pair("the run", [(0, wall)], [(0, after)], wall)]
    for name, rows in timeline.by_name:
        recorded = timeline.stretches(rows, tree.start, tree.end)
        pairs.append(_pair(name, recorded, timeline.stretches(rows, start, end), wall))
    return _BeforeAfter(wall / 1e9, after / 1e9, tuple(pairs))


def _pair(name: str, before: list[Stretch], after: list[Stretch], whole: int) -> _Pair:
    return _Pair(
        name,
        tuple(_bars("before", before, whole)),
        tuple(_bars("after", after, whole)),
        sum(end - start for start, end in after) / 1e9,
    )


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """How many branches were open over time, and how many spans really worked."""

    name: str
    open_peak: str
    work_peak: str
    open_path: str
    work_path: str


def _concurrency(diagnosis: Diagnosis, timeline: Timeline) -> list[_AtOnce]:
    """The run as it was, and as it is predicted."""
    tree, trace = timeline.tree, timeline.ranking.trace
    branches = [row for row in tree.rows if trace.roles[row] is Role.AGENT]
    branches = branches or tree.children(tree.run)
    work = working_spans(trace, tree.run)
    runs = [("recorded", tree.start, tree.end)]
    if diagnosis.steps:
        runs.append(("predicted", *predicted_times(diagnosis)))
    charts: list[tuple[str, float, list[Level], list[Level]]] = []
    for name, start, end in runs:
        length = end[tree.run] - start[tree.run]
        open_levels, work_levels = (
            levels([(start[r] - timeline.begin, end[r] - timeline.begin) for r in rows], length)
            for rows in (branches, work)
        )
        charts.append((name, min(length / timeline.wall_ns, 1), open_levels, work_levels))
    peak = max(max(_peak(chart[2]), _peak(chart[3])) for chart in charts)
    return [
        _AtOnce(
            name,
            f"{_peak(open_levels):.0f}",
            f"{_peak(work_levels):.0f}",
            outline(open_levels, peak, width),
            outline(work_levels, peak, width),
        )
        for name, width, open_levels, work_levels in charts
    ]


def _peak(steps: Sequence[Level]) -> float:
    return max(level for _, level in steps)


@dataclass(frozen=True, slots=True)
class _Class:
    """A row of the critical path by class, and its bar."""

    row: ClassTime
    bar: Bar


def _classes(diagnosis: Diagnosis) -> list[_Class]:
    classes, at = [], 0.0
    for row in time_by_class(diagnosis):
        kind, time, _ = row.cells
        end = at + row.seconds
        css = _CLASSES[row.kind]
        classes.append(_Class(row, bar(css, at, end, diagnosis.wall_s, f"{kind}: {time}")))
        at = end
    return classes
