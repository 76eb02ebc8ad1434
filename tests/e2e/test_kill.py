"""kill -9 in the middle of a run, and the run resumed: the same decision, and nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.faulty_model import Fault, FaultyModel
from tests.jaeger_process import JaegerProcess
from tests.patience import PATIENCE_S
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.sources import read
from trading_graph.otel.trace import ERROR, SpanTable
from trading_graph.otel.verdict import completeness, judge
from trading_graph.otel.vocabularies import Role
from trading_graph.service.cli import main
from trading_graph.service.run.folder import FolderState, folder_state
from trading_graph.service.run.resume import interrupted_runs
from trading_graph.toolkit.loopback import LoopbackServer

COMMAND = [sys.executable, "-c", "from trading_graph.service.cli import main; main()"]
CHAT_S, FETCH_S = 0.15, 0.05
ENV = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": str(CHAT_S),
    "TRADING_GRAPH_FETCH_LATENCY_S": str(FETCH_S),
}
CHAIN = 7
FIRST_LINE = 100
"""The first line of a log has fewer bytes; the first start follows."""
MOMENTS = 10
# One moment in each tenth of the run; what comes before it is the start of the process.
_random = random.Random(7)
SHARES = [(tenth + _random.random()) / MOMENTS for tenth in range(MOMENTS)]
QUICK_TENTHS = (2, 7)
"""Two of them, among the analysts and after the debate, are killed in the quick part too."""


def killed(workdir: Path, *words: str, share: float, env: Mapping[str, str] | None = None) -> Path:
    """The folder of a run whose process was killed after a share of the time that it needs."""
    before = {each: each.stat().st_size for each in workdir.glob("runs/*/trace.jsonl")}
    process = subprocess.Popen(
        [*COMMAND, "run", *words],
        cwd=workdir,
        env={**os.environ, **ENV, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    logs: list[Path] = []
    deadline = time.monotonic() + PATIENCE_S
    while not logs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
        known = workdir.glob("runs/*/trace.jsonl")
        logs = [each for each in known if each.stat().st_size > before.get(each, FIRST_LINE)]
    time.sleep(share * (CHAIN * CHAT_S + FETCH_S))
    process.kill()
    process.communicate()
    return logs[0].parent


def resumed(run_id: str, *, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["run", "--resume", run_id, "--json"], env=ENV)
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def decision_in(folder: Path) -> dict[str, Any]:
    """What was decided and on what, without what names the run, and without times of fetches."""
    decision: dict[str, Any] = json.loads((folder / "decision.json").read_text())
    for source in decision["sources"]:
        del source["retrieved"]
    return {key: value for key, value in decision.items() if key not in ("run_id", "trace_id")}


def trace_of(folder: Path) -> SpanTable:
    (trace,) = read(folder / "trace.jsonl")
    return trace


def agents(trace: SpanTable) -> Counter[str]:
    """How often each agent ended well."""
    return Counter(
        trace.names[row]
        for row, role in enumerate(trace.roles)
        if role is Role.AGENT and trace.status[row] != ERROR
    )


def assert_each_made_once(trace: SpanTable, whole: SpanTable) -> None:
    """No agent has ended twice, and one that has not ended was kept though its end was not told.

    What an agent brings is on disk within a millisecond, its span's end up to 20 ms later: a kill
    in between leaves a killed span of an agent that is not run again (docs/resume.md).
    """
    made = agents(trace)
    assert max(made.values()) == 1
    killed = {
        trace.names[row]
        for row in range(len(trace))
        if trace.attributes(row).get("error.type") == "killed"
    }
    assert agents(whole).keys() - made.keys() <= killed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    done = CliRunner().invoke(main, ["run", "AAPL", "--offline", "--out", str(out)], env=ENV)
    assert done.exit_code == 0, done.output
    (folder,) = out.iterdir()
    return folder


@pytest.mark.parametrize("share", [pytest.param(0.2, marks=pytest.mark.full), 0.6])
def test_a_resumed_run_knows_what_it_has_spent_of_its_budget(workdir: Path, share: float) -> None:
    """The calls of both lives leave none for the judge; those of the second alone would."""
    folder = killed(workdir, "AAPL", "--offline", "--max-calls", "15", share=share)
    document = json.loads(resumed(folder.name))
    assert document["decision"]["budget_reached"] == "llm_calls"
    assert document["decision"]["decision"]["action"] == "HOLD"
    assert document["decision"]["proposal"]["action"] == "BUY"
    assert sum(used["requests"] for used in document["usage"].values()) == 15


DIES_BEFORE_IT_KEEPS_THE_NEWS = """
import asyncio, os, signal
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

