"""`trading-graph portfolio` as a person meets it: its words, its files, its exit codes."""

import asyncio
import json
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.paid_model import PaidModel
from tests.schema_files import assert_fits
from tests.service.portfolio.test_order import order
from tests.service.portfolio.work_elsewhere import worked_on
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.cli import main
from trading_graph.service.commands import portfolio as portfolio_command
from trading_graph.service.portfolio.engine import PortfolioState
from trading_graph.service.portfolio.folder import PortfolioFolder, portfolio_folders
from trading_graph.service.portfolio.local import LocalEngine
from trading_graph.service.portfolio.progress import Happening, ProgressEvent
from trading_graph.service.run.folder import FolderState, folder_state
from trading_graph.toolkit.loopback import LoopbackServer

QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.02",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
    "COLUMNS": "200",
}
SMALL = ("--offline", "--analysts", "market,news")


def portfolio(*words: str, code: int = 0, **env: str) -> Result:
    done = CliRunner().invoke(main, ["portfolio", *words], env={**QUICK, **env})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def document(*words: str, code: int = 0, **env: str) -> Any:
    return json.loads(portfolio(*words, "--json", code=code, **env).stdout)


def sentence(*words: str, code: int, **env: str) -> str:
    said: str = " ".join(portfolio(*words, code=code, **env).stderr.split())
    assert "Traceback" not in said
    return said


def states(of: Any) -> dict[str, str]:
    return {each["symbol"]: each["state"] for each in of["ticker_days"]}


def test_a_list_is_analysed_and_the_same_command_does_nothing_twice(workdir: Path) -> None:
    """One symbol is unknown, one word is none, one comes twice: it is said, and the rest runs."""
    (workdir / "evening.csv").write_text("Symbol\nAAPL\nXYZQ\nnot one\nNVDA\naapl\n")
    done = portfolio("run", "evening.csv", *SMALL, "--json", code=1)
    of = json.loads(done.stdout)
    assert_fits(of, "portfolio")
    assert of["name"] == "evening"
    assert of["state"] == "over"
    assert states(of) == {"AAPL": "done", "XYZQ": "failed", "NVDA": "done"}
    assert [each["text"] for each in of["refused"]] == ["not one"]
    assert of["duplicates"] == ["AAPL"]
    reason = of["ticker_days"][1]["reason"]  # of the analyst that came first
    assert "XYZQ" in reason
    assert "the embedded data set holds AAPL" in reason
    for said in ("Left out: 'not one'", "Named more than once", "Forecast: 3 runs"):
        assert said in done.stderr
    for each in of["ticker_days"]:
        assert folder_state(Path(of["runs_folder"]) / each["run_id"]) is FolderState.OVER
        if each["state"] == "done":
            decision = json.loads((workdir / "runs" / each["run_id"] / "decision.json").read_text())
            assert decision["decision"]["action"] == each["action"]
            assert decision["trace_id"] == decision["run_id"] == each["run_id"]
            judged = CliRunner().invoke(main, ["verify", each["run_id"], "--format", "json"])
            assert json.loads(judged.stdout)["complete"]

    before = sorted((path, path.stat().st_mtime_ns) for path in (workdir / "runs").rglob("*"))
    again = document("run", "evening.csv", *SMALL, code=1)
    assert again == of
    assert sorted((path, path.stat().st_mtime_ns) for path in (workdir / "runs").rglob("*")) == (
        before
    )
    assert document("status") == document("status", of["portfolio_id"][:5]) == of
    for name in ("ranking.json", "ranking.csv", "report.md", "report.html", "trace.jsonl"):
        assert (Path(of["folder"]) / name).stat().st_size
    ranking = document("report")
    assert_fits(ranking, "ranking")
    assert ranking == json.loads((Path(of["folder"]) / "ranking.json").read_text())
    text = portfolio("status").stdout
    assert "2 done · 1 failed" in text
    assert "is over, so there is nothing to cancel" in sentence("cancel", code=3)

    anew = document("run", "AAPL", *SMALL, "--again", "--at-once", "1")
    assert anew["portfolio_id"] != of["portfolio_id"]
    more = document("run", "AAPL", *SMALL, "--again")
    assert more["portfolio_id"] not in (anew["portfolio_id"], of["portfolio_id"])
    assert document("run", "AAPL", *SMALL)["portfolio_id"] == more["portfolio_id"], "the newest"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run",), "Name symbols"),
        (("run", "empty.txt"), "lists no symbols"),
        (("run", "missing.csv"), "There is no file missing.csv"),
        (("run", "AAPL", "--dates", "2025-11-14..2025-11-10"), "before it begins"),
        (("run", "AAPL", "--date", "2999-01-01"), "is in the future"),
        (("run", "AAPL", "--dates", "2025-11-10..2999-01-01"), "is in the future"),
        (("run", "AAPL", "--dates", "2025-11-14"), "is not a range"),
        (("run", "AAPL", "--dates", "2025-11-10..2025-11-14", "--every", "0d"), "no number of"),
        (("run", "AAPL", "--date", "2025-11-14", "--every", "5d"), "give --dates"),
        (
            ("run", "AAPL", "--date", "2025-11-14", "--dates", "2025-11-10..2025-11-14"),
            "give one of them",
        ),
        (("run", "AAPL", "--at-once", "0"), "--at-once"),
    ],
)
def test_what_cannot_be_analysed_is_a_sentence_and_leaves_nothing(
    workdir: Path, words: tuple[str, ...], says: str
) -> None:
    (workdir / "empty.txt").touch()
    assert says in sentence(*words, code=2)
    assert [each.name for each in workdir.iterdir()] == ["empty.txt"]


