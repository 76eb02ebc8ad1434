"""Secrets and content planted in every input of a run, and looked for in all that it leaves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.e2e.test_langsmith import clear_langsmiths_cache
from tests.langsmith_server import LangSmithServer
from tests.otlp_receiver import OtlpReceiver
from trading_graph.graph import prompts
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.otel.redaction import Redactor
from trading_graph.service.cli import main
from trading_graph.service.run.langsmith_tracer import _Anonymizer
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit

OPENAI_KEY = "planted-openai-key-4711"
LANGSMITH_KEY = "planted-langsmith-key-4712"
OTLP_TOKEN = "planted-otlp-token-4713"
URL_PASSWORD = "planted-url-password-4714"
QUERY_KEY = "planted-query-key-4715"
COOKIE = "planted-cookie-4716"
DATABASE_PASSWORD = "planted-database-password-4717"
SECRETS = (
    OPENAI_KEY,
    LANGSMITH_KEY,
    OTLP_TOKEN,
    URL_PASSWORD,
    QUERY_KEY,
    COOKIE,
    DATABASE_PASSWORD,
)

PROMPT = "planted-prompt-4718"
NEWS = "planted-news-4719"
QUOTED = "planted-quotation-4720"
CONTENT = (PROMPT, NEWS, QUOTED)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plant a text in the prompts, one in a tool's result, and all of it in a tool's error."""
    filings: Callable[..., Any] = AsyncToolkit.filings

    async def with_news(self: AsyncToolkit, *args: object) -> Any:
        answer = await filings(self, *args)
        newest = replace(answer.filings[-1], items=(NEWS,))
        return replace(answer, filings=(*answer.filings[:-1], newest))

    async def failing(self: AsyncToolkit, *args: object) -> Any:
        raise RuntimeError(
            f"The answer to {PROMPT} {NEWS} {QUOTED} of https://me:{URL_PASSWORD}@host/q?apikey="
            f"{QUERY_KEY} with Cookie: {COOKIE} and {OPENAI_KEY}, {LANGSMITH_KEY}, {OTLP_TOKEN}, "
            f"{DATABASE_PASSWORD}"
        )

    monkeypatch.setattr(AsyncToolkit, "filings", with_news)
    monkeypatch.setattr(AsyncToolkit, "statements", failing)
    monkeypatch.setattr(prompts, "_RULES", f"{prompts._RULES} {PROMPT}")
    clear_langsmiths_cache()
    yield
    clear_langsmiths_cache()


def run(jaeger_url: str, langsmith_url: str, **env: str) -> Result:
    """Run with a real model client against the offline model, every secret being set."""
    with LoopbackServer(OfflineModel(latency_s=0.02).make_app) as server:
        return CliRunner().invoke(
            main,
            ["run", "AAPL"],
            env={
                "OPENAI_API_KEY": OPENAI_KEY,
                "OPENAI_BASE_URL": f"{server.url}/v1",
                "DATABASE_PASSWORD": DATABASE_PASSWORD,
                "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger_url,
                "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {OTLP_TOKEN}",
                "LANGSMITH_ENDPOINT": langsmith_url,
                "LANGSMITH_API_KEY": LANGSMITH_KEY,
                "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
                **env,
            },
        )


