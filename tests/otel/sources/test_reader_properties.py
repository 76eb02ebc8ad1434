"""Properties of reading and judging, and a fuzz test: any bytes give a trace or a TraceError.

The fuzz tries 1,200 inputs a run (300 of rubbish, 600 of damaged documents, 300 of documents with
strange values in the place of true ones); `FUZZ=50` in the environment tries fifty times as many.
"""

import contextlib
import json
import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.otel.sources.test_shapes import LINES, WHOLE
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report import as_json
from trading_graph.otel.sources import parse, read
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder, profile
from trading_graph.otel.verdict import judge

GATE = own_gate()
FUZZ = int(os.environ.get("FUZZ", "1"))

fuzz = settings(
    max_examples=300 * FUZZ,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
some = settings(max_examples=60, derandomize=True)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["resourceSpans", "traceId", "0" * 16, "a" * 32, "SPAN_KIND_X", "=="]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=10,
)


def read_and_judge(content: bytes) -> None:
    """Parse the bytes; only a TraceError may be raised."""
    with contextlib.suppress(TraceError):
        for trace in parse(content, "fuzz"):
            as_json(judge(trace, GATE))


@fuzz
@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_fuzz_with_rubbish(content: bytes) -> None:
    read_and_judge(content)


@settings(fuzz, max_examples=600 * FUZZ)
@given(
    st.sampled_from([WHOLE, LINES]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=4)), max_size=3),
)
def test_fuzz_with_damage(text: str, damage: list[tuple[int, int, bytes]]) -> None:
    content = text.encode()
    for at, cut, put in damage:
        content = content[:at] + put + content[at + cut :]
    read_and_judge(content)


@fuzz
@given(st.data())
def test_fuzz_with_strange_values(data: st.DataObject) -> None:
    document = json.loads(WHOLE)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(document)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = places[data.draw(st.integers(0, len(places) - 1))]
        node[key] = data.draw(json_values)
    read_and_judge(json.dumps(document).encode())


ROLES = ("dispatch analysts", "invoke_agent market_analyst", "chat model", "execute_tool prices")


@st.composite
def documents(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The spans of a whole trace; children need not lie within their parents."""
    count = draw(st.integers(1, 15))
    spans = []
    for number in range(count):
        name = draw(st.sampled_from(ROLES)) if number else "invoke_workflow fuzz"
        start = draw(st.integers(0, 50)) if number else 0
        span = {
            "traceId": "a" * 32,
            "spanId": f"{number + 1:016x}",
            "name": name,
            "startTimeUnixNano": str(10**18 + start * 10**8),
            "endTimeUnixNano": str(10**18 + (start + draw(st.integers(0, 20))) * 10**8),
            "attributes": [
                {
                    "key": "gen_ai.operation.name",
                    "value": {"stringValue": name.partition(" ")[0]},
                }
            ],
        }
        if number:
            span["parentSpanId"] = f"{draw(st.integers(1, number)):016x}"
        spans.append(span)
    return spans


def verdict_on(*contents: list[dict[str, Any]]) -> str:
    """Judge a trace whose spans are spread over files."""
    with TemporaryDirectory() as folder:
        paths = []
        for number, spans in enumerate(contents):
            paths.append(Path(folder) / f"{number}.json")
            paths[-1].write_text(
                json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
            )
        (trace,) = read(*paths)
        return as_json(judge(trace, GATE))


@some
@given(documents(), st.randoms(use_true_random=False))
def test_the_order_of_spans_in_a_file_changes_nothing(
    spans: list[dict[str, Any]], shuffler: random.Random
) -> None:
    shuffled = list(spans)
    shuffler.shuffle(shuffled)
    assert verdict_on(shuffled) == verdict_on(spans)


@some
@given(documents(), st.integers(0, 15))
def test_splitting_a_trace_into_files_changes_nothing(spans: list[dict[str, Any]], at: int) -> None:
    assert verdict_on(spans[at:], spans[:at]) == verdict_on(spans)


@some
@given(documents(), st.integers(-(10**17), 10**17))
def test_a_shift_in_time_changes_nothing(spans: list[dict[str, Any]], by_ns: int) -> None:
    shifted = [
        {
            **span,
            "startTimeUnixNano": str(int(span["startTimeUnixNano"]) + by_ns),
            "endTimeUnixNano": str(int(span["endTimeUnixNano"]) + by_ns),
        }
        for span in spans
    ]
    assert verdict_on(shifted) == verdict_on(spans)


@some
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), max_size=30))
def test_a_profile_integrates_to_the_work(intervals: list[tuple[int, int]]) -> None:
    builder = TraceBuilder("t")
    for number, (start, length) in enumerate(intervals):
        builder.add(SpanValues(str(number), "", "s", 1, start, start + length, 0, dict))
    trace: SpanTable = builder.build()
    result = profile(trace, range(len(trace)))
    levels = [sum(start <= at < start + n for start, n in intervals) for at in range(151)]
    assert result.work_ns == sum(levels) == sum(length for _, length in intervals)
    assert result.busy_ns == sum(level > 0 for level in levels)
    assert result.serial_ns == sum(level == 1 for level in levels)
    assert result.peak == max(levels)
