"""The report of a portfolio in each of its forms."""

import asyncio
import csv
import datetime
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from tests.analysis_runner import Runner
from tests.schema_files import assert_fits
from tests.service.portfolio.samples import EVENING, decided, embedded_bars, failed
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.decisions import DecidedBy, Decision
from trading_graph.graph.holdings import Cash, Holding, Holdings
from trading_graph.service.portfolio.results.evaluation import Evaluation, evaluate
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.ranking_csv import ranking_csv
from trading_graph.service.portfolio.results.renderings import (
    MOST_CARDS,
    MOST_ROWS,
    as_markdown,
    as_page,
    show,
)
from trading_graph.service.portfolio.results.report import as_json, write_report
from trading_graph.service.portfolio.results.wording import DEMONSTRATION
from trading_graph.service.portfolio.symbol_list import RefusedSymbol
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.toolkit.bars import Bars

BEFORE = datetime.date(2025, 10, 1)
EVIL = "<script>alert(1)</script> | `x` =cmd"


class EmbeddedHistory:
    """The embedded bars, without a server."""

    last_day = EVENING

    async def bars(self, symbol: str) -> Bars:
        return embedded_bars(symbol)


def results() -> list[TickerDayResult]:
    return [
        decided("AAPL", "BUY", 0.7, entry=272.41),
        decided("NVDA", "SELL", 0.6, entry=190.17),
        decided("WMT", "HOLD", entry=None, horizon_days=None, position_pct=None),
        decided("MSFT", "HOLD", decided_by=DecidedBy.NOBODY, warnings=[EVIL], degraded=True),
        decided("TSLA", "BUY", 0.2, entry=404.35, degraded=True, warnings=["A source failed."]),
        failed("ZZZZ", EVIL),
        decided("AAPL", "HOLD", 0.6, date=BEFORE, entry=255),
        decided("NVDA", "BUY", 0.65, date=BEFORE, entry=187),
        decided("TSLA", "BUY", 0.6, date=BEFORE, entry=459),
    ]


@pytest.fixture
def evaluation() -> Evaluation:
    names = ("AAPL", "NVDA", "TSLA", "WMT", "MSFT", "^GSPC")
    return evaluate("tech", results(), Prices(EVENING, {n: embedded_bars(n) for n in names}, {}))


def screen(evaluation: Evaluation) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(evaluation, console)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def forms(evaluation: Evaluation) -> dict[str, str]:
    return {
        "markdown": as_markdown(evaluation),
        "page": as_page(evaluation, {}),
        "screen": screen(evaluation),
    }


def test_the_document_fits_its_schema_and_says_what_the_ranking_says(
    evaluation: Evaluation,
) -> None:
    document = json.loads(as_json(evaluation))
    assert_fits(document, "ranking")
    assert [(each["rank"], each["symbol"]) for each in document["ranked"]] == [
        (1, "AAPL"),
        (2, "TSLA"),
        (1, "NVDA"),
        (None, "WMT"),
    ]
    assert [each["symbol"] for each in document["undecided"]] == ["MSFT"]
    assert [each["symbol"] for each in document["unfinished"]] == ["ZZZZ"]
    assert document["demonstration"]
    aapl = document["ranked"][0]
    assert aapl["changed"]
    assert aapl["before"]["action"] == "HOLD"
    back = document["backtest"]
    assert {(each["symbol"], each["date"]) for each in back["outcomes"]} == {
        ("AAPL", str(BEFORE)),
        ("NVDA", str(BEFORE)),
        ("TSLA", str(BEFORE)),
    }
    (account,) = back["accounts"]
    assert len(account["days"]) == len(account["values"]) == len(account["benchmark_values"])


def test_a_report_without_prices_has_a_ranking_and_no_back_test() -> None:
    evaluation = evaluate("tech", results())
    document = json.loads(as_json(evaluation))
    assert_fits(document, "ranking")
    assert document["backtest"] is None
    for text in forms(evaluation).values():
        assert "Hit rate" not in text


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (TickerDayState.WAITING, "The last day, 2025-11-14, is not decided yet."),
        (TickerDayState.CANCELLED, "The last day, 2025-11-14, is not decided yet."),
        (TickerDayState.FAILED, "The last day, 2025-11-14, has no decision."),
    ],
)
def test_every_form_says_how_much_is_decided_where_the_last_day_is_not(
    state: TickerDayState, sentence: str
) -> None:
    earlier = datetime.date(2025, 11, 13)
    unfinished = [
        failed("WMT", "", date=earlier, state=TickerDayState.WAITING),
        *(failed(symbol, "", state=state) for symbol in ("AAPL", "NVDA", "WMT")),
    ]
    evaluation = evaluate(
        "tech", [*results()[-3:], decided("AAPL", "BUY", date=earlier), *unfinished]
    )
    for name, text in forms(evaluation).items():
        words = " ".join(text.split())
        counts = "Decided: 4 of 8 ticker-days, on 2 days up to 2025-11-13."
        assert f"{sentence} {counts}" in words, name
    nothing = " ".join(screen(evaluate("tech", unfinished[1:])).split())
    is_final = state is TickerDayState.FAILED
    assert ("Nothing was decided." if is_final else "Nothing is decided yet.") in nothing


