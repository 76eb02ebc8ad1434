"""`trading-graph verify` as a person and as a pipeline meet it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tests.jaeger_process import JaegerProcess
from tests.langsmith_server import LangSmithServer
from tests.library.traces import trace_file
from tests.recorded_program import spin
from tests.schema_files import assert_fits
from tests.undisturbed import TRIES, is_undisturbed
from trading_graph.service.cli import main
from trading_graph.toolkit.market_data import AsyncToolkit

ENVIRONMENT = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.4",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.15",
}
NOWHERE = "http://127.0.0.1:9"


def trading_graph(*words: str, input: bytes | None = None, **env: str) -> Result:
    return CliRunner().invoke(main, list(words), env={**ENVIRONMENT, **env}, input=input)


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one run was made, with sequential dispatch."""
    folder = tmp_path_factory.mktemp("slow")
    ran = trading_graph(
        *("run", "NVDA", "--offline", "--dispatch", "sequential", "--out", str(folder / "runs")),
        TRADING_GRAPH_LOG_FILE=str(folder / "logs" / "trading_graph.log"),
    )
    assert ran.exit_code == 0, ran.output
    said = " ".join(ran.stdout.split())  # where lines break depends on the figures in them
    assert "dispatched one after the other" in said, "a run ends with its verdict"
    return folder


@pytest.fixture
def slow_run(workdir: Path, slow_folder: Path) -> str:
    """That run as the only one in the current folder; returns its id."""
    shutil.copytree(slow_folder, workdir, dirs_exist_ok=True)
    return next((workdir / "runs").iterdir()).name


@pytest.mark.idle(per_cpu=1)
def test_last_passes_after_a_good_run(workdir: Path) -> None:
    for _ in range(TRIES):
        assert trading_graph("run", "NVDA", "--offline").exit_code == 0
        newest = max(workdir.glob("runs/*/trace.jsonl"), key=lambda path: path.stat().st_mtime)
        if is_undisturbed(newest):
            break
    verified = trading_graph("verify", "last")
    assert verified.exit_code == 0, verified.stdout
    assert "passed" in verified.stdout
    assert verified.stdout.count("✓") == 8


