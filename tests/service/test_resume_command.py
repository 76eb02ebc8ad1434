"""`trading-graph run --resume`: what it goes on with, and every reason why it does not."""

import asyncio
import contextvars
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from tests.run_lives import Life, of_an_earlier_release, provider
from trading_graph.graph.backend_choice import BackendChoice, ModelService
from trading_graph.graph.holdings import Cash, Holding
from trading_graph.otel import spans
from trading_graph.otel.files.run_log import RunLog
from trading_graph.otel.spans import uuid7
from trading_graph.service.cli import main
from trading_graph.service.errors import NotResumableError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.folder import FolderState, RunFolder, folder_state
from trading_graph.service.run.order import RunOrder
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.resume import interrupted_runs
from trading_graph.service.settings import Settings

REQUEST = RunRequest(
    symbol="NVDA",
    date="2025-11-14",
    analysts=("market", "news"),
    debate="serial",
    dispatch="sequential",
    agent_budget=30.0,
    holdings=(Holding("NVDA", 10.0, 150.2, "USD"), Holding("AAPL", 0.5, 200.0)),
    cash=Cash(5000.0, "USD"),
)
QUICK = {
    "OTEL_TRACES_EXPORTER": "none",
    "TRADING_GRAPH_CHAT_LATENCY_S": "0.02",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
}
SERVICE = ModelService("http://models.test/v1", SecretStr("k-secret-1234"), "small", "large")


def order(choice: BackendChoice | None = None) -> RunOrder:
    quick = BackendChoice(chat_latency_s=0.03, fetch_latency_s=0.01)
    return RunOrder.of(REQUEST, choice or quick, LangSmithMode.OFF)


def begun(out: Path, kept: RunOrder | None = None) -> tuple[RunFolder, RunLog]:
    """A run whose process has come no further than its folder."""
    folder = RunFolder(out, uuid7().hex)
    folder.create((kept or order()).model_dump_json())
    return folder, RunLog.begin(folder.trace)


def killed(out: Path, kept: RunOrder | None = None) -> RunFolder:
    folder, log = begun(out, kept)
    log.close(over=False)
    return folder


def resume(*words: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["run", "--resume", *words], env={**QUICK, **env})


def refused(*words: str, code: int = 3, **env: str) -> str:
    done = resume(*words, **env)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    said: str = " ".join(done.stderr.split())
    return said