def test_every_form_says_that_rules_decided_and_that_it_is_no_advice(
    evaluation: Evaluation,
) -> None:
    for name, text in forms(evaluation).items():
        words = " ".join(text.split())
        assert DEMONSTRATION in words, name
        assert "Not investment advice." in words, name
        assert "seed 1" in words, name


def test_every_form_says_that_what_has_no_prices_may_have_lost_all(evaluation: Evaluation) -> None:
    prices = evaluation.prices
    assert prices is not None
    gone = decided("GONE", "BUY", date=BEFORE)
    told = evaluate("tech", [*results(), gone], replace(prices, missing={"GONE": "It is gone."}))
    for name, text in forms(told).items():
        assert "Decisions without prices, in no number here: 1." in " ".join(text.split()), name
        assert "these may have lost everything" in " ".join(text.split()), name
    for name, text in forms(evaluation).items():
        assert "these may have lost everything" not in " ".join(text.split()), name


def test_no_form_calls_a_model_s_decisions_a_demonstration() -> None:
    real = [decided("AAPL", "BUY", date=BEFORE, entry=255, model="gpt-5-mini and gpt-5")]
    names = ("AAPL", "^GSPC")
    evaluation = evaluate("x", real, Prices(EVENING, {n: embedded_bars(n) for n in names}, {}))
    for name, text in forms(evaluation).items():
        words = " ".join(text.split())
        assert DEMONSTRATION not in words, name
        assert "A demonstration" not in words, name
        assert "BUY, after the cutoff" in words, name
    assert "trained on data up to 2024-09-30" in forms(evaluation)["markdown"]


def test_every_form_tells_all_symbols_levels_and_reasons(evaluation: Evaluation) -> None:
    for name, text in forms(evaluation).items():
        for symbol in ("AAPL", "NVDA", "WMT", "MSFT", "TSLA", "ZZZZ"):
            assert symbol in text, (name, symbol)
        assert "272.41" in text
        assert "USD" in text
        assert "was HOLD" in text
        assert "degraded" in text.lower()


