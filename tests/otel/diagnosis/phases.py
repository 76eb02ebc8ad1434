"""Random runs made of phases of known truth: how long each would take if it were mended."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import strategies as st

from trading_graph.otel.trace import Link, SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.vocabularies import Role

MS = 1_000_000
BEGIN = 1_763_100_000 * 10**9
TRACE = "0" * 31 + "3"
CLIENT = 3

SAID: dict[Role, dict[str, Any]] = {
    Role.AGENT: {"gen_ai.operation.name": "invoke_agent"},
    Role.LLM: {"gen_ai.operation.name": "chat"},
    Role.TOOL: {"gen_ai.operation.name": "execute_tool"},
    Role.HTTP: {"http.request.method": "GET"},
    Role.OTHER: {},
}


@dataclass
class Drawing:
    """A trace in the making; times are milliseconds after the run's start."""

    spans: list[tuple[str, str, int, int, dict[str, Any], str]] = field(default_factory=list)

    def add(
        self,
        name: str,
        role: Role,
        start: int,
        end: int,
        parent: str = "1",
        link: str = "",
        **said: Any,
    ) -> str:
        """Add a span, and return its id."""
        span_id = f"{len(self.spans) + 2:x}"
        self.spans.append((span_id, parent, start, end, {"name": name, **SAID[role], **said}, link))
        return span_id

    def trace(self, end: int) -> SpanTable:
        """The trace of the run, which ends at a time."""
        builder = TraceBuilder(TRACE)
        whole = ("1", "", 0, end, {"name": "run"}, "")
        for span_id, parent, start, stop, said, link in (whole, *self.spans):
            links = [Link(TRACE, f"{link:0>16}", {})] if link else []
            builder.add(
                SpanValues(
                    f"{span_id:0>16}",
                    f"{parent:0>16}" if parent else "",
                    str(said["name"]),
                    CLIENT,
                    BEGIN + start * MS,
                    BEGIN + stop * MS,
                    0,
                    partial(dict, {key: value for key, value in said.items() if key != "name"}),
                    links=partial(list, links),
                )
            )
        return builder.build()


@dataclass(frozen=True)
class Phase:
    """Spans that start after all before them; `mended` is how long they would take if mended."""

    kind: str
    rows: tuple[str, ...]
    start: int
    end: int
    mended: int


KINDS = ("together", "row", "limit", "limit inside", "late", "gap", "serial tools", "links")

lengths = st.lists(st.integers(20, 400), min_size=3, max_size=7)


def slots_of(times: Sequence[int], width: int) -> list[int]:
    """When each of some tasks starts, if so many run at once."""
    busy: list[int] = []
    starts = []
    for time in times:
        start = heapq.heappop(busy) if len(busy) >= width else 0
        starts.append(start)
        heapq.heappush(busy, start + time)
    return starts


def draw_phase(draw: st.DrawFn, drawing: Drawing, kind: str, at: int) -> Phase:
    """Draw a phase of a kind that starts at a time."""
    times = draw(lengths)
    starts = [0] * len(times)
    pause, dispatcher, role = 0, "", draw(st.sampled_from([Role.AGENT, Role.HTTP]))
    said: list[dict[str, Any]] = [{} for _ in times]
    match kind:
        case "row":
            starts = [sum(times[:n]) for n in range(len(times))]
        case "serial tools":
            starts, role = [sum(times[:n]) for n in range(len(times))], Role.TOOL
            said = [{"gen_ai.tool.call.id": f"call {at} {n}"} for n in range(len(times))]
        case "limit" | "limit inside":
            starts = slots_of(times, draw(st.integers(1, len(times) - 1)))
        case "late":
            starts[-1] = draw(st.integers(10, 300))
        case "gap":
            pause = draw(st.integers(30, 400))
        case "links":
            dispatcher = drawing.add(
                "dispatch", Role.OTHER, at, at, **{"trading.operation": "dispatch"}
            )
            starts = slots_of(times, draw(st.integers(1, len(times))))
        case _:
            pass
    at += pause
    rows = []
    for number, (start, time) in enumerate(zip(starts, times, strict=True)):
        name = f"{kind} {at} {number}"
        if kind == "limit inside":
            rows.append(drawing.add(name, Role.AGENT, at, at + start + time))
            drawing.add("chat", Role.LLM, at + start, at + start + time, rows[-1])
        else:
            rows.append(
                drawing.add(
                    name, role, at + start, at + start + time, link=dispatcher, **said[number]
                )
            )
    end = at + max(start + time for start, time in zip(starts, times, strict=True))
    return Phase(kind, tuple(rows), at - pause, end, max(times))


@st.composite
def phases(
    draw: st.DrawFn, kinds: Sequence[str] = KINDS, most: int = 3
) -> tuple[SpanTable, list[Phase]]:
    """A run of phases between calls of a model, and the phases."""
    drawing, found, at = Drawing(), list[Phase](), 0
    for _ in range(draw(st.integers(1, most))):
        call = draw(st.integers(40, 120))
        drawing.add("chat planner", Role.LLM, at, at + call)
        at += call
        found.append(draw_phase(draw, drawing, draw(st.sampled_from(kinds)), at))
        at = found[-1].end
    last = draw(st.integers(0, 120))
    if last:
        drawing.add("chat planner", Role.LLM, at, at + last)
    return drawing.trace(at + last), found