def left_behind(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def found(planted: tuple[str, ...], content: dict[str, bytes]) -> list[tuple[str, str]]:
    return [
        (text, place)
        for place, said in content.items()
        for text in planted
        if text.encode() in said
    ]


def judge(workdir: Path, done: Result, sent: dict[str, bytes]) -> None:
    """Nothing planted is in what was sent, traced, spooled or logged; no secret anywhere."""
    assert done.exit_code == 0, done.output
    files = left_behind(workdir)
    said = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert found(SECRETS, {**files, **sent, **said}) == []
    telemetry = {
        place: content
        for place, content in files.items()
        if place.endswith("trace.jsonl") or "/logs/" in place
    }
    assert telemetry
    assert found(CONTENT, {**telemetry, **sent}) == []


@pytest.mark.usefixtures("planted")
def test_otlp_to_both(workdir: Path) -> None:
    jaeger, langsmith = OtlpReceiver(), OtlpReceiver()
    with jaeger.served() as jaeger_url, langsmith.served() as langsmith_url:
        done = run(
            jaeger_url,
            langsmith_url,
            TRADING_GRAPH_LANGSMITH="otlp",
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_LOGS_EXPORTER="otlp",
        )
    assert jaeger.paths == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert langsmith.bodies
    judge(
        workdir,
        done,
        {"Jaeger": b"".join(jaeger.bodies), "LangSmith": b"".join(langsmith.bodies)},
    )
    assert {each["authorization"] for each in jaeger.headers} == {f"Bearer {OTLP_TOKEN}"}
    assert {each["x-api-key"] for each in langsmith.headers} == {LANGSMITH_KEY}
    elsewhere = [
        {name: value for name, value in each.items() if name not in ("authorization", "x-api-key")}
        for each in (*jaeger.headers, *langsmith.headers)
    ]
    assert found(SECRETS, {"headers": str(elsewhere).encode()}) == []


@pytest.mark.usefixtures("planted")
def test_native_with_inputs_and_outputs_hidden(workdir: Path) -> None:
    jaeger, langsmith = OtlpReceiver(), LangSmithServer()
    with jaeger.served() as jaeger_url, langsmith.served() as langsmith_url:
        done = run(
            jaeger_url,
            langsmith_url,
            LANGSMITH_TRACING="true",
            LANGSMITH_HIDE_INPUTS="true",
            LANGSMITH_HIDE_OUTPUTS="true",
        )
    assert langsmith.bodies
    judge(
        workdir,
        done,
        {"Jaeger": b"".join(jaeger.bodies), "LangSmith": b"".join(langsmith.bodies)},
    )


def test_a_failure_is_told_by_its_class_alone_where_content_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor([OPENAI_KEY], environment={})
    error = {"error": f"ValueError('about {PROMPT} with {OPENAI_KEY}')Traceback ..."}
    clear_langsmiths_cache()
    told = _Anonymizer(redactor)(error)["error"]
    assert PROMPT in told
    assert OPENAI_KEY not in told
    monkeypatch.setenv("LANGSMITH_HIDE_INPUTS", "true")
    clear_langsmiths_cache()
    assert _Anonymizer(redactor)(error) == {"error": "ValueError"}
    clear_langsmiths_cache()


def test_an_address_of_the_model_with_a_password_is_refused(workdir: Path) -> None:
    env = {"OPENAI_BASE_URL": f"https://me:{URL_PASSWORD}@example.org/v1"}
    done = CliRunner().invoke(main, ["run", "AAPL"], env=env)
    assert done.exit_code == 2
    assert "OPENAI_BASE_URL: holds a user or a query" in done.stderr
    assert URL_PASSWORD not in done.stderr


@pytest.mark.usefixtures("planted")
def test_native_shows_content_and_still_no_secret(workdir: Path) -> None:
    langsmith = LangSmithServer()
    with langsmith.served() as langsmith_url:
        done = run("", langsmith_url, LANGSMITH_TRACING="true", OTEL_TRACES_EXPORTER="none")
    assert done.exit_code == 0, done.output
    content = {"LangSmith": b"".join(langsmith.bodies)}
    assert found(SECRETS, content) == []
    assert {text for text, _ in found(CONTENT, content)} >= {PROMPT}, "it was not hidden"


@pytest.mark.usefixtures("planted")
def test_the_spool(workdir: Path) -> None:
    jaeger = OtlpReceiver()
    jaeger.status = 400
    with jaeger.served() as jaeger_url:
        done = run(jaeger_url, "http://localhost:1")
    judge(workdir, done, {"Jaeger": b"".join(jaeger.bodies)})
    assert list((workdir / "logs/spool/jaeger").glob("*.jsonl"))


@pytest.mark.usefixtures("planted")
def test_content_is_there_when_it_is_asked_for_and_no_secret_is(workdir: Path) -> None:
    capture = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}
    done = run("", "http://localhost:1", OTEL_TRACES_EXPORTER="none", **capture)
    assert done.exit_code == 0, done.output
    traces = {
        place: content
        for place, content in left_behind(workdir).items()
        if place.endswith("trace.jsonl")
    }
    assert found(SECRETS, traces) == []
    assert {text for text, _ in found(CONTENT, traces)} >= {PROMPT, QUOTED}