class Tags(HTMLParser):
    """The elements of a page, and the addresses that it links to or loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_what_strangers_wrote_stays_text(evaluation: Evaluation) -> None:
    page = Tags(as_page(evaluation, {}))
    assert "script" not in page.names
    # The page's policy refuses styles in attributes.
    assert "style" not in page.attributes
    assert page.links == []
    assert "\\<script\\>" in as_markdown(evaluation)
    assert "\n| ZZZZ | " in as_markdown(evaluation)


def test_orders_are_in_every_form_where_holdings_were_told(evaluation: Evaluation) -> None:
    holdings = Holdings((Holding("NVDA", 3, 150),), Cash(50_000, "USD"))
    told = evaluate("tech", results(), evaluation.prices, holdings=holdings)
    for name, text in forms(told).items():
        assert "Sell all 3 NVDA" in text, name
    document = json.loads(as_json(told))
    assert_fits(document, "ranking")
    orders = {each["symbol"]: each for each in document["orders"]}
    assert list(orders) == ["AAPL", "TSLA", "NVDA", "WMT"]
    assert orders["NVDA"]["action"] == "sell_all"
    # 5 % of cash and NVDA's three shares, in whole shares.
    close = float(embedded_bars("AAPL").close[-1])
    worth = 50_000 + 3 * float(embedded_bars("NVDA").close[-1])
    assert orders["AAPL"]["quantity"] == 0.05 * worth // close
    assert json.loads(as_json(evaluation))["orders"] is None
    for name, text in forms(evaluation).items():
        assert "Sell all" not in text, name


def test_every_decision_with_bars_has_a_drawing_with_its_levels(evaluation: Evaluation) -> None:
    page = as_page(evaluation, {})
    drawings = page.split('<svg class="spark"')[1:]
    assert len(drawings) == len(evaluation.ranking.ranked)
    aapl = next(each for each in drawings if "AAPL: closes" in each)
    assert "entry 272.41 USD; stop 258.7895 USD; target 299.651 USD" in aapl
    assert aapl.split("</svg>")[0].count("<line") == 3
    wmt = next(each for each in drawings if "WMT: closes" in each)
    assert wmt.split("</svg>")[0].count("<line") == 0


def test_a_long_list_is_drawn_in_part_and_told_in_full() -> None:
    many = [decided(f"S{number}", "BUY", 0.5) for number in range(MOST_CARDS + 15)]
    evaluation = evaluate("x", many)
    page, text = as_page(evaluation, {}), screen(evaluation)
    assert page.count('<li class="place">') == MOST_CARDS
    assert "and 15 more" in page
    assert f"and {len(many) - MOST_ROWS} more in the report" in text
    for each in many:
        symbol = each.ticker_day.symbol
        assert re.search(rf"\b{symbol}\b", page), symbol
        assert re.search(rf"\b{symbol}\b", as_markdown(evaluation)), symbol


def test_the_csv_has_a_row_a_symbol_and_no_formula(evaluation: Evaluation) -> None:
    evil = evaluate("x", [failed("A", "=HYPERLINK(1)\nnext line"), decided("B", "BUY")])
    rows = list(csv.DictReader(io.StringIO(ranking_csv(evil.ranking))))
    assert [(row["section"], row["symbol"]) for row in rows] == [("buy", "B"), ("unfinished", "A")]
    assert rows[1]["reason"] == "'=HYPERLINK(1) next line"
    rows = list(csv.DictReader(io.StringIO(ranking_csv(evaluation.ranking))))
    sections = [row["section"] for row in rows]
    assert sections == ["buy", "buy", "sell", "hold", "undecided", "unfinished"]
    # 0.7 x 10 % - 0.3 x 5 % for 5 %.
    assert float(rows[0]["gain_per_risk"]) == pytest.approx(1.1)
    assert (rows[0]["previous_date"], rows[0]["previous_action"]) == (str(BEFORE), "HOLD")


async def _decide(folder: Path) -> list[Decision]:
    run = Runner(folder)
    choice = BackendChoice(chat_latency_s=0.01, fetch_latency_s=0.001)
    made = [await run(choice=choice, symbol=name) for name in ("NVDA", "WMT")]
    return [each.made.decision for each in made]


def test_the_files_are_those_of_decisions_that_were_really_made(tmp_path: Path) -> None:
    """Two offline analyses, whose decisions are ranked and followed."""
    decisions = asyncio.run(_decide(tmp_path))
    runs, folder = tmp_path / "runs", tmp_path / "portfolios" / "p"
    linked = runs / decisions[0].run_id
    linked.mkdir(parents=True)
    (linked / "report.md").write_text("# A report\n")
    done = [
        TickerDayResult(TickerDay(each.as_of, each.symbol, each.run_id), TickerDayState.DONE, each)
        for each in decisions
    ]
    evaluation = asyncio.run(
        write_report(folder, done, name="made", runs=runs, history=EmbeddedHistory())
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "ranking.csv",
        "ranking.json",
        "report.html",
        "report.md",
    ]
    document = json.loads((folder / "ranking.json").read_text())
    assert_fits(document, "ranking")
    assert {each["symbol"] for each in document["ranked"]} == {"NVDA", "WMT"}
    assert document["demonstration"]
    page = Tags((folder / "report.html").read_text("utf-8"))
    assert page.links == [f"../../runs/{decisions[0].run_id}/report.md"]
    assert (folder / page.links[0]).resolve().is_file()
    assert "No session after these decisions is known yet" in (folder / "report.md").read_text()
    assert evaluation.back_test is not None
    assert len(evaluation.back_test.untested) == 2


def test_a_narrow_terminal_shows_whole_numbers_in_fewer_columns(evaluation: Evaluation) -> None:
    holdings = Holdings((Holding("NVDA", 3, 150),), Cash(50_000, "USD"))
    told = evaluate("tech", results(), evaluation.prices, holdings=holdings)
    console = Console(file=io.StringIO(), width=80)
    show(told, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Gain/risk" in text
    assert "Confidence" in text
    assert "272.41 · 258.7895 · 299.651 USD" in text
    assert "in the report: " in text
    assert max(map(len, text.splitlines())) <= 80
    for each in told.ranking.ranked:
        assert re.search(rf"(?m)^(\d+\. )?{each.decision.symbol}\b", text)
    orders = as_markdown(told).partition("## Orders")[2]
    assert orders.split("\n")[3] == "|---|---|"
    assert "|---|---:|" in as_markdown(told)
    assert "A run's own report reckons as if it had all the cash to itself" in orders


def test_what_was_left_out_of_the_list_is_in_every_form() -> None:
    refused = RefusedSymbol("???", "'???' is not a ticker symbol.")
    told = evaluate("tech", [decided("AAPL", "BUY")], left_out=[refused])
    for name, text in forms(told).items():
        assert "Left out of the list" in text, name
        assert "is not a ticker symbol" in text, name
