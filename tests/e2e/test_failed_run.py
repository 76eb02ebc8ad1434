"""A run that fails after its first agent: it keeps what it has, and is resumed to its decision."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.faulty_model import Fault, FaultyModel
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import completeness, judge
from trading_graph.service.cli import main
from trading_graph.service.run.folder import FolderState, folder_state
from trading_graph.toolkit.loopback import LoopbackServer

ENV = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
    "TRADING_GRAPH_QUICK_MODEL": "small",
    "TRADING_GRAPH_DEEP_MODEL": "large",
    "OPENAI_API_KEY": "sk-of-the-test-0123456789",
}
ALL_CALLS = 16
ANALYSTS = ("market_analyst", "social_analyst", "news_analyst", "fundamentals_analyst")


@contextmanager
def model_with(*faults: Fault) -> Iterator[tuple[FaultyModel, dict[str, str]]]:
    """A model with faults, and the variables with which a command asks it."""
    model = FaultyModel(latency_s=0.05, faults=faults)
    with LoopbackServer(model.make_app) as server:
        yield model, {**ENV, "OPENAI_BASE_URL": f"{server.url}/v1"}


def run(env: Mapping[str, str], *words: str) -> Result:
    return CliRunner().invoke(main, ["run", *words, "--json"], env=dict(env))


def failed(env: Mapping[str, str], *words: str) -> tuple[str, Path]:
    """The sentence with which a run fails, and its folder."""
    done = run(env, "AAPL", *words)
    assert done.exit_code == 3, done.output
    assert "Traceback" not in done.output
    (folder,) = Path("runs").iterdir()
    sentence: str = json.loads(done.stdout)["error"]["message"]
    assert "\n" not in sentence
    return sentence, folder


def resumed(env: Mapping[str, str], folder: Path) -> dict[str, Any]:
    done = run(env, "--resume", folder.name)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def totals() -> list[str]:
    """What the log says of the total times, in order."""
    lines = Path("logs/trading_graph.log").read_text("utf-8").splitlines()
    return [
        line.partition("Total execution time: ")[2]
        for line in lines
        if "Total execution time" in line
    ]


def total_of_a_resumed_run(folder: Path) -> str:
    """What the log should say: the time of the verdict, and that of the run's span."""
    trace = trace_of(folder)
    verdict = judge(trace, own_gate())
    assert verdict.run is not None
    worked_s, (root,) = verdict.run.duration_s, trace.roots
    whole_s = trace.duration[root] / 1e9
    return f"{worked_s:.3f}s ({whole_s:.3f}s with the time without a process)"


def trace_of(folder: Path) -> SpanTable:
    (trace,) = read(folder / "trace.jsonl")
    assert not trace.flaws
    return trace


@pytest.mark.parametrize("agent", ["research_manager", "trader", "risk_judge"])
def test_a_key_that_is_refused_late_costs_nothing_twice(workdir: Path, agent: str) -> None:
    with model_with(Fault(agent, "status", value=401)) as (model, env):
        sentence, folder = failed(env)
        assert f"{agent}: " in sentence
        assert "HTTP 401" in sentence
        assert sentence.endswith(f"trading-graph run --resume {folder.name}")
        assert folder_state(folder) is FolderState.FAILED

        report = (folder / "report.md").read_text()
        assert "no decision" in report.splitlines()[0]
        assert sentence in report
        for name in ANALYSTS:
            assert f"### {name.replace('_', ' ').capitalize()}" in report
        assert "### Bear researcher, round 1" in report
        assert ("## Research plan" in report) == (agent != "research_manager")
        assert ("## Trade proposal" in report) == (agent == "risk_judge")
        assert not (folder / "decision.json").exists()

        before = dict(model.requests)
        document = resumed(env, folder)
    assert document["run_id"] == folder.name
    assert document["decision"]["decision"]["action"] == "BUY"
    assert not document["decision"]["degraded"]
    assert model.requests[agent] == before[agent] + 1
    assert sum(model.requests.values()) == ALL_CALLS + 1
    # The refused call was a request too, and no call of the first life is forgotten.
    assert sum(used["requests"] for used in document["usage"].values()) == ALL_CALLS + 1
    assert "no decision" not in (folder / "report.md").read_text()
    assert folder_state(folder) is FolderState.OVER
    assert {each.name for each in folder.iterdir()} == {
        "chart.svg",
        "decision.json",
        "report.md",
        "trace.jsonl",
    }


def test_the_trace_goes_on_and_says_what_happened(workdir: Path) -> None:
    with model_with(Fault("risk_judge", "status", value=401)) as (_, env):
        _, folder = failed(env)
        # By itself it is whole, and can be judged.
        first = trace_of(folder)
        assert completeness(first).exact
        judged = CliRunner().invoke(main, ["verify", folder.name, "--format", "markdown"], env=env)
        assert "ModelRefusalError" in judged.output
        document = resumed(env, folder)
    trace = trace_of(folder)
    assert completeness(trace).exact
    assert trace.trace_id == first.trace_id
    assert len(trace.roots) == 1
    assert set(first.span_ids) < set(trace.span_ids)
    verdict = judge(trace, own_gate())
    assert verdict.judged
    (interruption,) = verdict.interruptions
    assert interruption.killed_spans == 0
    assert interruption.failure == "trading_graph.graph.errors.ModelRefusalError"
    # In the view without the interruption the judge was asked once more, and well.
    results = {each.id: each.outcome for each in verdict.checks}
    assert results["errors"] == results["chain"] == results["overlap"] == "pass"
    (root,) = trace.roots
    assert trace.duration[root] / 1e9 > document["seconds"]
    failed_total, total = totals()
    assert re.fullmatch(r"\d+\.\d{3}s", failed_total)
    assert total == total_of_a_resumed_run(folder)
    said = CliRunner().invoke(main, ["verify", folder.name, "--format", "markdown"], env=env)
    assert "it had failed at" in said.output
    assert "was killed" not in said.output


