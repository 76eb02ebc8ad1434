"""The parts of the page with a time axis: waterfall, before and after, concurrency, path."""

from collections.abc import Sequence

from trading_graph.otel.diagnosis import Diagnosis, PathClass, predicted_times
from trading_graph.otel.report.charts import area, areas, axis, bar, grid, legend, strip, swatch
from trading_graph.otel.report.concurrency import Step, levels
from trading_graph.otel.report.durations import brief, share
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section
from trading_graph.otel.report.timeline import Interval, Line, Timeline, class_of
from trading_graph.otel.trace.kinds import Role
from trading_graph.otel.verdict.work import working_spans

_DEEPEST = 8
_CLASSES = {
    PathClass.LLM: "llm",
    PathClass.TOOL: "tool",
    PathClass.HTTP: "http",
    PathClass.WAITING: "waiting",
    PathClass.BARRIER: "barrier",
    PathClass.ORCHESTRATION: "other",
}
_LEGEND = (("llm", "LLM call"), ("tool", "tool"), ("http", "fetch, HTTP"), ("other", "span"))


def waterfall(timeline: Timeline) -> Markup:
    """The run collapsed by node, with the critical path below each bar."""
    whole, names = timeline.wall_ns, timeline.diagnosis.trace.names
    path = [
        bar(
            class_of(timeline.diagnosis.trace.roles[row]),
            start - timeline.begin,
            end - timeline.begin,
            whole,
            height=12,
            title=f"{names[row]}: {brief((end - start) / 1e9)} on the path",
        )
        for row, start, end in _segments(timeline)
    ]
    rows = [
        _line(
            "critical path", strip(path, 12, "the critical path"), brief(whole / 1e9), "path-line"
        ),
        *(_node(timeline, node) for node in timeline.nodes),
    ]
    what = "by call path" if timeline.by_path else "by node; open one to see what is inside"
    left_out = f" {timeline.left_out} call paths with less time are left out." * bool(
        timeline.left_out
    )
    return section(
        "Where the time went",
        legend((*_LEGEND, ("on-path", "on the critical path"))),
        _chart(rows, whole),
        note=f"One axis, {what}.{left_out}",
        class_="waterfall",
    )


def _segments(timeline: Timeline) -> Sequence[tuple[int, int, int]]:
    """The path's segments; of very many only those that can be seen."""
    found = timeline.diagnosis.path.segments
    if not timeline.by_path:
        return found
    least = timeline.wall_ns // 1000
    return [each for each in found if each.duration_ns >= least]


def _node(timeline: Timeline, node: Line) -> Markup:
    whole = timeline.wall_ns
    bars = [_bar("other", each, whole, 12) for each in _recorded(timeline, node)]
    bars += [
        _bar(kind, each, whole, 12) for kind, found in timeline.work(node).items() for each in found
    ]
    below = node.below()
    summary = _row_of(timeline, node, bars)
    if not below:
        return element("div", *summary, class_="row" + _failed(timeline, node))
    lines = [
        element(
            "div",
            *_row_of(
                timeline,
                line,
                [_bar(line.kind, each, whole, 12) for each in _recorded(timeline, line)],
            ),
            class_=f"row d{min(line.depth - 1, _DEEPEST)}" + _failed(timeline, line),
        )
        for line in below
    ]
    return element(
        "details",
        element("summary", *summary, class_="row" + _failed(timeline, node)),
        *lines,
    )


def _row_of(timeline: Timeline, line: Line, bars: list[Markup]) -> tuple[Markup, ...]:
    stretches = timeline.path_below.get(id(line), [])
    bars = [*bars, *(_bar("on-path", each, timeline.wall_ns, 3, 13) for each in stretches)]
    took = sum(timeline.tree.duration(row) for row in line.rows)
    many = f" x {len(line.rows)}" if len(line.rows) > 1 else ""
    title = f"{line.label}{many}: {brief(took / 1e9)}"
    return (
        element("span", line.label + many, class_="label", title=line.label),
        strip(bars, 16, title),
        element("span", brief(took / 1e9), class_="took"),
    )


def _recorded(timeline: Timeline, line: Line) -> list[Interval]:
    return timeline.bars(line, timeline.tree.start, timeline.tree.end)


def _bar(class_: str, each: Interval, whole: int, height: int, y: int = 0) -> Markup:
    title = f"{brief(each[0] / 1e9)} to {brief(each[1] / 1e9)} ({brief((each[1] - each[0]) / 1e9)})"
    return bar(class_, *each, whole, height=height, y=y, rx=1.5, title=title)


def _failed(timeline: Timeline, line: Line) -> str:
    return " failed" if timeline.failed(line) else ""


