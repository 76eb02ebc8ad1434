"""One run in every format: it is always the same run, with the same roles and the same verdict."""

import json
import re
from pathlib import Path

import pytest

from tests.otel.sources.forms.every_form import FORMS
from tests.otel.sources.forms.run import RUN
from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import parse
from trading_graph.otel.sources.formats import formats, recognise, table
from trading_graph.otel.sources.head import HEAD_BYTES, Head
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge

NAMES = [part.name for part in RUN]
ROLES = {part.name: part.role for part in RUN}
# What LangSmith knows as a chain may be an agent, or anything else.
CHAINS = {name: {"researcher": "chain"} for name in FORMS if name.startswith("LangSmith")}

every = pytest.mark.parametrize("name", FORMS)


def the_trace(name: str) -> SpanTable:
    (trace,) = parse(FORMS[name], name)
    return trace


@every
def test_it_is_the_same_run(name: str) -> None:
    trace = the_trace(name)
    assert not trace.flaws
    found = {
        trace.names[row]: (
            trace.names[above] if (above := int(trace.parent[row])) >= 0 else above,
            int(trace.start[row] - trace.start[0]) / 1e6,
            int(trace.end[row] - trace.start[0]) / 1e6,
        )
        for row in range(len(trace))
    }
    # Trace events may begin at 0, so all of them are moved by a nanosecond.
    assert int(trace.start[0]) - int(name == "Chrome") == RUN[0].ms[0] * 10**6
    by_number = {part.number: part.name for part in RUN}
    assert found == {
        part.name: (by_number.get(part.parent, -1), part.start_ms, part.end_ms) for part in RUN
    }


@every
def test_every_span_has_its_role(name: str) -> None:
    trace = the_trace(name)
    roles = dict(zip(trace.names, map(str, trace.roles), strict=True))
    assert roles == {**ROLES, **CHAINS.get(name, {})}


@every
def test_the_verdict_is_the_same(name: str) -> None:
    trace = the_trace(name)
    verdict = judge(trace, default_gate(trace))
    assert verdict.passed
    (turns,) = (check for check in verdict.checks if check.id == "turns")
    assert turns.measured == "1 of 1 groups at once"


TRACES = (Path(__file__).parents[3] / "docs" / "traces.md").read_text("utf-8")


def test_the_docs_have_the_table_of_the_registry() -> None:
    """It is what `trading_graph.otel.sources.formats.table()` gives."""
    _, _, rest = TRACES.partition("<!-- formats -->\n")
    assert rest.partition("\n<!-- /formats -->")[0] == table()


def test_a_format_is_recognised_from_its_beginning() -> None:
    """A text is recognised alike whatever comes after the first 64 KiB."""
    for name, content in FORMS.items():
        found, head = recognise(content), recognise(content[:HEAD_BYTES] + b"\xff" * HEAD_BYTES)
        assert found is not None, name
        assert head is found or len(content) < HEAD_BYTES, name
        assert found.read is not None


@every
def test_no_other_format_takes_it_for_its_own(name: str) -> None:
    head = Head(FORMS[name])
    ours = [each.name for each in formats() if each.recognises(head)]
    assert len(ours) == 1


LONG = "a long question " * 10_000


@pytest.mark.parametrize("name", ["LangSmith, lines", "Langfuse, trace", "MLflow 3", "Phoenix"])
def test_a_long_first_value_hides_no_format(name: str) -> None:
    """What is recognised by comes after an input that is longer than the beginning."""
    rows = [json.loads(line) for line in FORMS[name].splitlines()]
    rows = rows[0] if isinstance(rows[0], list) else rows
    text = "\n".join(json.dumps({"input": LONG, **row}) for row in rows)
    (trace,) = parse(text.encode(), name)
    assert len(trace) == 5


def test_what_is_no_trace_is_named_or_listed() -> None:
    for content, says in (
        (b"PK\x03\x04" + bytes(100), "an archive; unpack it"),
        (b"PAR1" + bytes(100), "a Parquet file; write it as lines"),
        (b"<!DOCTYPE html><html></html>", "a web page; download the trace"),
        (b"trace_id,span_id,name,start\n1,2,x,3\n", "a table with commas"),
        (b'{"log": {"entries": []}}', "a HAR file; record the requests"),
        (b'{"resourceLogs": []}\n{"resourceMetrics": []}', "holds logs and metrics, and no trace"),
        (b'{"name": "x", "version": 1}', "with the fields 'name', 'version'"),
    ):
        with pytest.raises(TraceError, match=re.escape(says)) as raised:
            parse(content, "x")
        assert "\n" not in str(raised.value)
