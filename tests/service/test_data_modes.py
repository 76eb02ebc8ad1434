"""`run --data`: live sources by settings, and no connection anywhere without being told."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.live_servers import FRED_KEY, LiveServers, live_servers
from trading_graph.service.cli import main

QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.06",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
}


def run(*words: str, **environment: str) -> Result:
    done = CliRunner().invoke(
        main, ["run", "NVDA", "--date", "2025-11-14", "--json", *words], env=QUICK | environment
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def live_environment(servers: LiveServers) -> dict[str, str]:
    return {
        "TRADING_GRAPH_LIVE_URLS": json.dumps(asdict(servers.urls)),
        "TRADING_GRAPH_SEC_USER_AGENT": "Somebody somebody@example.org",
        "FRED_API_KEY": FRED_KEY,
    }


def test_live_and_offline_runs_give_the_same_numbers(workdir: Path) -> None:
    with live_servers() as servers:
        live = run("--data", "live", **live_environment(servers))
        assert servers.paths("companyfacts")
    offline = run("--offline")
    assert (live.exit_code, offline.exit_code) == (0, 0), live.stderr
    theirs, ours = (json.loads(done.stdout)["decision"] for done in (live, offline))
    for part in ("decision", "plan", "proposal", "session"):
        assert theirs[part] == ours[part]
    assert "data: live (Yahoo, SEC, FRED" in live.stderr
    left = [path for path in workdir.rglob("*") if path.is_file()]
    assert not any(FRED_KEY.encode() in path.read_bytes() for path in left)
    assert FRED_KEY not in live.stdout + live.stderr


def test_a_live_run_without_keys_says_at_its_start_what_is_not_set(workdir: Path) -> None:
    with live_servers() as servers:
        urls = live_environment(servers)["TRADING_GRAPH_LIVE_URLS"]
        done = run("--data", "live", TRADING_GRAPH_LIVE_URLS=urls)
        assert servers.paths("companyfacts") == []
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "TRADING_GRAPH_SEC_USER_AGENT and FRED_API_KEY not set" in said


def test_auto_stands_in_for_what_fails_and_offline_and_default_ask_no_live_source(
    workdir: Path,
) -> None:
    with live_servers() as servers:
        environment = live_environment(servers)
        servers.faults["sec_data"] = "unavailable"
        auto = run("--data", "auto", **environment)
        assert servers.asked
        servers.asked.clear()
        for words in ((), ("--offline",), ("--offline", "--data", "live")):
            assert run(*words, **environment).exit_code == 0
        assert servers.asked == []
    assert auto.exit_code == 0, auto.stderr
    assert "where that fails, embedded" in " ".join(auto.stderr.split())


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ('{"yahu": "http://127.0.0.1:1"}', "names an unknown live source: use yahoo, sec_data"),
        ('{"yahoo": "file:///etc/passwd"}', "the address of yahoo is not an http URL"),
        ("not json", "TRADING_GRAPH_LIVE_URLS is not JSON"),
    ],
)
def test_an_address_that_is_none_is_a_usage_error(workdir: Path, urls: str, said: str) -> None:
    done = run("--data", "live", TRADING_GRAPH_LIVE_URLS=urls)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "passwd" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rate_limited", "says that there were too many requests: try later"),
        ("unavailable", "is not asked for now, after 5 failures in a row: try again in"),
        ("html", "that is not JSON"),
    ],
)
def test_a_live_run_without_prices_is_one_sentence_with_the_next_step_and_exit_code_3(
    workdir: Path, fault: str, said: str
) -> None:
    with live_servers() as servers:
        servers.faults["yahoo"] = fault
        done = run("--data", "live", "--agent-budget", "2", **live_environment(servers))
    assert done.exit_code == 3, done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error:")]
    assert said in sentence
    # The command that resumes it stands last, without a full stop, so that it can be copied.
    (folder,) = (workdir / "runs").iterdir()
    assert sentence.endswith(f" resume the run with: trading-graph run --resume {folder.name}")
    error = json.loads(done.stdout)["error"]
    assert sentence == f"Error: {error['message']}"


def test_a_live_run_whose_prices_never_end_is_a_marked_hold_and_exit_code_0(
    workdir: Path,
) -> None:
    """A time budget that is over keeps what was paid for, as docs/decisions.md says."""
    with live_servers() as servers:
        servers.faults["yahoo"] = "slow_body"
        done = run("--data", "live", "--agent-budget", "2", **live_environment(servers))
    assert done.exit_code == 0, done.stderr
    decision = json.loads(done.stdout)["decision"]
    assert (decision["decision"]["action"], decision["decided_by"]) == ("HOLD", "nobody")
    assert decision["currency"] == ""
    assert any("did not finish within its time budget" in each for each in decision["warnings"])


def test_terminal_and_report_show_the_currency_beside_each_level(workdir: Path) -> None:
    done = CliRunner().invoke(main, ["run", "AAPL", "--date", "2025-11-14"], env=QUICK)
    assert done.exit_code == 0, done.output
    levels = r"entry [\d.]+ USD · stop [\d.]+ USD · target [\d.]+ USD"
    assert re.search(levels, " ".join(done.stdout.split()))
    (folder,) = (workdir / "runs").iterdir()
    report = (folder / "report.md").read_text()
    assert re.search(r"^\*\*BUY at [\d.]+ USD, stop [\d.]+ USD, target [\d.]+ USD, ", report, re.M)
    assert re.search(r"^\| Benchmark +\| \^GSPC ", report, re.M)
