"""`trading-graph replay`, and what a run does of it in the background."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.jaeger_process import JaegerProcess, JaegerServer
from tests.otlp_receiver import OtlpReceiver
from trading_graph.otel.export import JAEGER, spool_of
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.cli import main

DOWN = "http://127.0.0.1:9"


def trading_graph(*words: str, sent_to: str, jaeger_url: str = DOWN, **env: str) -> Result:
    return CliRunner().invoke(
        main,
        list(words),
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": sent_to,
            "TRADING_GRAPH_JAEGER_URL": jaeger_url,
            "TRADING_GRAPH_CHAT_LATENCY_S": "0.06",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
            **env,
        },
    )


def run_of(workdir: Path) -> tuple[str, int]:
    """The newest run's trace id, and how many spans it has."""
    folder = max((workdir / "runs").iterdir())
    lines = (folder / "trace.jsonl").read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    spans = [
        span
        for document in documents
        for resource in document["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return spans[0]["traceId"], len(spans)


def spooled(workdir: Path) -> int:
    return spool_of(workdir / "logs/spool", JAEGER).spans


@pytest.mark.jaeger
def test_a_run_without_jaeger_and_a_replay_with_it(workdir: Path, jaeger: JaegerProcess) -> None:
    ran = trading_graph("run", "AAPL", "--offline", sent_to=DOWN)
    assert ran.exit_code == 0, ran.output
    trace_id, count = run_of(workdir)
    said = " ".join(ran.stdout.split())
    assert f"Nothing answers at {DOWN}/v1/traces, so {count} spans wait for Jaeger;" in said
    assert "send them with: trading-graph replay." in said
    assert spooled(workdir) == count
    where = {"sent_to": jaeger.otlp_http_url, "jaeger_url": jaeger.query_url}
    replayed = trading_graph("replay", **where)
    assert replayed.exit_code == 0, replayed.output
    assert f"{count} spans sent." in replayed.stdout
    assert spooled(workdir) == 0
    verified = trading_graph("verify", trace_id, "--from", "jaeger", **where)
    assert "complete" in verified.stdout.lower(), verified.output
    trace = JaegerQuery(jaeger.query_url).trace(trace_id)
    assert trace is not None
    assert (len(trace), trace.repeated) == (count, 0)
    again = trading_graph("replay", "last", **where)
    assert again.exit_code == 0
    assert f"0 spans sent, {count} were there already." in again.stdout


def test_what_cannot_be_sent_waits_on(workdir: Path) -> None:
    assert trading_graph("run", "AAPL", "--offline", sent_to=DOWN).exit_code == 0
    _, count = run_of(workdir)
    unasked = trading_graph("replay", sent_to=DOWN)
    assert unasked.exit_code == 3
    assert "Jaeger does not answer" in unasked.stderr
    assert "--all" in unasked.stderr
    refused = trading_graph("replay", "--all", sent_to=DOWN)
    assert refused.exit_code == 3
    assert f"{count} spans wait on; it does not take them." in refused.stdout
    assert spooled(workdir) == count
    backend = OtlpReceiver()
    with backend.served() as url:
        assert trading_graph("replay", "--all", sent_to=url).exit_code == 0
    assert len(backend.names) == count
    assert spooled(workdir) == 0


def test_a_backend_that_answers_and_takes_nothing_is_named(workdir: Path) -> None:
    backend = OtlpReceiver()
    backend.status = 400
    with backend.served() as url:
        ran = trading_graph("run", "AAPL", "--offline", sent_to=url)
    said = " ".join(ran.stdout.split())
    assert f"Jaeger did not take {run_of(workdir)[1]} spans at {url}/v1/traces;" in said
    assert "Nothing answers" not in said


def test_nothing_to_replay(workdir: Path) -> None:
    done = trading_graph("replay", sent_to=DOWN)
    assert done.exit_code == 0
    assert "0 spans sent." in done.stdout


def test_a_batch_that_cannot_be_read_is_named_and_stops_nothing(workdir: Path) -> None:
    assert trading_graph("run", "AAPL", "--offline", sent_to=DOWN).exit_code == 0
    _, count = run_of(workdir)
    folder = workdir / "logs/spool/jaeger"
    (folder / "00000000000000000001-1-0.7.jsonl").write_text("{}\n{}\n")
    backend = OtlpReceiver()
    with backend.served() as url:
        done = trading_graph("replay", "--all", sent_to=url)
    assert done.exit_code == 3
    assert "line 1, is not a line of spans" in " ".join(done.stderr.split())
    assert len(backend.names) == count


def test_words_that_name_no_run(workdir: Path) -> None:
    done = trading_graph("replay", "nonsense", sent_to=DOWN)
    assert done.exit_code == 3
    assert "nonsense is neither a file nor a trace id" in done.stderr


@pytest.mark.jaeger
def test_the_next_run_sends_it_in_the_background(
    workdir: Path, jaeger_factory: Callable[[], JaegerServer]
) -> None:
    server = jaeger_factory()
    place = server.start()
    server.stop()
    where = {"sent_to": place.otlp_http_url, "jaeger_url": place.query_url}
    assert trading_graph("run", "AAPL", "--offline", **where).exit_code == 0
    first, count = run_of(workdir)
    assert spooled(workdir) == count
    server.start()
    time.sleep(0.01)  # another run, another millisecond of its id
    slower = {**where, "TRADING_GRAPH_CHAT_LATENCY_S": "0.3"}
    assert trading_graph("run", "AAPL", "--offline", **slower).exit_code == 0
    assert spooled(workdir) == 0
    trace = JaegerQuery(place.query_url).complete(first, timeout_s=5)
    assert trace is not None
    assert (len(trace), trace.repeated) == (count, 0)
