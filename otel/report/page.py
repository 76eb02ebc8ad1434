"""A diagnosis as a document: one HTML page, or Markdown.

The page has no script and loads nothing, so it can be kept, mailed and printed. What it shows is
prepared here, and `templates/diagnosis.html` draws it; the Markdown is `templates/diagnosis.md`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from trading_graph.otel.diagnosis import (
    Diagnosis,
    Finding,
    PathClass,
    Standing,
    Target,
    Theme,
    predicted_times,
    ranking_of,
)
from trading_graph.otel.report.diagnosis import SHOWN, ClassTime, gains_table, time_by_class
from trading_graph.otel.report.documents.diagnosis import (
    fixes_made,
    gains_nothing,
    headline,
    outlook,
)
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.html import (
    Bar,
    Level,
    axis,
    bar,
    levels,
    outline,
    render,
    render_document,
)
from trading_graph.otel.report.tables import Table
from trading_graph.otel.report.time_use import time_of_largest
from trading_graph.otel.report.timeline import Line, Stretch, Timeline, class_of
from trading_graph.otel.report.verdict import checklist, completeness_line, markdown_item
from trading_graph.otel.verdict.work import working_spans
from trading_graph.otel.vocabularies import Role

_STANDING = {
    Standing.NONE: "without a target",
    Standing.INSIDE: "inside its target",
    Standing.IN_REACH: "over its target, which is in reach",
    Standing.OUT_OF_REACH: "over its target, which is out of reach",
}
_CLASSES = {
    PathClass.LLM: "llm",
    PathClass.FIRST_TOKEN: "first-token",
    PathClass.GENERATION: "llm",
    PathClass.TOOL: "tool",
    PathClass.HTTP: "http",
    PathClass.WAITING: "waiting",
    PathClass.BARRIER: "barrier",
    PathClass.LINKED: "llm",
    PathClass.ORCHESTRATION: "other",
}
_NAMES = 8
_DEEPEST = 8


def page(diagnosis: Diagnosis) -> str:
    """The diagnosis as an HTML page."""
    timeline = Timeline(ranking_of(diagnosis))
    target = diagnosis.target
    limit_s = target.limit_s
    limit_ns = None
    if limit_s is not None and target.projected_call_s is None:
        limit_ns = int(limit_s * 1e9)
    speedup = target.now_s / max(target.least_s, 1e-9)
    gained = "no faster" if gains_nothing(target) else f"{speedup:.1f}x faster"
    return render_document(
        "diagnosis.html",
        diagnosis=diagnosis,
        standing=_STANDING[target.standing],
        headline=headline(diagnosis),
        outlook=outlook(diagnosis),
        gap=_gap(target),
        prediction=f"with {fixes_made(diagnosis)}, {gained}",
        cards=[
            (each, _finding_bars(each, diagnosis.wall_s)) for each in diagnosis.findings[:SHOWN]
        ],
        more=len(diagnosis.findings) - SHOWN,
        gains=gains_table(diagnosis, 60) if diagnosis.steps else None,
        pairs=_pairs(diagnosis, timeline) if diagnosis.steps else None,
        path=_path(timeline),
        rows=[_node(timeline, node) for node in timeline.nodes],
        by_path=timeline.by_path,
        left_out=timeline.left_out,
        concurrency=_concurrency(diagnosis, timeline),
        axis=axis(timeline.wall_ns),
        limited_axis=axis(timeline.wall_ns, limit_ns),
        classes=_classes(diagnosis),
        names=list(diagnosis.by_name.items())[:_NAMES],
        checklist=checklist(diagnosis.verdict),
    )


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """The diagnosis as Markdown: issue, actions by priority, metrics, gains, commands."""
    return render(
        "diagnosis.md",
        diagnosis=diagnosis,
        trace_id=re.sub(r"[^\w.:-]", "", diagnosis.trace.id),
        headline=headline(diagnosis),
        outlook=outlook(diagnosis),
        gap=_gap(diagnosis.target),
        path=Table(("Class", "Time", "Share"), [row.cells for row in time_by_class(diagnosis)]),
        largest=time_of_largest(diagnosis),
        actions=_actions(diagnosis.findings),
        checklist=[markdown_item(row) for row in checklist(diagnosis.verdict)],
        completeness=completeness_line(diagnosis.verdict),
        gains=gains_table(diagnosis, 60),
    )


def _gap(target: Target) -> str:
    """How far a run is from its target; empty without one."""
    if target.limit_s is None:
        return ""
    if target.standing is Standing.INSIDE:
        return f"{brief(target.limit_s - target.now_s)} to spare"
    return f"{target.now_s / target.limit_s:.1f}x the target"


def _actions(
    findings: Sequence[Finding],
) -> Mapping[Theme, Sequence[tuple[Finding, str | None]]]:
    """Findings by theme, in the order of each theme's greatest gain; a theme has a code once."""
    themes: dict[Theme, list[tuple[Finding, str | None]]] = defaultdict(list)
    for each in findings:
        theme, code = themes[each.kind.theme], each.code
        theme.append((each, None if any(code == other for _, other in theme) else code))
    return themes