keep_writes, keep = AsyncSqliteSaver.aput_writes, AsyncSqliteSaver.aput
ended = asyncio.Event()

async def aput_writes(self, config, writes, *task):
    if "agent='news_analyst'" in repr(writes):
        ended.set()
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    await keep_writes(self, config, writes, *task)

async def aput(self, *checkpoint):
    if ended.is_set():
        await asyncio.sleep(60)
    return await keep(self, *checkpoint)

AsyncSqliteSaver.aput_writes, AsyncSqliteSaver.aput = aput_writes, aput

from trading_graph.service.cli import main

main()
"""


def test_an_agent_that_had_ended_and_was_not_kept_ends_once_all_the_same(
    workdir: Path, undisturbed: Path
) -> None:
    dying = [sys.executable, "-c", DIES_BEFORE_IT_KEEPS_THE_NEWS, "run", "AAPL", "--offline"]
    done = subprocess.run(dying, cwd=workdir, env={**os.environ, **ENV}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed("last")
    (folder,) = (workdir / "runs").iterdir()
    assert decision_in(folder) == decision_in(undisturbed)
    trace = trace_of(folder)
    news = trace.rows("invoke_agent news_analyst")
    errors = [trace.attributes(row).get("error.type") for row in news]
    assert errors == ["killed", None], "it had ended, but what it brought was lost"
    assert_each_made_once(trace, trace_of(undisturbed))


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(share, marks=[] if tenth in QUICK_TENTHS else pytest.mark.full)
        for tenth, share in enumerate(SHARES)
    ],
)
def test_a_killed_run_comes_to_the_same_decision(
    workdir: Path, undisturbed: Path, share: float
) -> None:
    folder = killed(workdir, "AAPL", "--offline", share=share)
    assert folder_state(folder) is FolderState.INTERRUPTED
    assert list(interrupted_runs(workdir / "runs")) == [folder.name]
    resumed("last")

    assert [each.name for each in (workdir / "runs").iterdir()] == [folder.name]
    assert folder_state(folder) is FolderState.OVER
    assert decision_in(folder) == decision_in(undisturbed)
    left = {path.name for path in folder.iterdir()}
    assert left == {path.name for path in undisturbed.iterdir()}

    trace = trace_of(folder)
    assert_each_made_once(trace, trace_of(undisturbed))
    assert completeness(trace).exact
    verdict = judge(trace, own_gate())
    assert verdict.judged
    assert len(verdict.interruptions) == 1
    assert "nobody's time" in resumed_verdict(folder)
    # The time in which no process lived is nobody's.
    (run,) = trace.roots
    assert verdict.run is not None
    dead_ns = sum(each.dead_ns for each in verdict.interruptions)
    seen = verdict.run.end_ns - verdict.run.start_ns
    assert seen == trace.duration[run] - dead_ns
    total = f"{seen / 1e9:.3f}s ({trace.duration[run] / 1e9:.3f}s with the time without a process)"
    log = (workdir / "logs/trading_graph.log").read_text("utf-8")
    assert f"Total execution time: {total}\n" in log


def resumed_verdict(folder: Path) -> str:
    return CliRunner().invoke(main, ["verify", folder.name, "--format", "markdown"]).output


def test_a_run_that_is_killed_twice_goes_on_twice(workdir: Path, undisturbed: Path) -> None:
    folder = killed(workdir, "AAPL", "--offline", share=0.25)
    assert killed(workdir, "--resume", folder.name, share=0.3) == folder
    resumed(folder.name)
    trace = trace_of(folder)
    assert decision_in(folder) == decision_in(undisturbed)
    assert completeness(trace).exact
    assert len(judge(trace, own_gate()).interruptions) == 2
    assert agents(trace) == agents(trace_of(undisturbed))


def test_a_serial_run_stays_serial_when_it_is_resumed(workdir: Path) -> None:
    folder = killed(workdir, "AAPL", "--offline", "--dispatch", "sequential", share=0.6)
    resumed(folder.name)
    verdict = judge(trace_of(folder), own_gate())
    assert verdict.judged
    failed = {each.id for each in verdict.checks if each.outcome == "fail"}
    assert {"overlap", "chain"} <= failed


def test_what_nobody_resumes_says_what_is_known(workdir: Path) -> None:
    folder = killed(workdir, "AAPL", "--offline", share=0.2)
    for command in ("verify", "diagnose"):
        for word in ("last", folder.name, str(folder / "trace.jsonl")):
            done = CliRunner().invoke(main, [command, word])
            assert done.exit_code == 3, done.output
            assert "was interrupted at" in done.stderr
            assert f"trading-graph run --resume {folder.name}" in done.stderr
            assert "invoke_agent" in done.stderr
    compared = CliRunner().invoke(main, ["compare", folder.name, "last"])
    assert compared.exit_code == 3
    assert "was interrupted at" in compared.stderr


def test_what_the_killed_process_did_not_send_is_sent(workdir: Path, jaeger: JaegerProcess) -> None:
    """Between a span's end and Jaeger lies half a second; a killed process takes that with it."""
    folder = killed(workdir, "AAPL", "--offline", share=0.5)
    recorded = len(trace_of(folder))
    assert recorded
    env = {
        **ENV,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url,
        "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
    }
    done = CliRunner().invoke(main, ["run", "--resume", "last", "--json"], env=env)
    assert done.exit_code == 0, done.output
    judged = CliRunner().invoke(
        main, ["verify", folder.name, "--from", "jaeger", "--format", "json"], env=env
    )
    document = json.loads(judged.stdout)
    assert document["complete"], document["missing"]
    assert document["spans"] == len(trace_of(folder)) > recorded
    assert document["interruptions"][0]["killed_spans"] > 0
    took = document["measures"]["wall_s"]
    assert json.loads(done.stdout)["seconds"] == pytest.approx(took, abs=0.001), "both lives"