def test_a_tool_that_blocks_the_loop_is_named(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filings: Callable[..., object] = AsyncToolkit.filings

    def blocking(*args: object) -> object:
        spin(0.4)
        return filings(*args)

    monkeypatch.setattr(AsyncToolkit, "filings", blocking)
    assert trading_graph("run", "NVDA", "--offline").exit_code == 0
    verified = trading_graph("verify", "last", "--format", "json")
    assert verified.exit_code == 1
    loop = next(c for c in json.loads(verified.stdout)["checks"] if c["id"] == "loop")
    assert loop["outcome"] == "fail"
    assert "execute_tool get_company_events" in {span["name"] for span in loop["spans"]}
    assert "blocks" in loop["advice"]


def test_a_slow_run_fails_in_every_format(workdir: Path, slow_run: str) -> None:
    text = trading_graph("verify", "last")
    assert text.exit_code == 1
    assert "dispatched one after the other" in " ".join(text.stdout.split())
    assert "market_analyst" in text.stdout

    document = json.loads(trading_graph("verify", slow_run, "--format", "json").stdout)
    assert_fits(document, "verdict")
    assert document["schema_version"] == 1
    assert document["complete"] is True
    assert document["passed"] is False
    overlap = next(check for check in document["checks"] if check["id"] == "overlap")
    assert overlap["outcome"] == "fail"
    assert len(overlap["spans"]) == 4

    suite = ElementTree.fromstring(trading_graph("verify", "last", "--format", "junit").stdout)
    assert len(suite) == int(suite.attrib["tests"]) == 8
    assert len(suite.findall(".//failure")) == int(suite.attrib["failures"]) > 0

    markdown = trading_graph("verify", "last", "--format", "markdown")
    assert markdown.exit_code == 1
    assert "- [ ] Analysts overlap" in markdown.stdout
    assert "- [x] Nothing is fetched twice" in markdown.stdout

    github = trading_graph("verify", "last", "--format", "github").stdout.splitlines()
    assert len(github) == int(suite.attrib["failures"])
    assert all(line.startswith("::error title=") for line in github)


def test_a_gate_of_ones_own(workdir: Path, slow_run: str) -> None:
    gate = workdir / "gate.toml"
    gate.write_text(
        "version = 1\n[sets.calls]\nrole = 'llm'\n[[checks]]\nid = 'calls'\ntitle = 'Few calls'\n"
        "relation = 'count'\nset = 'calls'\nat_most = 16\n"
    )
    assert trading_graph("verify", "last", "--gate", str(gate)).exit_code == 0
    gate.write_text(gate.read_text().replace("16", "15"))
    assert trading_graph("verify", "last", "--gate", str(gate)).exit_code == 1
    gate.write_text(gate.read_text().replace("at_most", "at_moist"))
    refused = trading_graph("verify", "last", "--gate", str(gate))
    assert refused.exit_code == 2
    assert "line 9" in refused.stderr
    assert "at_moist" in refused.stderr


def test_standard_input_and_a_file_give_the_same(workdir: Path, slow_run: str) -> None:
    path = workdir / "runs" / slow_run / "trace.jsonl"
    from_file = trading_graph("verify", str(path), "--format", "json")
    from_stdin = trading_graph("verify", "-", "--format", "json", input=path.read_bytes())
    assert from_stdin.stdout == from_file.stdout
    assert from_stdin.exit_code == from_file.exit_code == 1


def test_a_trace_with_a_span_missing_gets_no_verdict(workdir: Path, slow_run: str) -> None:
    lines = (workdir / "runs" / slow_run / "trace.jsonl").read_text().splitlines()
    cut = workdir / "cut.jsonl"
    first = next(line for line in lines if line.startswith('{"resourceSpans":[{'))
    cut.write_text("\n".join(line for line in lines if line != first))
    verified = trading_graph("verify", str(cut))
    assert verified.exit_code == 3
    assert "No verdict" in verified.stdout
    assert "missing" in verified.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("last",), "trading-graph run AAPL"),
        (("nonsense",), "neither a file nor a trace id"),
        (("0" * 32, "--from", "file"), "is not here"),
        (("0" * 32,), "does not answer"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_exit_3(
    workdir: Path, words: tuple[str, ...], says: str
) -> None:
    verified = trading_graph("verify", *words, TRADING_GRAPH_JAEGER_URL="http://127.0.0.1:9")
    assert verified.exit_code == 3
    assert says in verified.stderr
    assert verified.stderr.count("\n") == 1
    assert verified.stdout == ""


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"{", b"<html></html>", b"[]"])
def test_rubbish_is_one_sentence_and_exit_3(workdir: Path, content: bytes) -> None:
    (workdir / "rubbish").write_bytes(content)
    verified = trading_graph("verify", "rubbish")
    assert verified.exit_code == 3
    assert "rubbish" in verified.stderr
    assert verified.stderr.count("\n") == 1


@pytest.mark.jaeger
def test_from_jaeger_the_verdict_is_the_same(workdir: Path, jaeger: JaegerProcess) -> None:
    sent = trading_graph(
        "run",
        "AAPL",
        "--offline",
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=jaeger.otlp_http_url,
        TRADING_GRAPH_JAEGER_URL=jaeger.query_url,
    )
    assert sent.exit_code == 0
    trace_id = next((workdir / "runs").iterdir()).name
    there = trading_graph(
        "verify",
        trace_id,
        "--from",
        "jaeger",
        "--format",
        "json",
        TRADING_GRAPH_JAEGER_URL=jaeger.query_url,
    )
    here = trading_graph("verify", trace_id, "--format", "json")
    assert there.exit_code == here.exit_code in (0, 1), there.output
    assert json.loads(there.stdout) == json.loads(here.stdout)


def test_parts_of_a_trace_in_several_files(workdir: Path, slow_run: str) -> None:
    lines = (workdir / "runs" / slow_run / "trace.jsonl").read_text().splitlines()
    for name, part in (("a.jsonl", lines[::2]), ("b.jsonl", lines[1::2])):
        (workdir / name).write_text("\n".join(part))
    whole = trading_graph("verify", slow_run, "--format", "json")
    parts = trading_graph("verify", "a.jsonl", "b.jsonl", "--format", "json")
    assert parts.stdout == whole.stdout
    assert trading_graph("verify", "a.jsonl").exit_code == 3
    missing = trading_graph("verify", "a.jsonl", "c.jsonl")
    assert missing.exit_code == 3
    assert "c.jsonl is no file" in missing.stderr


