"""Every reader, fuzzed: any input gives traces or one sentence, and no word of a parser.

For each of the formats of `written`: 40 inputs with damaged bytes, and 40 whose values are replaced
by others (of JSON alone), which is 5,000 a run, or a quarter of that in the quick part; `FUZZ=50`
in the environment tries fifty times as many. What is read is judged, since attributes, events and
links are decoded when they are needed.
"""

import json
import os
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.otel.sources.forms.every_form import FORMS
from tests.otel.sources.forms.run import lines
from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report import as_json
from trading_graph.otel.sources import parse
from trading_graph.otel.sources.formats import formats
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge

FUZZ = int(os.environ.get("FUZZ", "1"))
fuzz = settings(
    max_examples=examples(40) * FUZZ, suppress_health_check=list(HealthCheck), derandomize=True
)
PARSERS_WORDS = re.compile(
    r"Expected `|Object missing|JSON is malformed:|codec|Traceback|Error|got `|invalid literal"
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "0", "a" * 32, "2025-13-45T99:99:99Z", "1e999", "-1", "9" * 30, "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


def read_and_judge(content: bytes) -> None:
    """Read and judge; only a TraceError of one sentence may be raised."""
    try:
        for trace in parse(content, "fuzz"):
            use(trace)
    except TraceError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 700
        assert not PARSERS_WORDS.search(sentence), sentence


def use(trace: SpanTable) -> None:
    as_json(judge(trace, default_gate(trace)))
    for row in range(len(trace)):
        trace.events(row)
        trace.links(row)


damage = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 6), st.binary(max_size=6)),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", FORMS)
@fuzz
@given(damage=damage)
def test_damaged_bytes(name: str, damage: list[tuple[int, int, bytes]]) -> None:
    content = FORMS[name]
    for place, cut, put in damage:
        at = place % len(content)
        content = content[:at] + put + content[at + cut :]
    read_and_judge(content)


def decoded(name: str) -> tuple[Any, bool]:
    """The JSON of an input, and whether it is lines."""
    text = FORMS[name]
    try:
        return json.loads(text), False
    except ValueError:
        return [json.loads(line) for line in text.splitlines()], True


def is_json(name: str) -> bool:
    try:
        decoded(name)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in FORMS if is_json(name)])
@fuzz
@given(data=st.data())
def test_strange_values(name: str, data: st.DataObject) -> None:
    document, is_lines = decoded(name)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(document)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = places[data.draw(st.integers(0, len(places) - 1))]
        node[key] = data.draw(values)
    read_and_judge(lines(document) if is_lines else json.dumps(document).encode())


SIGNS = sorted({key for each in formats() for key in re.findall(r"[A-Za-z_@.]{2,}", each.sign)})


@settings(fuzz, max_examples=examples(300) * FUZZ)
@given(keys=st.lists(st.sampled_from(SIGNS), min_size=1, max_size=5), value=values)
def test_what_is_recognised_by_mistake(keys: list[str], value: Any) -> None:
    """An object that has the names that formats are recognised by, and nothing else of them."""
    for document in (dict.fromkeys(keys, value), [dict.fromkeys(keys, value)]):
        read_and_judge(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["OTLP protobuf", "OTLP protobuf, after its length"])
def test_lengths_that_lie(name: str) -> None:
    """Every byte of a message in turn says another number; nothing is read beyond."""
    whole = FORMS[name]
    for at in range(0, len(whole), 1 if FUZZ > 1 else 5):
        for byte in (0x00, 0x7F, 0x80, 0xFF, whole[at] ^ 1):
            read_and_judge(whole[:at] + bytes([byte]) + whole[at + 1 :])
        read_and_judge(whole[:at])