def test_a_run_that_had_done_nothing_is_done_as_it_was_asked_for(workdir: Path) -> None:
    """It was killed before anything was recorded; its options and latencies stand."""
    folder = killed(workdir / "runs")
    assert folder_state(folder.path) is FolderState.INTERRUPTED
    ((run_id, stored),) = interrupted_runs(workdir / "runs").items()
    assert (run_id, stored.request) == (folder.path.name, REQUEST)
    done = resume("last", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["run_id"] == folder.path.name
    assert document["decision"]["symbol"] == "NVDA"
    assert document["decision"]["order"]["quantity_before"] == 10
    assert document["decision"]["order"]["cash_before"] == 5000
    assert "0.03 s a call" in document["decision"]["model"]
    assert "fundamentals_analyst" not in document["usage"]
    assert folder_state(folder.path) is FolderState.OVER
    assert interrupted_runs(workdir / "runs") == {}


def test_a_run_that_an_earlier_release_left_is_resumed(workdir: Path) -> None:
    folder = killed(workdir / "runs")
    of_an_earlier_release(folder.trace)
    assert folder_state(folder.path) is FolderState.INTERRUPTED
    assert resume("last").exit_code == 0
    assert folder_state(folder.path) is FolderState.OVER


def test_a_run_that_still_runs_is_left_alone(workdir: Path) -> None:
    folder, log = begun(workdir / "runs")
    assert folder_state(folder.path) is FolderState.RUNNING
    assert "still runs" in refused(folder.path.name)
    assert "No run in runs was interrupted" in refused("last")
    log.close(over=True)


def test_a_run_that_is_over_says_so(workdir: Path) -> None:
    folder = killed(workdir / "runs")
    assert resume("last", "--json").exit_code == 0
    assert f"is over; see what it left with: trading-graph verify {folder.path.name}" in refused(
        folder.path.name
    )


@pytest.mark.parametrize(
    ("word", "says"),
    [("0" * 32, "There is no run"), ("runs/1", "is no run's id"), ("last", "was interrupted")],
)
def test_a_run_that_is_not_there(workdir: Path, word: str, says: str) -> None:
    assert says in refused(word)


def test_without_its_order_or_its_checkpoints_a_run_cannot_go_on(workdir: Path) -> None:
    folder = killed(workdir / "runs")
    folder.order.write_text('{"schema_version": 9}')
    assert "does not say what the run was asked to do" in refused(folder.path.name)
    assert interrupted_runs(workdir / "runs") == {}
    folder.order.unlink()
    assert "nobody knows what the run was asked to do" in refused(folder.path.name)

    folder.order.write_text(order().model_dump_json())
    life = Life(folder.path)
    file, made = life.take_up(), provider()

    async def program() -> None:
        opened = spans.run("w", provider=made, attributes={}, listeners=[file])
        await opened.__aenter__()
        with spans.agent("news_analyst"):
            pass
        await asyncio.to_thread(life.die, file)

    contextvars.Context().run(lambda: asyncio.run(program()))
    said = refused(folder.path.name)
    assert "checkpoints.sqlite is gone" in said
    assert folder_state(folder.path) is FolderState.INTERRUPTED, "nothing was touched"


def test_other_models_or_data_than_at_the_start_are_refused(workdir: Path) -> None:
    real = BackendChoice(model=SERVICE, data="live")
    folder = killed(workdir / "runs", order(real))
    said = refused(folder.path.name)
    assert "began with small and large at http://models.test/v1 and live data" in said
    assert "now the offline model" in said
    assert folder_state(folder.path) is FolderState.INTERRUPTED
    said = refused(
        folder.path.name,
        OPENAI_BASE_URL="http://models.test/v1",
        TRADING_GRAPH_QUICK_MODEL="small",
        TRADING_GRAPH_DEEP_MODEL="other",
    )
    assert "now small and other" in said


def test_an_offline_run_stays_offline_when_a_key_is_there_by_now(workdir: Path) -> None:
    killed(workdir / "runs")
    done = resume("last", "--json", OPENAI_API_KEY="sk-never-used-1234567890")
    assert done.exit_code == 0, done.output
    assert "offline" in json.loads(done.stdout)["decision"]["model"]


@pytest.mark.parametrize("words", [["AAPL"], ["--analysts", "market"], ["--no-cache"]])
def test_nothing_else_can_be_asked_of_a_resumed_run(workdir: Path, words: list[str]) -> None:
    said = refused("last", *words, code=2)
    assert "leave out" in said


def test_a_symbol_is_asked_for_where_nothing_is_resumed(workdir: Path) -> None:
    done = CliRunner().invoke(main, ["run"], env=QUICK)
    assert done.exit_code == 2
    assert "Missing argument 'SYMBOL'" in done.output


def test_an_order_comes_back_as_it_was_and_holds_no_secret() -> None:
    choice = BackendChoice(model=SERVICE, data="auto", cache=False, pool=False)
    text = RunOrder.of(REQUEST, choice, LangSmithMode.NATIVE).model_dump_json()
    assert "k-secret-1234" not in text
    found = RunOrder.parse(text, "order.json")
    assert found.request == REQUEST
    found.resumed_with(choice, undecided=False)
    found.resumed_with(replace(choice, cache=True, chat_latency_s=9), undecided=False)
    for other in (replace(choice, model=None), replace(choice, data="offline")):
        with pytest.raises(NotResumableError):
            found.resumed_with(other, undecided=False)
    settings = Settings(
        OPENAI_BASE_URL="http://models.test/v1", quick_model="small", deep_model="large"
    )
    again = found.choice(settings)
    found.resumed_with(again, undecided=False)
    assert (again.cache, again.pool, again.data) == (False, False, "auto")