def test_one_of_several_traces_is_named_by_its_id(workdir: Path, slow_run: str) -> None:
    text = (workdir / "runs" / slow_run / "trace.jsonl").read_text()
    (workdir / "two.jsonl").write_text(text + text.replace(slow_run, "f" * 32))
    unnamed = trading_graph("verify", "two.jsonl")
    assert unnamed.exit_code == 3
    assert "--id" in unnamed.stderr
    assert slow_run in unnamed.stderr
    named = trading_graph("verify", "two.jsonl", "--id", slow_run)
    assert named.exit_code == 1
    assert slow_run in named.stdout
    for file in ("two.jsonl", f"runs/{slow_run}/trace.jsonl"):
        unknown = trading_graph("verify", file, "--id", "e" * 32)
        assert unknown.exit_code == 3
        said = " ".join(unknown.stderr.split())
        assert f"There is no trace {'e' * 32} in {file}; it has {slow_run}" in said


@pytest.mark.jaeger
def test_the_newest_in_jaeger(workdir: Path, jaeger: JaegerProcess) -> None:
    where: dict[str, Any] = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url,
        "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
    }
    assert trading_graph("run", "AAPL", "--offline", **where).exit_code == 0
    trace_id = next((workdir / "runs").iterdir()).name
    there = trading_graph("verify", "last", "--from", "jaeger", "--format", "json", **where)
    here = trading_graph("verify", "last", "--format", "json")
    assert json.loads(there.stdout)["trace_id"] == trace_id
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert there.exit_code == here.exit_code
    nobody = trading_graph("verify", "last", "--from", "jaeger", OTEL_SERVICE_NAME="x", **where)
    assert nobody.exit_code == 3
    assert "no trace of the service x" in nobody.stderr
    assert "trading-graph" in nobody.stderr


def test_a_received_trace_is_found_by_its_id(workdir: Path) -> None:
    (workdir / "runs/received/growing").mkdir(parents=True)
    trace_file(workdir / "runs/received/growing", f"{'b' * 32}.jsonl", trace_id="b" * 32)
    found = trading_graph("verify", "b" * 32, "--format", "json", TRADING_GRAPH_JAEGER_URL=NOWHERE)
    assert json.loads(found.stdout)["trace_id"] == "b" * 32


def test_an_id_that_is_not_here_is_said_to_be_not_here(workdir: Path) -> None:
    asked = trading_graph("verify", "c" * 32, TRADING_GRAPH_JAEGER_URL=NOWHERE)
    assert asked.exit_code == 3
    assert "is not here" in asked.stderr
    assert "Jaeger does not answer" in asked.stderr
    assert asked.stderr.count("\n") == 1
    told = trading_graph("verify", "c" * 32, "--from", "jaeger", TRADING_GRAPH_JAEGER_URL=NOWHERE)
    assert "is not here" not in told.stderr


def test_from_langsmith(workdir: Path) -> None:
    server = LangSmithServer()
    with server.served() as url:
        unknown = trading_graph("verify", "a" * 32, "--from", "langsmith", LANGSMITH_ENDPOINT=url)
        server.status = 401
        refused = trading_graph("verify", "a" * 32, "--from", "langsmith", LANGSMITH_ENDPOINT=url)
    assert unknown.exit_code == refused.exit_code == 3
    assert "has no trace" in unknown.stderr
    assert "LANGSMITH_API_KEY" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["verify", "diagnose", "compare"])
def test_what_looks_like_markup_in_a_name_is_said_as_it_is(workdir: Path, command: str) -> None:
    strange = "a[/red]b[bold].json"
    words = [strange, strange] if command == "compare" else [strange]
    done = CliRunner().invoke(main, [command, *words])
    assert done.exit_code in (2, 3)
    assert strange in done.stderr
