"""`trading-graph doctor`: every red line is true, says what to do, and goes when it is done."""

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from tests.jaeger_process import JaegerProcess
from tests.langsmith_server import LangSmithServer
from tests.schema_files import assert_fits
from trading_graph.otel.export import JAEGER, spool_of
from trading_graph.service.cli import main
from trading_graph.toolkit.loopback import LoopbackServer


def doctor(*words: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *words], env={"OTEL_TRACES_EXPORTER": "none", **env})


def findings(**env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = doctor("--json", **env)
    document = json.loads(done.stdout)
    assert_fits(document, "doctor")
    assert document["well"] == (done.exit_code == 0)
    return done.exit_code, {each["check"]: each for each in document["findings"]}


def test_all_is_well_without_backends(workdir: Path) -> None:
    done = doctor()
    assert done.exit_code == 0, done.stdout
    assert "All is well." in done.stdout
    assert list(workdir.iterdir()) == [], "it looks and leaves nothing"


def test_a_jaeger_that_does_not_answer_is_red(workdir: Path) -> None:
    code, found = findings(
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        TRADING_GRAPH_JAEGER_URL="http://127.0.0.1:9",
    )
    assert code == 1
    for check in ("spans to Jaeger", "traces from Jaeger"):
        assert found[check]["state"] == "red"
        assert "deploy/jaeger.yml" in found[check]["advice"]


@pytest.mark.jaeger
def test_a_jaeger_that_answers_is_named_with_its_version(
    workdir: Path, jaeger: JaegerProcess
) -> None:
    code, found = findings(
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.otlp_http_url,
        TRADING_GRAPH_JAEGER_URL=jaeger.query_url,
    )
    assert code == 0, found
    assert jaeger.query_url in found["traces from Jaeger"]["found"]
    assert found["clock"]["state"] == "ok"


def test_what_waits_is_red_until_it_is_gone(workdir: Path) -> None:
    spool = spool_of(workdir / "logs/spool", JAEGER)
    context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))
    spool.put([ReadableSpan("s", context=context, start_time=1, end_time=2)])
    code, found = findings()
    assert code == 1
    assert found["spool for Jaeger"]["found"].startswith("1 spans wait")
    assert found["spool for Jaeger"]["advice"] == "trading-graph replay"
    spool.batches()[0].remove()
    assert findings()[0] == 0


def test_langsmith_says_whether_it_takes_the_key(workdir: Path) -> None:
    langsmith = LangSmithServer()
    with langsmith.served() as url:
        env = {
            "LANGSMITH_ENDPOINT": url,
            "TRADING_GRAPH_LANGSMITH": "otlp",
            "LANGSMITH_API_KEY": "ls-secret",
        }
        code, found = findings(**env)
        assert (code, found["LangSmith"]["state"]) == (0, "ok")
        langsmith.status = 401
        code, found = findings(**env)
    assert code == 1
    assert "refuses the key" in found["LangSmith"]["found"]
    assert "ls-secret" not in str(found)


def test_a_clock_that_is_wrong_is_red(workdir: Path) -> None:
    async def projects(request: web.Request) -> web.Response:
        tomorrow = formatdate(4_000_000_000, usegmt=True)
        return web.json_response([], headers={"Date": tomorrow})

    def make_app() -> web.Application:
        app = web.Application()
        app.router.add_get("/sessions", projects)
        return app

    with LoopbackServer(make_app) as server:
        code, found = findings(
            LANGSMITH_ENDPOINT=server.url,
            TRADING_GRAPH_LANGSMITH="otlp",
            LANGSMITH_API_KEY="ls-secret",
        )
    assert code == 1
    assert "behind LangSmith's" in found["clock"]["found"]


def test_a_setting_that_cannot_be_used_is_a_finding(workdir: Path) -> None:
    code, found = findings(TRADING_GRAPH_CHAT_LATENCY_S="-1")
    assert code == 1
    assert "TRADING_GRAPH_CHAT_LATENCY_S" in found["settings"]["found"]


def test_a_model_that_nobody_serves_is_red(workdir: Path) -> None:
    code, found = findings(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert code == 1
    assert "--offline" in found["model"]["advice"]