@pytest.mark.parametrize("command", ["status", "resume", "cancel", "report"])
def test_a_portfolio_that_is_not_there_is_a_sentence(workdir: Path, command: str) -> None:
    assert "There is no portfolio in portfolios yet" in sentence(command, code=3)
    error = document(command, "last", code=3)["error"]
    assert (error["kind"], error["exit_code"]) == ("run", 3)


async def test_a_cancel_that_has_to_wait_says_for_what(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portfolio_command, "_PATIENCE_S", 0.01)
    of, talk = await asyncio.to_thread(order), Console(file=StringIO(), width=200)
    folder = PortfolioFolder(workdir / "portfolios", of.id)

    def begin() -> None:
        folder.write_order(of)
        with folder.work() as log:
            log.append(ProgressEvent(1.0, of.ticker_days[1].run_id, Happening.BEGAN))

    await asyncio.to_thread(begin)
    engine = LocalEngine(folder.path.parent, lambda _: pytest.fail("nothing is run"))
    async with worked_on(folder):
        cancelling = asyncio.create_task(portfolio_command._cancel(engine, of.id, talk))
        while not (said := talk.file.getvalue()):  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert said.startswith("Still waiting for whoever has it to leave the runs under way: NVDA")
    assert (await cancelling).state is PortfolioState.CANCELLED


def test_much_money_is_asked_about_and_never_without_a_terminal(workdir: Path) -> None:
    model = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "TRADING_GRAPH_PORTFOLIO_ASK_CALLS": "15"}
    said = sentence("run", "AAPL", code=2, **model)
    assert "cost unknown" in said
    assert "there is no terminal to ask at; give --yes" in said
    assert not portfolio_folders(workdir / "portfolios")


def test_a_model_that_refuses_everybody_ends_the_work_and_counts_no_tries(workdir: Path) -> None:
    """A wrong key is nobody's fault in the list; once it is mended all of them are done."""
    words = ("run", "AAPL", "NVDA", "MSFT", "WMT", "--analysts", "market", "--at-once", "2")
    model = PaidModel(0.0, key="sk-right-0123456789")
    with LoopbackServer(model.make_app) as server:
        env = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-of-the-test-0123456789"}
        said = sentence(*words, code=3, **env)
        assert "go on with: trading-graph portfolio resume" in said
        of = document("status")
        assert of["state"] == "interrupted"
        assert set(states(of).values()) == {"waiting"}
        env["OPENAI_API_KEY"] = "sk-right-0123456789"
        done = document("resume", code=0, **env)
    assert set(states(done).values()) == {"done"}
    assert done["cost_usd"] is None, "nobody knows the price"


