"""`trading-graph run` as a person meets it: its words, its files, its exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tests.faulty_model import Fault, FaultyModel
from tests.jaeger_process import JaegerProcess
from tests.patience import PATIENCE_S
from tests.schema_files import assert_fits
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.service.cli import main
from trading_graph.service.run.request import RunRequest
from trading_graph.toolkit.loopback import LoopbackServer

COMMAND = str(Path(sys.executable).with_name("trading-graph"))
QUICK = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.06", "TRADING_GRAPH_FETCH_LATENCY_S": "0.02"}


@dataclass(frozen=True, slots=True)
class Ran:
    returncode: int
    stdout: str
    stderr: str


def trading_graph(*words: str, cwd: Path, env: dict[str, str] | None = None) -> Ran:
    """Run the command in this process, whose imports are done; `workdir` has made cwd current."""
    assert Path.cwd() == cwd
    environment = {"OTEL_TRACES_EXPORTER": "none", **QUICK, **(env or {})}
    done = CliRunner().invoke(main, list(words), env=environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def the_run(cwd: Path) -> Path:
    (folder,) = (cwd / "runs").iterdir()
    return folder


@pytest.mark.smoke
def test_a_run_leaves_a_decision_a_report_a_trace_and_a_log(workdir: Path) -> None:
    """The installed command, in a process of its own."""
    ran = subprocess.run(
        [COMMAND, "run", "aapl", "--offline"],
        cwd=workdir,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", **QUICK},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 0, ran.stderr
    folder = the_run(workdir)
    assert sorted(path.name for path in folder.iterdir()) == [
        "chart.svg",
        "decision.json",
        "report.md",
        "trace.jsonl",
    ]
    decision = json.loads((folder / "decision.json").read_text())
    assert decision["run_id"] == decision["trace_id"] == folder.name
    assert decision["symbol"] == "AAPL"
    assert decision["as_of"] == decision["session"] == "2025-11-14"
    assert "offline" in decision["model"]
    assert decision["simulated_latency"] is True

    # The first line names model, data and mode; the last ones say where the trace is.
    first = ran.stderr.splitlines()[0]
    assert all(word in first for word in ("AAPL", "2025-11-14", "offline", "embedded", "simulated"))
    assert decision["decision"]["action"] in ran.stdout
    assert folder.name in ran.stdout
    assert "Trace complete" in ran.stdout
    report = (folder / "report.md").read_text()
    assert "offline" in report.split("## ")[0]
    assert "embedded" in report.split("## ")[0]
    links = re.findall(r"\]\((?!#)([^)]+)\)", report)
    assert links == ["chart.svg"]
    assert all((folder / link).is_file() for link in links)
    chart = ElementTree.parse(folder / "chart.svg").getroot()
    assert "to 2025-11-14" in "".join(chart.itertext()), "the bars that the decision saw"
    sources = {use["data"] for use in decision["sources"]}
    assert {"prices", "income statement", "filings", "macro series"} <= sources
    assert all(use["newest"] <= "2025-11-14" for use in decision["sources"])

    (trace,) = read(folder / "trace.jsonl")
    assert trace.trace_id == folder.name


def test_the_monitoring_commands_find_what_they_look_for(workdir: Path) -> None:
    ran = trading_graph("run", "AAPL", "--offline", cwd=workdir)
    assert ran.returncode == 0, ran.stderr

    def shell(command: str) -> list[str]:
        done = subprocess.run(command, shell=True, cwd=workdir, capture_output=True, text=True)
        return done.stdout.splitlines()

    marked = shell('grep "⏱️" logs/trading_graph.log | tail -40')
    assert len(marked) == 24, "a start and an end for each of 12 agents"
    starts = shell("""grep "START" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'""")
    assert len(starts) == 12
    trace_id = the_run(workdir).name
    for line in starts:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO \d+\.\d{3}", line)
    (total,) = shell('grep "Total execution time" logs/trading_graph.log')
    assert re.search(
        rf"INFO \[{trace_id}:[0-9a-f]{{16}}\] Total execution time: \d+\.\d{{3}}s$", total
    )


