"""Where the command line keeps market data: live data in a file, embedded data nowhere."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.live_servers import FRED_KEY, LiveServers, live_servers
from tests.service.test_data_modes import QUICK, live_environment, run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.service.cli import main
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.order import RunOrder
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import backend_choice, read_settings
from trading_graph.toolkit.live_access import Mode

FILE = Path("cache/market_data.sqlite")
DEFAULT = {"TRADING_GRAPH_CACHE_FILE": ""}


@pytest.mark.idle(per_cpu=1)
def test_a_second_live_run_takes_from_the_file_what_the_first_has_fetched(workdir: Path) -> None:
    with live_servers() as servers:
        environment = live_environment(servers) | DEFAULT
        first = run("--data", "live", **environment)
        assert servers.asked
        assert FILE.is_file()
        servers.asked.clear()
        second = run("--data", "live", **environment)
        assert not servers.asked, "not even while its last data was written"
        tools = cache_of_tools(run_id_of(second.stdout))
        assert tools
        assert {outcome for outcome, _ in tools} == {"hit"}
        assert all(age_s is not None and age_s > 0 for _, age_s in tools)
        verified = CliRunner().invoke(main, ["verify", "last"], env=QUICK)
        assert verified.exit_code == 0, verified.stdout
        table = data_of(servers)
        assert "answers came from the cache file" in table
        assert "No fetch was recorded" not in table
        assert run("--data", "live", "--no-cache", **environment).exit_code == 0
        assert servers.asked
    one, other = (json.loads(done.stdout)["decision"] for done in (first, second))
    assert one["decision"] == other["decision"]
    assert not any(FRED_KEY.encode() in path.read_bytes() for path in FILE.parent.iterdir())


def run_id_of(document: str) -> str:
    """The id of the run that a document tells of."""
    run_id: str = json.loads(document)["decision"]["run_id"]
    return run_id


def cache_of_tools(run_id: str) -> list[tuple[object, float | None]]:
    """What the cache did for each tool of a run, and how old its data was."""
    (trace,) = read(Path("runs") / run_id / "trace.jsonl")
    said = [trace.attributes(row) for row in trace.rows("execute_tool ")]
    return [(each.get(semconv.CACHE), each.get(semconv.CACHE_AGE_S)) for each in said]


def data_of(servers: LiveServers) -> str:
    """What `data` says on stderr."""
    done = CliRunner().invoke(
        main,
        ["data", "NVDA", "--date", "2025-11-14", "--data", "live"],
        env=QUICK | live_environment(servers) | DEFAULT,
    )
    assert done.exit_code == 0, done.stderr
    return " ".join(done.stderr.split())


def test_embedded_data_is_not_kept(workdir: Path) -> None:
    """A run on it has to fetch: that is what its trace shows."""
    for _ in range(2):
        done = run("--offline", **DEFAULT)
        assert {outcome for outcome, _ in cache_of_tools(run_id_of(done.stdout))} > {"miss"}
    assert not FILE.parent.exists()


@pytest.mark.parametrize(
    ("setting", "mode", "file"),
    [
        ("", "live", FILE),
        ("", "auto", FILE),
        ("", "offline", None),
        ("elsewhere/data.sqlite", "live", Path("elsewhere/data.sqlite")),
        ("none", "live", None),
    ],
)
def test_the_setting_and_the_data_say_where(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, setting: str, mode: Mode, file: Path | None
) -> None:
    monkeypatch.setenv("TRADING_GRAPH_CACHE_FILE", setting)
    assert backend_choice(read_settings(), offline=False, data=mode).cache_file == file
    assert backend_choice(read_settings(), offline=True, data=mode).cache_file is None


@pytest.mark.parametrize(("began", "now"), [("live", "offline"), ("offline", "live")])
def test_a_resumed_run_keeps_its_data_where_it_began(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, began: Mode, now: str
) -> None:
    monkeypatch.setenv("TRADING_GRAPH_CACHE_FILE", "")
    monkeypatch.setenv("TRADING_GRAPH_DATA", now)
    order = RunOrder.of(RunRequest(symbol="NVDA"), BackendChoice(data=began), LangSmithMode.OFF)
    assert order.choice(read_settings()).cache_file == (FILE if began == "live" else None)


def test_a_portfolio_keeps_embedded_data_too(workdir: Path) -> None:
    """Several evenings over the same days ask for the same data."""
    words = ["portfolio", "run", "NVDA", "--offline", "--analysts", "market", "--json", "--again"]
    outcomes = []
    for _ in range(2):
        done = CliRunner().invoke(main, words, env=QUICK | DEFAULT)
        assert done.exit_code == 0, done.output
        (of,) = json.loads(done.stdout)["ticker_days"]
        outcomes.append({outcome for outcome, _ in cache_of_tools(of["run_id"])})
    assert outcomes[0] >= {"miss"}
    assert outcomes[1] == {"hit"}
    assert FILE.is_file()