def test_a_ticker_that_always_fails_is_parked_and_tried_again_on_request(workdir: Path) -> None:
    """Its trader is refused; the analysts before it are paid once, in all tries together."""
    model = PaidModel(0.0, refused=("NVDA", "trader"))
    words = ("run", "AAPL", "NVDA", "WMT", "--analysts", "market", "--at-once", "1")
    with LoopbackServer(model.make_app) as server:
        env = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-of-the-test-0123456789"}
        of = document(*words, code=1, **env)
        assert states(of) == {"AAPL": "done", "NVDA": "parked", "WMT": "done"}
        (parked,) = (each for each in of["ticker_days"] if each["symbol"] == "NVDA")
        assert parked["tries"] == 3
        assert "This is refused" in parked["reason"]
        calls = {
            agent: sum(n for asked, n in model.calls.items() if asked[::2] == ("NVDA", agent))
            for agent in ("market_analyst", "research_manager", "trader")
        }
        assert calls == {"market_analyst": 2, "research_manager": 1, "trader": 3}
        assert states(document("resume", code=1, **env)) == states(of)
        model.refused = None
        assert set(states(document("resume", "--parked", code=0, **env)).values()) == {"done"}


def test_what_its_process_died_of_three_times_is_parked_and_its_neighbours_run(
    workdir: Path,
) -> None:
    """Two met two deaths at the same place: they run last, and the one that met a third, never."""
    quick = BackendChoice(chat_latency_s=0.02, fetch_latency_s=0.01)
    of = order(choice=quick, out=Path("runs"))
    folder = PortfolioFolder(workdir / "portfolios", of.id)
    folder.write_order(of)
    poison, neighbour, *others = [each.run_id for each in of.ticker_days]
    twice = (Happening.BEGAN, Happening.KILLED) * 2
    with folder.work() as log:
        for run_id, happenings in ((poison, (*twice, Happening.BEGAN)), (neighbour, twice)):
            log.append(*(ProgressEvent(1.0, run_id, each) for each in happenings))
    done = document("resume", code=1)
    assert [each["state"] for each in done["ticker_days"]] == ["parked", "done", "done", "done"]
    assert "died in 3 tries at the same place" in done["ticker_days"][0]["reason"]
    began = [
        each.run_id
        for each in map(_EVENTS.decode, folder.progress_file.read_bytes().splitlines())
        if each.happening is Happening.BEGAN and each.at > 1
    ]
    assert began[-1] == neighbour
    assert sorted(began) == sorted([neighbour, *others])
    judged = CliRunner().invoke(main, ["verify", str(folder.path / "trace.jsonl")])
    assert "Every ticker-day came to an end" in judged.stdout
    assert "4 (limit: 4" in judged.stdout


def test_a_cancelled_portfolio_that_goes_on_counts_as_over_only_what_is_done(workdir: Path) -> None:
    of = order(choice=BackendChoice(chat_latency_s=0.0, fetch_latency_s=0.0), out=Path("runs"))
    folder = PortfolioFolder(workdir / "portfolios", of.id)
    folder.write_order(of)
    first, *others = [each.run_id for each in of.ticker_days]
    with folder.work() as log:
        log.append(ProgressEvent(1.0, first, Happening.FAILED))
        log.append(*(ProgressEvent(1.0, run_id, Happening.CANCELLED) for run_id in others))
    lines = portfolio("resume", "--at-once", "1", code=1).stderr.splitlines()
    assert [line[:4] for line in lines if "/4  " in line] == ["2/4 ", "3/4 ", "4/4 "]


_EVENTS = msgspec.json.Decoder(ProgressEvent)
