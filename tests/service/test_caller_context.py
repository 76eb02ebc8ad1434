"""`TRACEPARENT`: a run goes on in the trace of the process that started it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.jaeger_process import JaegerProcess
from trading_graph.service.cli import main

TRACE_ID, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{CALLER}-01"


def trading_graph(*words: str, **env: str) -> Result:
    fixed = {
        "OTEL_TRACES_EXPORTER": "none",
        "TRADING_GRAPH_CHAT_LATENCY_S": "0.05",
        "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
    }
    return CliRunner().invoke(main, list(words), env={**fixed, **env})


def run(**env: str) -> dict[str, Any]:
    ran = trading_graph("run", "AAPL", "--offline", "--json", **env)
    assert ran.exit_code == 0, ran.output
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def spans(workdir: Path) -> list[dict[str, Any]]:
    (folder,) = (workdir / "runs").iterdir()
    return [
        span
        for line in (folder / "trace.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_the_run_is_a_child_of_the_caller(workdir: Path) -> None:
    document = run(TRACEPARENT=SAMPLED, TRACESTATE="vendor=1")
    assert document["trace_id"] == TRACE_ID
    recorded = spans(workdir)
    assert {span["traceId"] for span in recorded} == {TRACE_ID}
    ids = {span["spanId"] for span in recorded}
    (top,) = (span for span in recorded if span.get("parentSpanId") not in ids)
    assert top["parentSpanId"] == CALLER
    assert top["traceState"] == "vendor=1"


def test_the_run_has_an_id_of_its_own_and_is_judged_by_it(workdir: Path) -> None:
    run(TRACEPARENT=SAMPLED)
    (folder,) = (workdir / "runs").iterdir()
    assert folder.name != TRACE_ID
    for word in ("last", folder.name):
        verified = trading_graph("verify", word, "--format", "json")
        document = json.loads(verified.stdout)
        assert document["complete"], verified.output
        assert document["trace_id"] == TRACE_ID


def test_of_two_runs_in_one_trace_each_is_judged(workdir: Path) -> None:
    run(TRACEPARENT=SAMPLED)
    run(TRACEPARENT=SAMPLED)
    folders = sorted((workdir / "runs").iterdir())
    assert len(folders) == 2
    both = [str(folder / "trace.jsonl") for folder in folders]
    undecided = trading_graph("verify", *both)
    assert undecided.exit_code == 3
    assert "--id" in undecided.output
    for folder in folders:
        verified = trading_graph("verify", *both, "--id", folder.name, "--format", "json")
        assert json.loads(verified.stdout)["complete"], verified.output


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{'0' * 32}-{CALLER}-01",
        f"ff-{TRACE_ID}-{CALLER}-01",
        f"00-{TRACE_ID[:-1]}-{CALLER}-01",
    ],
)
def test_a_malformed_parent_starts_a_new_trace(workdir: Path, value: str) -> None:
    document = run(TRACEPARENT=value)
    (folder,) = (workdir / "runs").iterdir()
    assert document["trace_id"] == folder.name != TRACE_ID


def test_a_caller_that_is_not_sampled_is_obeyed(workdir: Path) -> None:
    document = run(TRACEPARENT=f"00-{TRACE_ID}-{CALLER}-00")
    assert document["trace_id"] is None
    assert document["decision"]["symbol"] == "AAPL"
    assert spans(workdir) == []


@pytest.mark.jaeger
def test_in_jaeger_it_stands_in_the_callers_trace(workdir: Path, jaeger: JaegerProcess) -> None:
    where = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url,
        "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
    }
    run(TRACEPARENT=SAMPLED, **where)
    verified = trading_graph("verify", TRACE_ID, "--from", "jaeger", "--format", "json", **where)
    assert json.loads(verified.stdout)["complete"], verified.output