def test_an_analyst_that_had_ended_is_not_asked_again(workdir: Path) -> None:
    """One of four analysts hangs behind; the model itself counts who asked it how often."""
    slow = Fault("news_analyst", "slow", value=10.0)
    model = FaultyModel(latency_s=0.05, faults=(slow,))
    with LoopbackServer(model.make_app) as server:
        env = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-of-the-test-0123456789"}
        folder = killed(workdir, "AAPL", share=2.0, env=env)
        before = dict(model.requests)
        done = CliRunner().invoke(main, ["run", "--resume", "last", "--json"], env={**ENV, **env})
    assert done.exit_code == 0, done.output
    others = ("market_analyst", "social_analyst", "fundamentals_analyst")
    assert before == {**dict.fromkeys(others, 2), "news_analyst": 1}
    asked = model.requests
    assert {name: asked[name] for name in others} == dict.fromkeys(others, 2)
    assert asked["news_analyst"] == 1 + 2, "an interrupted analyst pays its turns again"
    trace = trace_of(folder)
    verdict = judge(trace, own_gate())
    assert verdict.judged
    found = {each.id: each.outcome for each in verdict.checks}
    assert found["chain"] == found["errors"] == found["start"] == found["duplicates"] == "pass"
    assert set(agents(trace).values()) == {1}
