"""Recorded and drawn traces of graphs, for the tests of their structure."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trading_graph.otel.sources import read
from trading_graph.otel.trace import Attributes, SpanTable, SpanValues, TraceBuilder

RECORDED = Path(__file__).parents[2] / "recorded" / "graphs"

Drawn = tuple[str, int | None, int, int]
"""Node, step, start and end in seconds."""


def recorded(name: str) -> SpanTable:
    """A recorded trace."""
    (trace,) = read(RECORDED / f"{name}.json")
    return trace


def drawn(
    nodes: Sequence[Drawn],
    triggers: Mapping[str, Sequence[str]] | None = None,
    below: Mapping[str, Sequence[tuple[str, Attributes]]] | None = None,
) -> SpanTable:
    """A run of a graph; `below` are name and attributes of the spans below each visit of a node."""
    builder = TraceBuilder("0" * 31 + "1")
    second = 10**9
    last = max(end for *_, end in nodes)

    def add(span: str, parent: str, name: str, times: tuple[int, int], said: Attributes) -> None:
        start, end = times
        builder.add(
            SpanValues(span, parent, name, 1, start * second, end * second, 0, lambda: said)
        )

    add("run", "", "run", (0, last), {})
    for number, (node, step, start, end) in enumerate(nodes):
        said: dict[str, object] = {}
        if step is not None:
            said = {"langgraph_node": node, "langgraph_step": step}
            if triggers and node in triggers:
                said["langgraph_triggers"] = json.dumps(list(triggers[node]))
        add(f"node {number}", "run", node, (start, end), said)
        for place, (name, attributes) in enumerate((below or {}).get(node, ())):
            inner = {**said, **attributes}
            add(f"below {number} {place}", f"node {number}", name, (start, end), inner)
    return builder.build()


def changed(
    trace: SpanTable,
    name: Callable[[str], str] = str,
    scale: int = 1,
    attributes: Callable[[Attributes], Attributes] = dict,
) -> SpanTable:
    """The same trace with other names, attributes or a longer time for everything."""
    builder = TraceBuilder(trace.trace_id)
    begin = int(trace.start[0])
    for row, (start, end) in enumerate(trace.intervals):
        above = int(trace.parent[row])
        said = attributes(trace.attributes(row))
        builder.add(
            SpanValues(
                trace.span_ids[row],
                trace.span_ids[above] if above >= 0 else "",
                name(trace.names[row]),
                int(trace.kind[row]),
                begin + (start - begin) * scale,
                begin + (end - begin) * scale,
                0,
                lambda said=said: said,  # type: ignore[misc]
            )
        )
    return builder.build()


def renamed(trace: SpanTable) -> SpanTable:
    """The same trace with other names of nodes and spans, in LangGraph's metadata as well."""
    nodes = {task.node for task in trace.graph_tasks if task and task.node} - {"join"}
    others = {
        name: f"other {number}"
        for number, name in enumerate(sorted(nodes | set(trace.names), key=len, reverse=True))
        if name != "join"
    }

    def rename(text: str) -> str:
        for old, new in others.items():
            text = text.replace(old, new)
        return text

    def said(attributes: Attributes) -> Attributes:
        return {
            key: rename(value) if key == "metadata" else value for key, value in attributes.items()
        }

    return changed(trace, rename, attributes=said)