def _finding_bars(finding: Finding, wall_s: float) -> list[Bar]:
    """What the run would take with a finding mended, what it may take, and what that saves."""
    low, high = finding.wall.low_s, finding.wall.high_s
    bars = [bar("track", 0, low, wall_s), bar("doubt", low, min(high, wall_s), wall_s)]
    if high < wall_s:
        bars.append(bar("sure", high, wall_s, wall_s))
    return bars


class _ChartRow(msgspec.Struct, frozen=True):
    """A line of a chart and the lines that it opens; `path` are its stretches of the path."""

    label: str
    name: str
    seconds: float
    bars: tuple[Bar, ...]
    path: tuple[Bar, ...] = ()
    depth: int = 0
    failed: bool = False
    below: tuple["_ChartRow", ...] = ()


def _path(timeline: Timeline) -> list[Bar]:
    """The critical path, of very many segments only those that can be seen."""
    trace, begin, whole = timeline.ranking.trace, timeline.begin, timeline.wall_ns
    return [
        bar(
            class_of(trace.roles[row]),
            start - begin,
            end - begin,
            whole,
            f"{trace.names[row]}: {brief((end - start) / 1e9)} on the path",
        )
        for row, start, end in timeline.ranking.path.segments
        if not timeline.by_path or end - start >= whole // 1000
    ]


def _node(timeline: Timeline, node: Line) -> _ChartRow:
    bars = _bars("other", _recorded(timeline, node), timeline.wall_ns)
    for kind, stretches in timeline.work(node).items():
        bars += _bars(kind, stretches, timeline.wall_ns)
    below = tuple(
        _row(timeline, line, _bars(line.kind, _recorded(timeline, line), timeline.wall_ns))
        for line in node.below()
    )
    return _row(timeline, node, bars, below)


def _row(
    timeline: Timeline, line: Line, bars: Sequence[Bar], below: tuple[_ChartRow, ...] = ()
) -> _ChartRow:
    stretches = timeline.path_below.get(id(line), [])
    many = f" x {len(line.rows)}" if len(line.rows) > 1 else ""
    return _ChartRow(
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


class _Pair(msgspec.Struct, frozen=True):
    """A node as it ran and as it is predicted, on one axis; `seconds` is the prediction."""

    name: str
    before: tuple[Bar, ...]
    after: tuple[Bar, ...]
    seconds: float


def _pairs(diagnosis: Diagnosis, timeline: Timeline) -> list[_Pair]:
    """The run, and node by node."""
    tree, wall = timeline.tree, timeline.wall_ns
    start, end = predicted_times(diagnosis)
    pairs = [_pair("the run", [(0, wall)], [(0, end[tree.run] - start[tree.run])], wall)]
    for name, rows in timeline.by_name:
        recorded = timeline.stretches(rows, tree.start, tree.end)
        pairs.append(_pair(name, recorded, timeline.stretches(rows, start, end), wall))
    return pairs


def _pair(name: str, before: list[Stretch], after: list[Stretch], whole: int) -> _Pair:
    return _Pair(
        name,
        tuple(_bars("before", before, whole)),
        tuple(_bars("after", after, whole)),
        sum(end - start for start, end in after) / 1e9,
    )


class _AtOnce(msgspec.Struct, frozen=True):
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


def _classes(diagnosis: Diagnosis) -> list[tuple[ClassTime, Bar]]:
    """The critical path by class, and the bars of the classes one after the other."""
    classes, at = [], 0.0
    for row in time_by_class(diagnosis):
        kind, time, _ = row.cells
        end = at + row.seconds
        title = f"{kind}: {time}"
        classes.append((row, bar(_CLASSES[row.kind], at, end, diagnosis.wall_s, title)))
        at = end
    return classes
