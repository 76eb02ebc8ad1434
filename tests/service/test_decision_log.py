"""The decision log: whole lines from many processes, and made again from the runs' folders."""

import datetime
import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.schema_files import assert_fits
from trading_graph.graph.decisions import Decision
from trading_graph.service.cli import main
from trading_graph.service.decision_log import DecisionLog

QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.01",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
}


SPAWN = multiprocessing.get_context("spawn")


def made(number: int, symbol: str = "NVDA", as_of: str = "2025-11-14") -> Decision:
    trade: dict[str, Any] = {
        "action": "HOLD",
        "confidence": 0.2,
        "rationale": "r",
        "evidence": [],
        **dict.fromkeys(("entry", "stop", "target", "horizon_days", "position_pct")),
    }
    lists: dict[str, Any] = {"bull_points": [], "bear_points": [], "evidence": []}
    return Decision.model_validate(
        {
            **{"run_id": f"{number:032x}", "trace_id": None, "symbol": symbol, "as_of": as_of},
            **{"session": as_of, "model": "m", "data": "d", "simulated_latency": False},
            **{"degraded": False, "missing_reports": [], "warnings": []},
            "decision": {**trade, "risks": []},
            "proposal": trade,
            "plan": {"action": "HOLD", "confidence": 0.2, "summary": "s", **lists},
        }
    )


def left(runs: Path, decision: Decision, age_s: int = 0) -> None:
    """The folder that a run leaves."""
    path = runs / decision.run_id / "decision.json"
    path.parent.mkdir(parents=True)
    path.write_text(decision.model_dump_json(indent=2) + "\n")
    then = datetime.datetime.now(datetime.UTC).timestamp() - age_s
    os.utime(path, (then, then))


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    (tmp_path / "runs").mkdir()
    return DecisionLog(tmp_path / "decisions", tmp_path / "runs")


def ids(log: DecisionLog, symbol: str = "NVDA") -> list[int]:
    return [int(each.run_id, 16) for each in log.read(symbol)]


def test_a_log_that_is_lost_or_was_never_there_comes_from_the_folders(
    tmp_path: Path, log: DecisionLog
) -> None:
    for number, age_s in ((1, 300), (3, 100), (2, 200)):
        left(tmp_path / "runs", made(number), age_s)
    left(tmp_path / "runs", made(4, symbol="AAPL"))
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "decision.json").write_text('{"symbol": "NVDA", ')
    assert ids(log) == [1, 2, 3]
    assert ids(log, "AAPL") == [4]
    log.path("NVDA").unlink()
    assert ids(log) == [1, 2, 3]
    # The first run after a loss brings the older ones back with it.
    log.path("NVDA").unlink()
    left(tmp_path / "runs", made(5))
    log.append(made(5))
    assert len(log.path("NVDA").read_bytes().splitlines()) == 4
    assert ids(log) == [1, 2, 3, 5]


def test_a_damaged_log_is_mended_and_keeps_what_no_folder_has(
    tmp_path: Path, log: DecisionLog
) -> None:
    for number in (1, 2):
        left(tmp_path / "runs", made(number), age_s=100 - number)
        log.append(made(number))
    lines = log.path("NVDA").read_bytes().splitlines(keepends=True)
    gone = lines[0].replace(f"{1:032x}".encode(), f"{9:032x}".encode())
    log.path("NVDA").write_bytes(gone + b'{"run_id": "x"}\n\xff\n' + lines[1][:40])
    assert sorted(ids(log)) == [1, 2, 9]
    assert all(json.loads(line) for line in log.path("NVDA").read_bytes().splitlines())


def test_a_line_that_breaks_off_does_not_swallow_the_next(tmp_path: Path, log: DecisionLog) -> None:
    for number in (1, 2, 3):
        left(tmp_path / "runs", made(number), age_s=100 - number)
        log.append(made(number))
        if number == 2:
            content = log.path("NVDA").read_bytes()
            log.path("NVDA").write_bytes(content[:-20])
    assert ids(log) == [1, 2, 3]


def test_a_run_that_is_logged_twice_counts_once(tmp_path: Path, log: DecisionLog) -> None:
    left(tmp_path / "runs", made(1))
    for _ in range(3):
        log.append(made(1))
    assert ids(log) == [1]


