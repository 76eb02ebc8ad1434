"""What a probe says of this program's own runs, against what its graph declares."""

import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.recording import COMMAND, ROOT
from tests.service.test_probe_command import probe
from trading_graph.otel.trace.dependencies import Dependencies

pytestmark = [pytest.mark.alone, pytest.mark.full]

ANALYSTS = "market,news"
Waits = set[tuple[str, str]]


def probed(folder: Path, *options: str) -> tuple[Dependencies, Waits]:
    """The dependencies of an offline run, and all that wait for each other, by the last name."""
    run = ["-c", COMMAND.format(str(ROOT)), "run", "AAPL", "--offline", "--analysts", ANALYSTS]
    words = ["--runs", "8", "--instrument", "none", "--out", "order.json"]
    program = ["--", sys.executable, *run, *options]
    done = probe(folder, *words, *program, patience_s=5 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found = Dependencies.from_json((folder / "order.json").read_bytes())
    names = [each.path[-1] for each in found.spans]
    waits = {
        (names[before], names[after])
        for after, closure in enumerate(found.closure)
        for before in closure
    }
    return found, waits


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dispatch", ["parallel", "sequential"])
def test_analysts_wait_for_each_other_where_they_are_sent_in_turn(
    tmp_path: Path, dispatch: str
) -> None:
    _, waits = probed(tmp_path, "--dispatch", dispatch)
    market, news = "invoke_agent market_analyst", "invoke_agent news_analyst"
    assert ("dispatch analysts", market) in waits
    assert {(market, "aggregate reports"), (news, "aggregate reports")} <= waits
    in_turn = {(market, news), (news, market)} & waits
    assert len(in_turn) == (1 if dispatch == "sequential" else 0)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("tools", ["parallel", "sequential"])
def test_tools_wait_for_each_other_where_they_run_in_turn(tmp_path: Path, tools: str) -> None:
    found, _ = probed(tmp_path, "--tools", tools)
    names = [each.path[-1] for each in found.spans]
    calls = [
        number
        for number, each in enumerate(found.spans)
        if each.path[0] == "invoke_agent market_analyst"
        and len(each.path) == 2
        and names[number].startswith("execute_tool")
    ]
    waits = [(a, b) for b in calls for a in calls if a in found.closure[b]]
    open_ = [(a, b) for b in calls for a in calls if a in found.spans[b].open]
    # Calls of a tenth of a second are short beside what a run of seconds varies by: they may stay
    # open, and what is claimed is never wrong.
    assert bool(waits or open_) is (tools == "sequential")
    assert not waits or tools == "sequential"