def before_and_after(found: Diagnosis, timeline: Timeline) -> Markup:
    """Each node as it ran and as it is predicted with all fixes made, on one axis."""
    if not found.steps:
        return Markup("")
    start, end = predicted_times(found)
    wall = timeline.wall_ns
    run = timeline.tree.run
    after = end[run] - start[run]
    rows = [_pair("the run", [(0, wall)], [(0, after)], wall)]
    for name, spans in timeline.by_name:
        pieces = [
            timeline.merged([(s[row] - timeline.begin, e[row] - timeline.begin) for row in spans])
            for s, e in ((timeline.tree.start, timeline.tree.end), (start, end))
        ]
        rows.append(_pair(name, pieces[0], pieces[1], wall))
    target = found.target
    limit = int(target.limit_s * 1e9) if target.projected_call_s is None else None
    return section(
        "Before and after",
        legend(
            (
                ("before", f"recorded, {brief(wall / 1e9)}"),
                ("after", f"predicted, {brief(after / 1e9)}"),
            )
        ),
        _chart(rows, wall, limit),
        note="The run played again with all fixes made, on the axis of the recorded one. Times at "
        "the right are predicted.",
        class_="pairs",
    )


def _pair(name: str, before: list[Interval], after: list[Interval], whole: int) -> Markup:
    bars = [_bar("before", each, whole, 6) for each in before]
    bars += [_bar("after", each, whole, 6, 8) for each in after]
    took = sum(end - start for start, end in after)
    return _line(name, strip(bars, 14, name), brief(took / 1e9), "")


def concurrency(found: Diagnosis, timeline: Timeline) -> Markup:
    """How many branches were open, and how many spans really worked; as it was, and predicted."""
    tree, trace = timeline.tree, timeline.diagnosis.trace
    wrappers = [row for row in tree.rows if trace.roles[row] is Role.AGENT]
    wrappers = wrappers or tree.children(tree.run)
    work = working_spans(trace, tree.run)
    played = [("recorded", tree.start, tree.end)]
    if found.steps:
        played.append(("predicted", *predicted_times(found)))
    levels_of: list[tuple[str, int, list[Step], list[Step]]] = []
    for name, start, end in played:
        length = end[tree.run] - start[tree.run]
        spans, leaves = (
            levels([(start[r] - timeline.begin, end[r] - timeline.begin) for r in rows], length)
            for rows in (wrappers, work)
        )
        levels_of.append((name, length, spans, leaves))
    peak = max(max(_peak(spans), _peak(leaves)) for _, _, spans, leaves in levels_of)
    rows = [
        _line(
            name,
            areas(
                [
                    area("work", leaves, peak, min(length / timeline.wall_ns, 1)),
                    area("wrapper", spans, peak, min(length / timeline.wall_ns, 1)),
                ],
                f"{name}: up to {_peak(spans):.0f} spans, {_peak(leaves):.0f} at work",
            ),
            f"≤ {_peak(spans):.0f} / {_peak(leaves):.0f}",
            "tall",
        )
        for name, length, spans, leaves in levels_of
    ]
    return section(
        "How much ran at once",
        legend((("wrapper", "branches that were open"), ("work", "spans that did the work"))),
        _chart(rows, timeline.wall_ns),
        note="Branches that are open while little work is done below them wait for something: "
        "spans that overlap prove nothing.",
    )


def _peak(steps: list[Step]) -> float:
    return max(level for _, level in steps)


def path_by_class(found: Diagnosis) -> Markup:
    """What the critical path was spent on."""
    whole = found.wall_s
    bars, at = [], 0.0
    for kind, spent in found.by_class.items():
        title = f"{kind}: {brief(spent)}"
        bars.append(bar(_CLASSES[kind], at, at + spent, whole, height=22, title=title))
        at += spent
    items = [
        element(
            "li",
            swatch(_CLASSES[kind]),
            element("span", str(kind)),
            element("b", brief(spent)),
            element("span", share(spent, whole), class_="note"),
        )
        for kind, spent in found.by_class.items()
    ]
    names = list(found.by_name.items())[:8]
    table = element(
        "table",
        element("tbody", joined(_name_row(name, spent, whole) for name, spent in names)),
    )
    return section(
        "The critical path by class",
        strip(bars, 22, "the critical path by class"),
        element("ul", joined(items), class_="classes"),
        element("div", table, class_="scroll"),
        note="Each instant of the run belongs to the one span that the run was waiting for.",
    )


def _name_row(name: str, spent: float, whole: float) -> Markup:
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", brief(spent)),
        element("td", share(spent, whole)),
    )


def _chart(rows: Sequence[Markup], whole: int, limit: int | None = None) -> Markup:
    blank = element("span", "", class_="label")
    marks = element("div", blank, axis(whole), element("span", "", class_="took"), class_="row")
    return element(
        "div",
        element("div", grid(whole, limit), class_="behind", aria_hidden="true"),
        *rows,
        marks,
        class_="chart",
    )


def _line(label: str, drawing: Markup, took: str, class_: str) -> Markup:
    return element(
        "div",
        element("span", label, class_="label", title=label),
        drawing,
        element("span", took, class_="took"),
        class_=f"row {class_}".strip(),
    )