def test_a_read_makes_no_file_where_there_is_nothing(tmp_path: Path, log: DecisionLog) -> None:
    assert log.read("NVDA") == []
    assert not log.path("NVDA").exists()
    (tmp_path / "runs").rmdir()
    nowhere = DecisionLog(tmp_path / "elsewhere", tmp_path / "runs")
    assert nowhere.read("NVDA") == []
    assert not (tmp_path / "elsewhere").exists()


def _append(folder: Path, first: int, count: int) -> None:
    """Add decisions that no folder has, and damage the log now and then so that it is mended."""
    log = DecisionLog(folder / "decisions", folder / "runs")
    for number in range(first, first + count):
        log.append(made(number))
        if number % 4 == 0:
            with log.path("NVDA").open("ab", buffering=0) as file:
                file.write(b"{\n")
            log.read("NVDA")


@pytest.mark.parametrize(
    "worker",
    [threading.Thread, pytest.param(SPAWN.Process, marks=pytest.mark.full)],
    ids=["threads", "processes"],
)
def test_who_writes_at_once_loses_nothing(tmp_path: Path, log: DecisionLog, worker: Any) -> None:
    """Not even while the log is made again, which takes long where there are many folders."""
    for number in range(100):
        left(tmp_path / "runs", made(number))
    log.append(made(0))
    writers = [worker(target=_append, args=(tmp_path, 100 + 20 * n, 20)) for n in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [getattr(each, "exitcode", 0) for each in writers] == [0, 0, 0]
    assert sorted(ids(log)) == list(range(160))
    assert len(log.path("NVDA").read_bytes().splitlines()) == 160


def call(*words: str, **env: str) -> Result:
    return CliRunner().invoke(main, words, env={**QUICK, **env})


def run(date: str, *words: str, **env: str) -> Any:
    done = call("run", "AAPL", "--date", date, "--offline", "--json", *words, **env)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["decision"]


def test_the_judge_is_told_what_was_decided_before_and_never_what_came_after(
    workdir: Path,
) -> None:
    first = run("2025-08-01", "--holdings", "AAPL=31313@111", "--cash", "474747USD")
    assert not any("earlier decisions" in note for note in first["notes"])
    late = run("2025-10-31", "--past-decisions")
    assert any(note.endswith("no evidence: 2025-08-01.") for note in late["notes"])
    rationale = late["decision"]["rationale"]
    assert "the last, HOLD of 2025-08-01" in rationale
    assert "to 2025-10-31" in rationale
    # A run of a day before the others is told nothing of them.
    early = run("2025-07-01", "--past-decisions")
    assert not any("earlier decisions" in note for note in early["notes"])
    assert "Earlier decisions" not in early["decision"]["rationale"]
    content = (workdir / "decisions" / "AAPL.jsonl").read_text()
    assert len(content.splitlines()) == 3
    assert "31313" not in content
    assert "474747" not in content

    # The same by the command, for any date.
    shown = call("decisions", "aapl", "--date", "2025-09-19", "--offline", "--json")
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert_fits(document, "decisions")
    assert [each["decision"]["as_of"] for each in document["decisions"]] == [
        "2025-07-01",
        "2025-08-01",
    ]
    assert {each["since"]["session"] for each in document["decisions"]} == {"2025-09-19"}
    table = call("decisions", "AAPL", "--offline", COLUMNS="160")
    assert table.exit_code == 0
    assert "2025-10-31" in table.stdout
    assert first["run_id"] in table.stdout
    narrow = call("decisions", "AAPL", "--offline", COLUMNS="80").stdout
    assert "…" not in narrow
    assert first["run_id"][:12] in narrow
    assert f"{first['decision']['confidence']:.2f}" in narrow
    assert all(len(each.rstrip()) <= 80 for each in narrow.splitlines())


def test_no_decision_and_a_log_that_cannot_be_written(workdir: Path) -> None:
    none = call("decisions", "NVDA", "--offline")
    assert none.exit_code == 3
    assert "trading-graph run NVDA" in none.stderr
    assert not (workdir / "decisions").exists()
    assert call("decisions", "no symbol").exit_code == 2
    # A file where the folder should be: the run is done, and the log says why it is not logged.
    (workdir / "logged").write_text("")
    decision = run("2025-08-01", "--past-decisions", TRADING_GRAPH_DECISIONS="logged")
    assert decision["decision"]["action"]
    assert "logged" in (workdir / "logs" / "trading_graph.log").read_text()