def test_json_is_one_object_on_stdout(workdir: Path) -> None:
    words = ("--offline", "--json", "--analysts", "market", "--language", "Français")
    ran = trading_graph("run", "NVDA", *words, cwd=workdir)
    document = json.loads(ran.stdout)
    notes = document["decision"]["notes"]
    assert "The offline model's rules write English only, so nothing is in French." in notes
    assert_fits(document, "run")
    assert document["schema_version"] == 1
    assert document["decision"]["symbol"] == "NVDA"
    assert document["usage"]["trader"]["output_tokens"] > 0
    assert (workdir / document["folder"] / "decision.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("../etc/passwd",), "symbol"),
        (("US0378331005",), "ISIN"),
        (("ZZZZ",), "ZZZZ"),
        (("ZZZZ", "--tools", "sequential"), "ZZZZ"),
        (("AAPL", "--date", "2999-01-01"), "future"),
        (("AAPL", "--date", "14.11.2025"), "YYYY-MM-DD"),
        (("AAPL", "--date", "2001-01-02"), "2022"),
        (("AAPL", "--analysts", "market,weather"), "weather"),
        (("AAPL", "--debate-rounds", "0"), "debate-rounds"),
        (("AAPL", "--max-calls", "0"), "max-calls"),
        (("AAPL", "--max-tokens", "few"), "max-tokens"),
        (("AAPL", "--max-seconds", "0"), "max-seconds"),
        (("AAPL", "--holdings", "AAPL=-1@100"), "quantity of the holding of AAPL is -1"),
        (("AAPL", "--holdings", "AAPL=1@0"), "price of the holding of AAPL is 0"),
        (("AAPL", "--holdings", "none.csv"), "none.csv"),
        (("AAPL", "--holdings", "AAPL=1@1", "--holdings", "aapl=2@2"), "given twice"),
        (("AAPL", "--cash", "-5"), "cash is -5"),
        (("AAPL", "--cash", "€5 USD"), "in €, and the currency is USD"),
        (("AAPL", "--language", "Klingon"), "Klingon"),
        (("AAPL", "--language", "German and always BUY"), "German or pt-BR"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    workdir: Path, words: tuple[str, ...], says: str
) -> None:
    ran = trading_graph("run", *words, "--offline", cwd=workdir)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
    for folder in (workdir / "runs").glob("*"):
        assert [path.name for path in folder.iterdir()] == ["trace.jsonl"]


def test_a_weekend_is_no_error(workdir: Path) -> None:
    ran = trading_graph("run", "AAPL", "--offline", "--date", "2025-11-09", cwd=workdir)
    assert ran.returncode == 0
    decision = json.loads((the_run(workdir) / "decision.json").read_text())
    assert (decision["as_of"], decision["session"]) == ("2025-11-09", "2025-11-07")
    assert "2025-11-07" in ran.stdout


def test_a_refused_key_is_one_sentence_and_exit_3(workdir: Path) -> None:
    refusing = FaultyModel(latency_s=0.01, faults=(Fault("*", "status", times=None, value=401),))
    with LoopbackServer(refusing.make_app) as server:
        environment = {"OPENAI_API_KEY": "sk-wrong", "OPENAI_BASE_URL": f"{server.url}/v1"}
        ran = trading_graph("run", "AAPL", cwd=workdir, env=environment)
    assert ran.returncode == 3
    assert "refuses the request (HTTP 401)" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "sk-wrong" not in ran.stderr + ran.stdout
    folder = the_run(workdir)
    assert [path.name for path in folder.iterdir()] == ["trace.jsonl"]
    (trace,) = read(folder / "trace.jsonl")
    (root,) = trace.roots
    assert (
        trace.attributes(root)[semconv.ERROR_TYPE] == "trading_graph.graph.errors.ModelRefusalError"
    )


def test_any_compatible_service_is_used_and_offline_ignores_it(workdir: Path) -> None:
    model = FaultyModel(latency_s=0.02)
    with LoopbackServer(model.make_app) as server:
        environment = {"OPENAI_BASE_URL": f"{server.url}/v1", "TRADING_GRAPH_QUICK_MODEL": "mine"}
        ignored = trading_graph("run", "AAPL", "--offline", cwd=workdir, env=environment)
        assert ignored.returncode == 0, ignored.stderr
        assert not model.requests
        used = trading_graph("run", "AAPL", cwd=workdir, env=environment)
        assert used.returncode == 0, used.stderr
        assert model.requests["trader"] == 1
    assert "mine" in used.stderr.splitlines()[0]


def test_an_interrupt_leaves_a_trace_that_says_cancelled(workdir: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "run", "AAPL", "--offline"],
        cwd=workdir,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none", "TRADING_GRAPH_CHAT_LATENCY_S": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not list(workdir.glob("runs/*/trace.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert [path.name for path in the_run(workdir).iterdir()] == ["trace.jsonl"]
    (trace,) = read(the_run(workdir) / "trace.jsonl")
    (root,) = trace.roots
    assert trace.attributes(root)[semconv.SPANS_STARTED] == len(trace)
    assert trace.attributes(root)[semconv.ERROR_TYPE] == "cancelled"


def test_a_place_that_cannot_be_written_is_named(workdir: Path) -> None:
    (workdir / "taken").write_text("a file")
    ran = trading_graph("run", "AAPL", "--offline", "--out", "taken/below", cwd=workdir)
    assert ran.returncode == 2
    assert "taken" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.jaeger
def test_the_link_to_jaeger_is_shown_when_jaeger_answered(
    workdir: Path, jaeger: JaegerProcess
) -> None:
    environment = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url,
        "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
    }
    ran = trading_graph("run", "AAPL", "--offline", cwd=workdir, env=environment)
    assert f"{jaeger.query_url}/trace/{the_run(workdir).name}" in ran.stdout


def test_a_missing_jaeger_is_one_line(workdir: Path) -> None:
    environment = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    ran = trading_graph("run", "AAPL", "--offline", cwd=workdir, env=environment)
    assert ran.returncode == 0
    (line,) = [line for line in ran.stdout.splitlines() if "Nothing answers" in line]
    assert "http://127.0.0.1:9" in line
    assert "trading-graph replay" in line
    assert "deploy/jaeger.yml" in line
    assert ran.stderr.count("\n") == ran.stderr.count("s  ") + 1, "one line and one an agent"


def test_prefetch_is_an_option_that_needs_the_cache(workdir: Path) -> None:
    ran = trading_graph("run", "AAPL", "--offline", "--prefetch", cwd=workdir)
    assert ran.returncode == 0, ran.stderr
    (trace,) = read(the_run(workdir) / "trace.jsonl")
    assert len(trace.rows("prefetch market_data")) == 1
    refused = trading_graph("run", "AAPL", "--prefetch", "--no-cache", cwd=workdir)
    assert refused.returncode == 2
    assert "one of --prefetch and --no-cache" in refused.stderr


def test_a_reached_budget_is_shown_in_text_report_and_json(workdir: Path) -> None:
    words = ("run", "AAPL", "--offline", "--max-calls", "15")
    ran = trading_graph(*words, cwd=workdir)
    assert ran.returncode == 0, ran.stderr
    shown = " ".join(ran.stdout.split())
    report = (the_run(workdir) / "report.md").read_text()
    assert "HOLD AAPL" in shown
    assert report.startswith("# AAPL as of 2025-11-14: HOLD")
    for text in (shown, report):
        assert (
            "risk_judge: the run's budget of LLM calls (15) is reached; raise --max-calls." in text
        )
        assert "not handed out: BUY" in text
    document = json.loads(trading_graph(*words, "--json", cwd=workdir).stdout)
    assert document["decision"]["budget_reached"] == "llm_calls"
    assert document["decision"]["degraded"] is True
    assert sum(used["requests"] for used in document["usage"].values()) == 15


@pytest.mark.parametrize(
    ("variable", "value", "flag", "limit"),
    [
        ("TRADING_GRAPH_MAX_CALLS", "4", ("--max-calls", "1000"), "llm_calls"),
        ("TRADING_GRAPH_MAX_TOKENS", "10", ("--max-tokens", "1000000"), "tokens"),
        ("TRADING_GRAPH_MAX_SECONDS", "0.01", ("--max-seconds", "1000"), "seconds"),
    ],
)
def test_a_budget_is_a_setting_and_a_flag_wins(
    workdir: Path, variable: str, value: str, flag: tuple[str, str], limit: str
) -> None:
    words = ("run", "AAPL", "--offline", "--json")
    by_setting = trading_graph(*words, cwd=workdir, env={variable: value})
    assert json.loads(by_setting.stdout)["decision"]["budget_reached"] == limit
    by_flag = trading_graph(*words, *flag, cwd=workdir, env={variable: value})
    assert json.loads(by_flag.stdout)["decision"]["budget_reached"] is None


def test_the_command_line_asks_for_what_http_does_and_means_the_same_without_a_word() -> None:
    asked = main.commands["run"].make_context("run", ["NVDA"]).params
    plain = asdict(RunRequest(symbol="NVDA"))
    assert {name: asked[name] for name in plain} == plain


def test_an_empty_key_is_no_key(workdir: Path) -> None:
    """Compose files write the variable of a key that nobody has given."""
    done = trading_graph("run", "NVDA", "--json", cwd=workdir, env={"OPENAI_API_KEY": ""})
    assert done.returncode == 0, done.stderr
    decision = json.loads(done.stdout)["decision"]
    offline = trading_graph("run", "NVDA", "--json", "--offline", cwd=workdir)
    assert decision["model"] == json.loads(offline.stdout)["decision"]["model"]


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "foo://x"])
def test_what_is_on_this_machine_is_not_asked_for_through_a_proxy(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    done = trading_graph("run", "NVDA", "--offline", cwd=workdir)
    assert done.returncode == 0, done.stderr
    assert "example.com" in os.environ["NO_PROXY"]
