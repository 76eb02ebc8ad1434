"""A run's waterfall: a lane an agent, its LLM calls and its tool calls; live.js lets it grow.

Geometry is in attributes, so that neither a style nor a script is needed to draw it. live.js places
bars by the same rules: the end of the axis, and tools that ran at once below one another.
"""

from collections.abc import Sequence

from trading_graph.otel.report.charts import axis, bar, grid, legend
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.service.server.pages.layout import spoken
from trading_graph.service.server.pages.run_progress import AGENT, LLM, TOOL, Lane, Progress, Work

_HEIGHT, _INSET = 24, 4
_ENDS = (2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300)
_LIMIT_S = 120.0
_ROOM = 0.7
_LEGEND = (
    ("llm", "LLM call"),
    ("tool", "tool call"),
    ("failed-bar", "failed"),
    ("other turn", "agent"),
)


def axis_end(seconds: float) -> float:
    """Where the axis of a run ends that has taken so long and goes on: a round time after it."""
    return next((end for end in _ENDS if seconds * 1.05 <= end), -(-seconds * 1.05 // 60) * 60)


def waterfall(
    found: Progress, begin: float | None, now: float, *, follow: str | None = None
) -> Markup:
    """The chart; `begin` is None for a run that waits, `follow` the address of its events."""
    spent = max(now - begin, 0.0) if begin is not None else 0.0
    # Work that began before the run did: a clock was set.
    whole = axis_end(spent) if follow else max(spent, 0.001)
    blank = element("span", class_="label")
    marks = element("div", blank, axis(whole * 1e9), element("span", class_="took"), class_="row")
    chart = element(
        "div",
        element("div", grid(whole * 1e9, _LIMIT_S * 1e9), class_="behind", aria_hidden="true"),
        joined(_row(lane, begin or now, spent, whole) for lane in found.lanes),
        marks,
        class_="chart",
        data_events=follow,
        data_after=found.last if follow else None,
        data_begin=begin if follow else None,
        data_now=now if follow else None,
    )
    return joined([legend(_LEGEND), chart])


def _row(lane: Lane, begin: float, spent: float, whole: float) -> Markup:
    standing = "" if lane.work else " waits"
    if any(each.failed for each in lane.of(AGENT)):
        standing = " failed"
    going_on = [each for each in lane.work if each.end is None]
    seconds = lane.seconds
    if seconds is None and lane.work:
        seconds = sum(
            (spent + begin if each.end is None else each.end) - each.start
            for each in lane.of(AGENT)
        )
    return element(
        "div",
        element("span", spoken(lane.agent), class_="label"),
        element(
            "svg",
            joined(_bars(lane, begin, spent, whole)),
            element(
                "text", _tip(going_on), class_="tip", **_tip_place(going_on, begin, spent, whole)
            ),
            class_="strip",
            width="100%",
            height=_HEIGHT,
            aria_hidden="true",
        ),
        element("span", "" if not seconds else brief(seconds * 1e9), class_="took"),
        class_=f"row lane{standing}",
        data_agent=lane.agent,
    )


def _bars(lane: Lane, begin: float, spent: float, whole: float) -> list[Markup]:
    tools = lane.of(TOOL)
    at = levels(tools)
    height = (_HEIGHT - 2 * _INSET) / (max(at, default=0) + 1)
    drawn = []
    for each in sorted(lane.work, key=lambda work: work.kind != AGENT):  # an agent's lies below
        shape: dict[str, object] = {"y": _INSET, "height": _HEIGHT - 2 * _INSET, "rx": 2}
        if each.kind == AGENT:
            shape = {"y": 1, "height": _HEIGHT - 2, "rx": 3}
        elif each.kind == TOOL:
            y = _INSET + height * at[tools.index(each)]
            shape = {"y": round(y, 2), "height": round(max(height - 1, 1), 2), "rx": 1}
        end = begin + spent if each.end is None else each.end
        drawn.append(
            bar(
                _class(each),
                each.start - begin,
                end - begin,
                whole,
                title=_title(each),
                data_span=each.span_id,
                data_kind=each.kind,
                data_name=each.name,
                data_start=each.start,
                data_end=each.end,
                **shape,
            )
        )
    return drawn


def levels(work: Sequence[Work]) -> list[int]:
    """On which level each is drawn, so that those that ran at once lie below one another."""
    free: list[float] = []
    found = []
    for each in work:
        level = next((n for n, at in enumerate(free) if at <= each.start), len(free))
        free[level : level + 1] = [float("inf") if each.end is None else each.end]
        found.append(level)
    return found


def _class(work: Work) -> str:
    kinds = {AGENT: "other turn", LLM: "llm", TOOL: "tool"}
    failed = " failed-bar" if work.failed and work.kind != AGENT else ""
    return kinds[work.kind] + failed + (" cut" if work.cut else "")


def _title(work: Work) -> str:
    took = "goes on" if work.end is None else brief((work.end - work.start) * 1e9)
    return f"{work.name}: {took}" + (f", failed: {work.error}" if work.failed else "")


def _tip(going_on: Sequence[Work]) -> str:
    """What an agent does now, in a few words beside its bar."""
    called = [each.name for each in going_on if each.kind == TOOL]
    if called:
        return called[0] + (f" + {len(called) - 1}" if len(called) > 1 else "")
    return "model" if any(each.kind == LLM for each in going_on) else ""


def _tip_place(
    going_on: Sequence[Work], begin: float, spent: float, whole: float
) -> dict[str, object]:
    """After the bar, or before it where little room is left after it."""
    share, dx, anchor = spent / whole, 6, "start"
    if going_on and share > _ROOM:
        share, dx, anchor = (going_on[0].start - begin) / whole, -6, "end"
    place = f"{min(max(share, 0), 1):.2%}"
    return {"x": place, "dx": dx, "y": _HEIGHT / 2 + 4, "text_anchor": anchor}


def as_table(found: Progress, begin: float) -> Markup:
    """The same in numbers, for whoever reads rather than looks."""
    head = ("Agent", "From", "Seconds", "LLM calls", "Tool calls", "Failed", "Tokens")
    rows = [
        element(
            "tr",
            element("th", spoken(lane.agent), scope="row"),
            element("td", f"{lane.work[0].start - begin:.2f} s"),
            element("td", f"{lane.seconds or 0:.2f}"),
            element("td", str(len(lane.of(LLM)))),
            element("td", str(len(lane.of(TOOL)))),
            element("td", str(sum(w.failed for w in lane.work if w.kind != AGENT))),
            element("td", f"{sum(w.tokens for w in lane.work):,}"),
        )
        for lane in found.lanes
        if lane.work
    ]
    table = element(
        "table",
        element("thead", element("tr", joined(element("th", each, scope="col") for each in head))),
        element("tbody", joined(rows)),
    )
    return element(
        "details",
        element("summary", "In numbers"),
        element(
            "div", table, class_="scroll", tabindex="0", role="region", aria_label="In numbers"
        ),
        class_="more",
    )
