"""The public library: what a stranger imports does what docs/library.md says."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import trading_graph as tg
from tests.jaeger_process import JaegerProcess
from tests.library import api
from tests.library.traces import trace_file, trace_json
from trading_graph import checks, testing

API = Path(api.__file__)
SCREEN = 2000
"""Characters of a terminal of 25 lines and 80 columns."""


def read(**more: Any) -> tg.Trace:
    (trace,) = tg.read(trace_json(**more))
    return trace


def without_root() -> tg.Trace:
    """A trace of which the root was lost, so that more than one span lacks its parent."""
    document = json.loads(trace_json())
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [span for span in scope["spans"] if span["parentSpanId"]]
    (trace,) = tg.read(json.dumps(document).encode())
    return trace


def test_the_api_is_what_it_says_and_no_more() -> None:
    for module in (tg, checks, testing):
        assert module.__all__ == sorted(module.__all__)
        assert all(getattr(module, name) is not None for name in module.__all__)
    public = {name for name in vars(checks) if name.isidentifier() and name[0] != "_"}
    assert public == set(checks.__all__)
    assert set(tg.__all__) <= set(dir(tg))
    with pytest.raises(AttributeError, match="no attribute 'Verdikt'"):
        tg.Verdikt  # type: ignore[attr-defined] # noqa: B018


def test_type_checkers_and_python_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(tg))
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
        if alias.asname
    }
    assert typed == set(tg.__all__)


def test_the_typed_file_uses_all_of_the_api() -> None:
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(API.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert {f"tg.{name}" for name in tg.__all__} <= attributes
    assert {f"checks.{name}" for name in checks.__all__} <= attributes


def test_a_stranger_can_use_all_of_it(tmp_path: Path) -> None:
    path = trace_file(tmp_path)
    traces = api.read_everything(path, path.read_bytes())
    assert len(traces) == 3
    name, spans, duration_s = api.look_at(traces[0])
    assert (name, spans) == ("answer", 7)
    assert duration_s == pytest.approx(0.12)
    passed, names = api.judged(traces[0], api.in_code())
    assert not passed, "calls do not start after their agents have ended"
    assert set(names) == {"chat"}
    for gate in api.in_other_ways(tmp_path / "gate.toml"):
        assert api.judged(traces[0], gate) == (True, [])
    serial = read(serial=True, trace_id="b" * 32)
    assert tg.FindingKind.SERIAL_AGENTS in api.diagnosed(serial, [])
    passed, names = api.compared(traces[0], serial)
    assert not passed
    assert set(names) == {"agent 0", "agent 1", "agent 2"}
    assert "cannot be read" in api.refused(tmp_path / "nothing.json")


def test_an_address_of_jaeger_is_read(jaeger: JaegerProcess) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{jaeger.otlp_http_url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("root") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    for path in ("trace", "api/traces", "api/v3/traces"):
        (trace,) = tg.read(f"{jaeger.query_url}/{path}/{trace_id}")
        assert trace.id == trace_id
        assert [each.name for each in trace] == ["root"]
    with pytest.raises(tg.JudgeError, match="has no trace"):
        tg.read(f"{jaeger.query_url}/trace/{'1' * 32}")


def test_spans_of_the_sdk_are_read() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("root"):
        provider.get_tracer("t").start_span("leaf", attributes={"a": 1}).end()
    (trace,) = tg.read(exporter.get_finished_spans())
    assert [(span.name, dict(span.attributes)) for span in trace] == [
        ("root", {}),
        ("leaf", {"a": 1}),
    ]


def test_whatever_cannot_be_done_is_one_exception_with_one_sentence(tmp_path: Path) -> None:
    whole, other = read(), read(trace_id="c" * 32)
    orphan = without_root()
    (tmp_path / "empty").write_bytes(b"")
    attempts: list[Callable[[], object]] = [
        lambda: tg.read(tmp_path / "nothing"),
        lambda: tg.read(tmp_path),
        lambda: tg.read(tmp_path / "empty"),
        lambda: tg.read(b"<html>"),
        lambda: tg.read(b"{}"),
        lambda: tg.read([]),
        lambda: tg.read(["a span"]),  # type: ignore[list-item]
        lambda: tg.read("http://127.0.0.1:1/trace/abc"),
        lambda: tg.read("http://127.0.0.1:1/somewhere"),
        lambda: tg.diagnose(orphan),
        lambda: tg.compare(whole, orphan),
        lambda: tg.compare(whole, []),
        lambda: tg.compare(whole, [whole, other]),
        lambda: tg.compare([whole, whole], [whole, other]),
        lambda: tg.spans_where(role="agnet"),
        lambda: tg.Gate(checks=()),
        lambda: tg.Gate(checks=(checks.Count(set="nobody"),)),
        lambda: tg.Gate(checks=(checks.Complete(), checks.Complete())),
        lambda: tg.Gate.from_toml("checks = 1"),
        lambda: tg.Gate.from_dict({"checks": [{"relation": "cuont", "set": {}}]}),
        lambda: tg.Gate.from_file(tmp_path / "nothing.toml"),
    ]
    for attempt in attempts:
        with pytest.raises(tg.JudgeError) as caught:
            attempt()
        assert str(caught.value).rstrip("`").endswith((".", "ID.")), caught.value
        assert "\n" not in str(caught.value)


def test_runs_of_different_programs_are_not_compared() -> None:
    renamed = trace_json().replace(b'"answer"', b'"other"').replace(b"agent ", b"worker ")
    with pytest.raises(tg.JudgeError, match="different programs"):
        tg.compare(read(), tg.read(renamed)[0])


def test_an_incomplete_trace_is_not_judged_and_says_why() -> None:
    verdict = tg.judge(without_root())
    assert (verdict.judged, verdict.passed, verdict.checks) == (False, False, ())
    assert "orphans" in " ".join(verdict.missing)


def test_checks_in_code_have_ids_and_titles_of_their_own() -> None:
    gate = tg.Gate(checks=(checks.Count(set=tg.spans_where(role="agent", name="a*")),))
    (check,) = gate.checks
    assert check.id == "count: role agent, name a*"
    assert check.title == "Count: role agent, name a*"


def everything_of(trace: tg.Trace, other: tg.Trace) -> list[object]:
    verdict, diagnosis, comparison = tg.judge(trace), tg.diagnose(trace), tg.compare(trace, other)
    assert verdict.measures is not None
    return [
        trace,
        *trace,
        verdict,
        *verdict.checks,
        verdict.measures,
        *verdict.measures.fan_outs,
        diagnosis,
        *diagnosis.findings,
        *diagnosis.steps,
        *diagnosis.critical_path,
        diagnosis.target,
        comparison,
        *comparison.base,
        *comparison.regressions,
        *comparison.paths,
        comparison.change,
    ]


def test_everything_is_frozen_and_its_repr_fits_on_a_screen() -> None:
    for each in everything_of(read(serial=True), read(trace_id="d" * 32)):
        assert len(repr(each)) < SCREEN, each
        assert "array(" not in repr(each)
        with pytest.raises((AttributeError, TypeError)):
            each.id = "x"  # type: ignore[attr-defined]


def test_no_row_number_crosses_the_door() -> None:
    """No public attribute of an answer is, or holds, a number of a span."""
    for each in everything_of(read(serial=True), read(trace_id="d" * 32)):
        names = [name for name in dir(each) if not name.startswith("_")]
        assert not {"row", "rows", "_row"} & set(names), each
        for name in names:
            value = getattr(each, name)
            if name in ("spans", "branches"):
                assert all(isinstance(span, tg.Span) for span in value), (each, name)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, trading_graph; heavy = {'numpy', 'msgspec', 'opentelemetry', 'rich', 'click'}"
        " & set(sys.modules); print(sorted(heavy)); trading_graph.read; "
        "print('numpy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["[]", "True"]


def test_a_part_of_a_source_is_read_on_request() -> None:
    (below,) = tg.read(trace_json(), root="agent 1")
    assert [span.name for span in below] == ["agent 1", "chat"]
    separate = tg.read(trace_json(trace_id="c" * 32) + b"\n" + trace_json(trace_id="d" * 32))
    assert len(separate) == 2
    (joined,) = tg.read(
        trace_json(trace_id="c" * 32) + b"\n" + trace_json(trace_id="d" * 32, call_ms=90), join=True
    )
    assert joined.id == "c" * 32
    assert len(joined) == 14
    with pytest.raises(tg.JudgeError, match="'nobody'"):
        tg.read(trace_json(), root="nobody")