def test_analysts_that_had_reported_do_not_report_again(workdir: Path) -> None:
    """One of four is refused in its second turn: what it had paid counts, and so do the others."""
    with model_with(Fault("news_analyst", "status", call=2, value=401)) as (model, env):
        _, folder = failed(env, "--dispatch", "sequential")
        report = (folder / "report.md").read_text()
        assert "### Market analyst" in report
        assert "### News analyst" not in report
        document = resumed(env, folder)
    requests = model.requests
    assert requests["market_analyst"] == requests["social_analyst"] == 2
    assert requests["news_analyst"] == 2 + 2
    assert document["usage"]["news_analyst"]["requests"] == 2 + 2
    assert document["decision"]["missing_reports"] == []


def test_siblings_that_a_failure_cut_short_are_asked_again(workdir: Path) -> None:
    slow = Fault("social_analyst", "slow", call=2, value=30.0)
    late = Fault("news_analyst", "slow", call=2, value=1.5)
    refused = Fault("news_analyst", "status", call=3, value=401)
    # Three turns: the news analyst is refused when two others are done and one still waits.
    again = Fault("news_analyst", "endless_tools")
    with model_with(slow, late, refused, again) as (model, env):
        _, folder = failed(env, "--analyst-turns", "3")
        model.faults = ()
        document = resumed(env, folder)
    assert model.requests["market_analyst"] == model.requests["fundamentals_analyst"] == 2
    assert model.requests["social_analyst"] == 2 + 2
    assert document["decision"]["decision"]["action"] == "BUY"
    trace = trace_of(folder)
    assert completeness(trace).exact
    results = {each.id: each.outcome for each in judge(trace, own_gate()).checks}
    assert results["errors"] == "pass"


def test_a_run_may_fail_twice(workdir: Path) -> None:
    refused = [Fault(agent, "status", value=401) for agent in ("trader", "risk_judge")]
    with model_with(*refused) as (model, env):
        _, folder = failed(env)
        again = run(env, "--resume", "last")
        assert again.exit_code == 3
        assert "risk_judge: " in json.loads(again.stdout)["error"]["message"]
        assert folder_state(folder) is FolderState.FAILED
        document = resumed(env, folder)
    assert document["decision"]["decision"]["action"] == "BUY"
    assert sum(model.requests.values()) == ALL_CALLS + 2
    assert sum(used["requests"] for used in document["usage"].values()) == ALL_CALLS + 2
    trace = trace_of(folder)
    assert completeness(trace).exact
    assert len(judge(trace, own_gate()).interruptions) == 2
    assert totals()[-1] == total_of_a_resumed_run(folder), "it has both interruptions"


def test_another_model_may_decide_as_long_as_none_has(workdir: Path) -> None:
    with model_with(Fault("research_manager", "status", value=404)) as (_, env):
        sentence, folder = failed(env)
        assert "TRADING_GRAPH_DEEP_MODEL" in sentence
        other_quick = run({**env, "TRADING_GRAPH_QUICK_MODEL": "tiny"}, "--resume", folder.name)
        assert other_quick.exit_code == 3
        document = resumed({**env, "TRADING_GRAPH_DEEP_MODEL": "huge"}, folder)
    assert "huge" in document["decision"]["model"]
    assert "large" not in document["decision"]["model"]

    with model_with(Fault("trader", "status", value=401)) as (_, env):
        done = run(env, "AAPL", "--out", "others")
        assert done.exit_code == 3
        (folder,) = Path("others").iterdir()
        assert f"--resume {folder.name} --out others" in done.stderr
        other = run(
            {**env, "TRADING_GRAPH_DEEP_MODEL": "huge"}, "--resume", "last", "--out", "others"
        )
        assert other.exit_code == 3
        assert "began with small and large" in other.stderr


def test_a_key_that_is_refused_at_the_first_call_leaves_nothing_to_resume(workdir: Path) -> None:
    with model_with(Fault("*", "status", times=None, value=401)) as (_, env):
        sentence, folder = failed(env)
    assert "OPENAI_API_KEY" in sentence
    assert "--resume" not in sentence
    assert folder_state(folder) is FolderState.OVER
    assert [each.name for each in folder.iterdir()] == ["trace.jsonl"]


def test_a_failed_run_holds_no_secret(workdir: Path) -> None:
    with model_with(Fault("trader", "status", value=401)) as (_, env):
        _, folder = failed(env)
    for path in folder.iterdir():
        assert env["OPENAI_API_KEY"].encode() not in path.read_bytes(), path.name
