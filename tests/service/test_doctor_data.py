"""`trading-graph doctor` on market data: what the last run's cache and hosts did, and the rules."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.live_servers import FRED_KEY, live_servers
from tests.schema_files import assert_fits
from trading_graph.otel.sources import read
from trading_graph.otel.vocabularies import Role
from trading_graph.service.cli import main
from trading_graph.toolkit.rate_limits import HOST_POLICIES
from trading_graph.toolkit.ttl import TODAY

QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.06",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.02",
    "COLUMNS": "120",
}


def trading_graph(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(words), env=QUICK | environment)


def run(*words: str, **environment: str) -> None:
    ran = trading_graph("run", "NVDA", "--date", "2025-11-14", *words, **environment)
    assert ran.exit_code == 0, ran.output


def examined() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(trading_graph("doctor", "--json").stdout)
    assert_fits(document, "doctor")
    return document


def test_the_cache_of_the_last_run_is_shown_by_kind_and_adds_up_with_its_spans(
    workdir: Path,
) -> None:
    run("--offline")
    last = examined()["last_run"]
    kinds = {each["kind"]: each for each in last["cache"]}
    assert set(kinds) == {"bars", "filings", "insiders", "macro", "statements"}
    # All tools that need prices share one frame a symbol: the stock's and the index's.
    assert kinds["bars"]["misses"] == 2
    assert kinds["bars"]["shared"] + kinds["bars"]["hits"] > 2

    (trace,) = read(*(workdir / "runs").glob("*/trace.jsonl"))
    fetches = [role for role in trace.roles if role is Role.FETCH]
    assert sum(each["misses"] for each in kinds.values()) == len(fetches)
    (host,) = last["hosts"]
    assert host["requests"] == len(fetches)
    assert host["host"].startswith("127.0.0.1:")
    assert "embedded_macro" in host["sources"]
    assert host["received_bytes"] > 100_000
    assert (host["retries"], host["failed"], host["opened"], last["refused"]) == (0, 0, 0, 0)

    text = trading_graph("doctor").stdout
    assert "Cache of the last run (NVDA as of 2025-11-14)" in text
    assert host["host"] in text


def test_a_host_that_failed_shows_tries_failures_and_its_breaker(workdir: Path) -> None:
    with live_servers() as servers:
        servers.faults["fred"] = "unavailable"
        run(
            "--data",
            "live",
            TRADING_GRAPH_LIVE_URLS=json.dumps(asdict(servers.urls)),
            TRADING_GRAPH_SEC_USER_AGENT="Somebody somebody@example.org",
            FRED_API_KEY=FRED_KEY,
        )
    last = examined()["last_run"]
    hosts = {source: host for host in last["hosts"] for source in host["sources"]}
    fred, sec = hosts["fred"], hosts["sec_companyfacts"]
    assert fred["failed"] == fred["requests"] >= 5
    assert fred["opened"] == 1
    assert sec["failed"] == 0
    macro = next(each for each in last["cache"] if each["kind"] == "macro")
    assert macro["failures"] == macro["misses"] == 6


def test_the_rules_are_shown_where_there_is_no_run(workdir: Path) -> None:
    document = examined()
    assert document["last_run"] is None
    last = next(each for each in document["findings"] if each["check"] == "last run")
    assert last["state"] == "off"
    assert {each["host"] for each in document["hosts"]} == {*HOST_POLICIES, "every other"}
    assert {each["kind"] for each in document["lifetimes"]} == {*TODAY, "a day that has passed"}
    text = trading_graph("doctor").stdout
    assert "of the last run" not in text
    for said in ("Rules of hosts", "data.sec.gov", "Lifetimes in the cache", "company_facts"):
        assert said in text


def test_a_run_that_has_no_end_yet_is_said_to_have_none(workdir: Path) -> None:
    run("--offline")
    (kept,) = (workdir / "runs").glob("*/trace.jsonl")
    whole = kept.read_text(encoding="utf-8").splitlines(keepends=True)
    kept.write_text("".join(line for line in whole if "invoke_workflow" not in line))
    document = examined()
    assert document["last_run"] is None
    last = next(each for each in document["findings"] if each["check"] == "last run")
    assert "has no end" in last["found"]
    assert document["well"]
