"""What a person reads of a service's habits: on the screen, in the log, in the files of the run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.model_service import Demand, Failing, Failure, Framing, LoopbackService, Wording
from tests.model_service.runs import DEEP, KEY, QUICK
from trading_graph.service.cli import main
from trading_graph.service.exit_codes import ExitCode
from trading_graph.toolkit.loopback import LoopbackServer

ALWAYS = None


@dataclass(frozen=True, slots=True)
class Said:
    """The command's exit code, what it printed, and all that it left in its folder."""

    code: int
    out: str
    screen: str
    files: str

    @property
    def everything(self) -> str:
        """All of it."""
        return "\n".join((self.out, self.screen, self.files))


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@contextmanager
def address_of(service: LoopbackService) -> Iterator[str]:
    with LoopbackServer(service.make_app) as server:
        yield f"{server.url}/v1"


RUN = ("run", "NVDA", "--date", "2025-11-14", "--json")


def run(url: str, folder: Path, words: Sequence[str] = RUN) -> Said:
    environment = {
        "OTEL_TRACES_EXPORTER": "none",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": KEY,
        "TRADING_GRAPH_QUICK_MODEL": QUICK,
        "TRADING_GRAPH_DEEP_MODEL": DEEP,
        "TRADING_GRAPH_FETCH_LATENCY_S": "0",
    }
    done = CliRunner().invoke(main, words, env=environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    files = [path.read_text() for path in folder.rglob("*") if path.suffix in TEXTS]
    return Said(done.exit_code, done.stdout, " ".join(done.stderr.split()), "\n".join(files))


TEXTS = {".json", ".jsonl", ".md", ".log"}


def test_a_step_down_is_one_line_and_an_event_once(workdir: Path) -> None:
    with address_of(LoopbackService(Demand.NO_NAMED_CHOICE)) as url:
        first, second = run(url, workdir), run(url, workdir)
    assert first.code == second.code == ExitCode.OK
    assert first.screen.count("does not support this tool_choice") == 1
    assert first.screen.count("tool_choice was refused") == 1
    assert "tool_choice" not in second.screen, "it was learned"
    assert '"capability"' in first.files


def test_a_marked_hold_exits_with_0_and_says_that_nobody_decided(workdir: Path) -> None:
    with address_of(LoopbackService(Wording.PROSE)) as url:
        said = run(url, workdir)
    assert said.code == ExitCode.OK
    document = json.loads(said.out)
    decision = document.get("decision", document)
    assert decision["degraded"] is True
    assert decision["decision"]["action"] == "HOLD"
    assert decision["decided_by"] == "nobody"
    assert "Score:" in said.files


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure.QUOTA, "exceeded your current quota"),
        (Failure.WRONG_KEY, "Incorrect API key provided"),
        (Failure.REGION, "Country, region, or territory not supported"),
    ],
    ids=["quota", "wrong_key", "region"],
)
def test_the_services_words_are_on_the_screen_and_in_the_files_without_the_key(
    workdir: Path, failure: Failure, words: str
) -> None:
    service = LoopbackService(failings=[Failing(failure, times=ALWAYS)])
    with address_of(service) as url:
        said = run(url, workdir)
    assert said.code == ExitCode.NOT_DONE
    assert words in said.screen
    assert words in said.files
    assert KEY not in said.everything


def test_a_long_wait_is_counted_down(workdir: Path) -> None:
    failing = Failing(Failure.RATE_SECONDS, "trader", wait_s=1.5)
    with address_of(LoopbackService(failings=[failing])) as url:
        said = run(url, workdir)
    assert said.code == ExitCode.OK
    assert json.loads(said.out)
    assert "trader" in said.screen
    assert "wait" in said.screen.lower()


DOCTOR = ("doctor", "--model", "--json")


def test_doctor_tells_what_a_service_takes_as_a_run_finds_it(workdir: Path) -> None:
    service = LoopbackService(Demand.NO_NAMED_CHOICE, Demand.NO_CHOICE_NONE, Framing.REASONING)
    with address_of(service) as url:
        told = findings(run(url, workdir, DOCTOR))
        for name in (QUICK, DEEP):
            assert told[f"profile of {name}"] == "general"
            assert told[f"{name}: text"].startswith("answers by chat/completions, streamed")
            assert "reasoning_content" in told[f"{name}: tool call"]
            assert told[f"{name}: structured answer"] == "given by a tool that is required"
            assert "does not support this tool_choice" in told[f"{name}: refused"]
        refusals = len(service.record.refusals)
        assert run(url, workdir).code == ExitCode.OK
        assert len(service.record.refusals) == refusals, "the run knows what doctor has learned"


def test_doctor_is_red_in_the_services_words(workdir: Path) -> None:
    service = LoopbackService(failings=[Failing(Failure.BALANCE, times=ALWAYS)])
    with address_of(service) as url:
        said = run(url, workdir, DOCTOR)
    assert said.code == ExitCode.CHECK_FAILED
    assert "Insufficient Balance" in findings(said)[f"{QUICK}: text"]
    assert KEY not in said.everything


def findings(said: Said) -> dict[str, str]:
    return {each["check"]: each["found"] for each in json.loads(said.out)["findings"]}
