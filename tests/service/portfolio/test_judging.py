"""`verify` and `diagnose` of a portfolio's trace, by its id and by its file."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.schema_files import assert_fits
from tests.service.portfolio.portfolios import PORTFOLIO_ID, record, ticker_days, work
from trading_graph.service.cli import main

DAYS = ticker_days("AAPL", "MSFT", "NVDA", "AMZN")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a portfolio of four was recorded, two at once."""
    folder = tmp_path_factory.mktemp("portfolio")

    record(
        folder,
        lambda running, portfolio: work(running, portfolio, DAYS, 2),
        DAYS,
        2,
        chat_s=0.1,
    )
    (folder / "portfolios").mkdir()
    (folder / "portfolio").rename(folder / "portfolios" / PORTFOLIO_ID)
    return folder


@pytest.fixture
def folder(workdir: Path, recorded: Path) -> Path:
    shutil.copytree(recorded, workdir, dirs_exist_ok=True)
    return workdir


def trading_graph(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), env={"COLUMNS": "160"})


@pytest.mark.parametrize("word", [PORTFOLIO_ID, f"portfolios/{PORTFOLIO_ID}/trace.jsonl"])
def test_a_portfolio_is_judged_by_its_own_gate(folder: Path, word: str) -> None:
    verified = trading_graph("verify", word)
    assert verified.exit_code == 0, verified.output
    for sentence in (
        "Every ticker-day came to an end",
        "While ticker-days wait, the slots are in use",
        "ticker-days over time:",
        "Linked traces: 64 LLM calls",
        "What the 4 runs spent where",
        "risk_judge",
    ):
        assert sentence in verified.stdout


def test_the_documents_fit_their_schemas_and_name_the_resource(folder: Path) -> None:
    verdict = json.loads(trading_graph("verify", PORTFOLIO_ID, "--format", "json").stdout)
    assert_fits(verdict, "verdict")
    (slots,) = verdict["measures"]["limits"]
    assert (slots["name"], slots["capacity"], slots["grants"]) == ("ticker-days", 2, 4)
    assert slots["waited"] >= 2
    assert verdict["measures"]["linked"]["llm_calls"] == 64
    diagnosed = trading_graph("diagnose", PORTFOLIO_ID, "--format", "json")
    assert diagnosed.exit_code == 0, diagnosed.output
    diagnosis = json.loads(diagnosed.stdout)
    assert_fits(diagnosis, "diagnosis")
    (finding,) = [each for each in diagnosis["findings"] if each["limit"]]
    assert finding["limit"] == "ticker-days"
    assert "--at-once" in finding["here"]
    assert finding["gain_s"]["low"] == 0 < finding["gain_s"]["likely"]
    assert "half as much again would save" in diagnosis["target"]["summary"]
    assert {each["item"] for each in finding["spans"]} <= {
        f"{day.symbol} {day.date}" for day in DAYS
    }


@pytest.mark.parametrize("form", ["text", "markdown", "html", "perfetto", "folded", "otlp"])
def test_every_form_of_a_diagnosis_can_be_made(folder: Path, form: str) -> None:
    option = "--format" if form in ("text", "markdown", "html") else "--export"
    made = trading_graph("diagnose", PORTFOLIO_ID, option, form)
    assert made.exit_code == 0, made.output
    if form in ("text", "markdown", "html"):
        assert "ticker-days" in made.stdout


def test_runs_whose_traces_are_not_there_are_named(folder: Path) -> None:
    gone = folder / "runs" / DAYS[1].run_id
    shutil.rmtree(gone)
    said = trading_graph("verify", PORTFOLIO_ID).stdout
    assert "What 3 of 4 runs spent where" in said
    assert DAYS[1].run_id in said
    shutil.rmtree(folder / "runs")
    said = trading_graph("diagnose", PORTFOLIO_ID).stdout
    assert "None of the 4 runs' own traces is in runs" in said
    assert "risk_judge" not in said


def test_a_portfolio_that_was_killed_says_how_to_go_on(folder: Path) -> None:
    portfolio = folder / "portfolios" / PORTFOLIO_ID
    lines = (portfolio / "trace.jsonl").read_text().splitlines(keepends=True)
    # Its own span ends last, and the last line says that it is over. The folder was moved.
    whole = "".join(lines[:-2]).replace('"logOf":"portfolio"', f'"logOf":"{PORTFOLIO_ID}"')
    (portfolio / "trace.jsonl").write_text(whole)
    verified = trading_graph("verify", PORTFOLIO_ID)
    assert verified.exit_code == 3
    assert f"trading-graph portfolio resume {PORTFOLIO_ID}" in verified.stderr.replace("\n", " ")


def test_an_id_that_nobody_knows_names_both_folders(folder: Path) -> None:
    verified = trading_graph("verify", "1" * 32, "--from", "file")
    assert verified.exit_code == 3
    assert "or a portfolio in portfolios" in verified.stderr.replace("\n", " ")
