"""Traces drawn by hand and at random, for the diagnosis."""

from collections.abc import Sequence

from hypothesis import strategies as st

from trading_graph.otel.trace import Attributes, SpanTable, SpanValues, TraceBuilder

MS = 1_000_000
BEGIN = 1_763_100_000 * 10**9

Drawn = tuple[str, int, int, Sequence["Drawn"]]
"""Name, start and end in milliseconds after the run's start, and the spans below."""


def drawn(root: Drawn, attributes: Attributes | None = None) -> SpanTable:
    """The trace of a drawing; every span below the root has the attributes."""
    described = attributes or {}
    builder = TraceBuilder("0" * 31 + "1")
    number = 0

    def add(span: Drawn, parent: str) -> None:
        nonlocal number
        number += 1
        name, start, end, below = span
        span_id = f"{number:016x}"
        said = described if parent else {}
        times = BEGIN + start * MS, BEGIN + end * MS
        builder.add(SpanValues(span_id, parent, name, 1, *times, 0, lambda: said))
        for child in below:
            add(child, span_id)

    add(root, "")
    return builder.build()


def row(trace: SpanTable, name: str) -> int:
    """The only span of a name."""
    (found,) = [at for at, each in enumerate(trace.names) if each == name]
    return found


@st.composite
def random_traces(draw: st.DrawFn, most: int = 40) -> SpanTable:
    """Trees of any shape: children may touch, be nested, stick out, have no length."""
    builder = TraceBuilder("0" * 31 + "2")
    count = draw(st.integers(1, most))
    spans: list[tuple[int, int]] = []
    for number in range(count):
        if not number:
            start, end, parent = 0, draw(st.integers(1, 60)), ""
        else:
            above = draw(st.integers(0, number - 1))
            low, high = spans[above]
            start = draw(st.integers(low - 2, high + 2))
            end = start + draw(st.integers(0, max(high - start, 0) + 3))
            parent = f"{above + 1:016x}"
        spans.append((start, end))
        builder.add(
            SpanValues(
                f"{number + 1:016x}",
                parent,
                f"span {number % 5}",
                draw(st.sampled_from([1, 2, 3])),
                BEGIN + start * MS,
                BEGIN + end * MS,
                0,
                dict,
            )
        )
    return builder.build()
