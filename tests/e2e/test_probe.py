"""What a probe says of this program's own runs, against what its graph declares."""

import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.recording import COMMAND, ROOT
from tests.service.test_probe_command import probe
from trading_graph.otel.trace.dependencies import Dependencies

pytestmark = [pytest.mark.alone, pytest.mark.full, pytest.mark.timeout(900)]

MARKET, NEWS = "invoke_agent market_analyst", "invoke_agent news_analyst"
RUNS = 6
Pairs = set[tuple[str, str]]


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of the model that are long beside the program's own work, and no longer."""
    monkeypatch.setenv("TRADING_GRAPH_CHAT_LATENCY_S", "0.4")


def probed(folder: Path, *options: str) -> Dependencies:
    """The dependencies of an offline run of two analysts."""
    run = ["-c", COMMAND.format(str(ROOT)), "run", "AAPL", "--offline", "--analysts", "market,news"]
    words = ["--runs", str(RUNS), "--instrument", "none", "--out", "order.json"]
    program = ["--", sys.executable, *run, *options]
    done = probe(folder, *words, *program, patience_s=5 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return Dependencies.from_json((folder / "order.json").read_bytes())


def waits_of_agents(found: Dependencies) -> Pairs:
    """All spans below the run that wait for each other, directly or through others."""
    path = [each.path for each in found.spans]
    return {
        (path[before][0], path[after][0])
        for after, closure in enumerate(found.closure)
        for before in closure
        if len(path[before]) == len(path[after]) == 1
    }


def waits_of_tools(found: Dependencies) -> tuple[Pairs, Pairs]:
    """The tools of the market analyst of which one waits for the other, and those left open."""
    tools = [
        number
        for number, each in enumerate(found.spans)
        if each.path[0] == MARKET and len(each.path) == 2 and each.path[1].startswith("execute")
    ]
    assert len(tools) > 1
    name = {number: f"{found.spans[number].path[1]} {number}" for number in tools}
    pairs = [(a, b) for b in tools for a in tools]
    waits = {(name[a], name[b]) for a, b in pairs if a in found.closure[b]}
    return waits, {(name[a], name[b]) for a, b in pairs if a in found.spans[b].open}


def test_what_runs_at_once_does_not_wait_for_each_other(tmp_path: Path) -> None:
    found = probed(tmp_path)
    agents = waits_of_agents(found)
    assert {("dispatch analysts", MARKET), ("dispatch analysts", NEWS)} <= agents
    assert {(MARKET, "aggregate reports"), (NEWS, "aggregate reports")} <= agents
    assert not {(MARKET, NEWS), (NEWS, MARKET)} & agents
    waits, _ = waits_of_tools(found)
    assert not waits


def test_what_is_made_to_run_in_turn_waits_for_each_other(tmp_path: Path) -> None:
    """The graph's own slow variants: one analyst after the other, and one tool after the other."""
    found = probed(tmp_path, "--dispatch", "sequential", "--tools", "sequential")
    agents = waits_of_agents(found)
    assert {(MARKET, "aggregate reports"), (NEWS, "aggregate reports")} <= agents
    assert len({(MARKET, NEWS), (NEWS, MARKET)} & agents) == 1
    # Tools of a tenth of a second are short beside what a run of seconds varies by: they may stay
    # open, and what is claimed is never wrong.
    waits, open_ = waits_of_tools(found)
    assert waits or open_
    assert not {(b, a) for a, b in waits} & waits
