"""The embedded data set: known numbers, as-of safe rows, a builder that repeats itself."""

import csv
import datetime
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from trading_graph.toolkit.dataset import tables

ROOT = Path(__file__).parents[2]
BUILDER = ROOT / "deploy" / "build_dataset.py"
FOLDER = ROOT / "toolkit" / "dataset"
LAST = datetime.date(2025, 11, 14)


def test_closes_are_the_known_ones() -> None:
    closes = {symbol: rows[-1].ohlcv[3] for symbol, rows in tables.prices().items()}
    assert closes == {
        "AAPL": 272.41, "AMZN": 234.69, "GOOGL": 276.41, "META": 609.46, "MSFT": 510.18,
        "NVDA": 190.17, "TSLA": 404.35, "WMT": 102.48, "^GSPC": 6734.11,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "concept", "end", "value", "filed"),
    [
        ("AAPL", "revenue", "2025-09-27", 416_161e6, "2025-10-31"),
        ("AAPL", "eps_diluted", "2025-09-27", 7.46, "2025-10-31"),
        ("NVDA", "revenue", "2025-01-26", 130_497e6, "2025-02-26"),
        ("GOOGL", "revenue", "2024-12-31", 350_018e6, "2025-02-05"),
        ("META", "net_income", "2024-12-31", 62_360e6, "2025-01-30"),
        ("WMT", "revenue", "2025-01-31", 680_985e6, "2025-03-14"),
    ],
)
def test_fiscal_years_are_the_filed_ones(
    symbol: str, concept: str, end: str, value: float, filed: str
) -> None:
    values = [
        (fact.value, fact.filed.isoformat())
        for fact in tables.statements()[symbol]
        if fact.concept == concept
        and fact.end.isoformat() == end
        and fact.start
        and (fact.end - fact.start).days > 350
    ]
    assert values == [(value, filed)]


def test_every_symbol_has_three_years_of_whole_sessions() -> None:
    sessions = {row.date for row in tables.prices()["^GSPC"]}
    assert min(sessions) == datetime.date(2022, 11, 14)
    assert max(sessions) == LAST
    holes = []
    for symbol, rows in tables.prices().items():
        assert [row.date for row in rows] == sorted(sessions)
        for row in rows:
            opened, high, low, close, volume = row.ohlcv
            assert low <= min(opened, close) <= max(opened, close) <= high
            if volume == 0:
                holes.append((symbol, row.date.isoformat()))
    assert holes == [("^GSPC", "2023-05-24")]


def test_nothing_is_known_after_the_last_day_or_before_it_happened() -> None:
    for facts in tables.statements().values():
        assert all(fact.end < fact.filed <= LAST for fact in facts if "cover" not in fact.concept)
        assert all(fact.end <= fact.filed <= LAST for fact in facts)
    assert all(f.filed <= LAST for filings in tables.filings().values() for f in filings)
    for observations in tables.macro().values():
        assert all(row.date <= row.available <= LAST for row in observations)


def test_no_statistic_of_the_shutdown_is_known_before_it_was_published() -> None:
    published = {
        row.date.isoformat(): row.available.isoformat() for row in tables.macro()["CPIAUCSL"]
    }
    assert max(published) == "2025-09-01"
    assert published["2025-09-01"] == "2025-10-24"
    assert max(row.date.isoformat() for row in tables.macro()["PAYEMS"]) == "2025-08-01"
    assert max(row.date.isoformat() for row in tables.macro()["DGS10"]) == "2025-11-13"


def test_the_tables_are_small_plain_and_sorted() -> None:
    size = 0
    for path in sorted(FOLDER.glob("*.csv")):
        size += path.stat().st_size
        header, *rows = list(csv.reader(path.read_text("ascii").splitlines()))
        assert rows == sorted(rows)
        assert {len(row) for row in rows} == {len(header)}
        # Facts only: no cell is long enough for a sentence.
        assert max(len(cell) for row in rows for cell in row) <= 40
    assert size < 1_500_000


def test_a_symbol_may_lack_statements_but_not_prices() -> None:
    assert "MSFT" not in tables.statements()
    assert set(tables.statements()) | {"MSFT", "^GSPC"} == set(tables.prices())
    assert {f.form for f in tables.filings()["GOOGL"]} == {"10-K", "10-Q"}
    assert {"8-K", "4"} < {f.form for f in tables.filings()["AAPL"]}


# The builder, on a small source of its own


def fact(value: float, filed: str, end: str = "2024-12-31", **more: str) -> dict[str, object]:
    """One fact as SEC gives it."""
    return {"start": "2024-01-01", "end": end, "val": value, "filed": filed, "form": "10-K"} | more


def make_source(folder: Path) -> Path:
    """A source with every kind of file, and with rows that must not be taken over."""
    for name in ("prices", "fundamentals", "filings", "macro"):
        (folder / name).mkdir(parents=True)
    head = "Date,Open,High,Low,Close,AdjClose,Volume,Dividends,Splits"
    bars = [
        "2022-11-11,1,1,1,1,1,1,0.0,0.0",
        "2025-11-14,100.5,102,99,101.25,90,5000,0.25,4.0",
        "2025-11-17,1,1,1,1,1,1,0.0,0.0",
    ]
    for symbol in ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT", "^GSPC"):
        (folder / "prices" / f"{symbol}.csv").write_text("\n".join([head, *bars]))
    tags = {
        "Revenues": [],
        "RevenueFromContractWithCustomerExcludingAssessedTax": [
            fact(100, "2025-02-01"),
            fact(100, "2025-05-01"),
            fact(90, "2025-11-01"),
            fact(80, "2025-12-01"),
            fact(7, "2025-02-01", form="8-K"),
            fact(7, "2022-02-01", end="2021-12-31"),
        ],
        "SellingAndMarketingExpense": [fact(10, "2025-02-01")],
        "GeneralAndAdministrativeExpense": [fact(5, "2025-02-01")],
        "LongTermDebt": [fact(50, "2025-02-01")],
    }
    gaap = {tag: {"units": {"USD": rows}} for tag, rows in tags.items()}
    whole = gzip.compress(json.dumps({"facts": {"us-gaap": gaap, "dei": {}}}).encode())
    (folder / "fundamentals" / "GOOGL.CIK1.json.gz").write_bytes(whole)
    filings = [
        {"form": "8-K", "filed": "2025-11-14", "items": "2.02,9.01"},
        {"form": "8-K", "filed": "2025-11-17", "items": "8.01"},
        {"form": "144", "filed": "2025-11-14", "items": ""},
    ]
    (folder / "filings" / "AAPL.json").write_text(json.dumps({"filings": filings}))
    names = (
        "CPIAUCSL CPILFESL DFEDTARU DGS10 ICSA INDPRO PAYEMS PCEPILFE RSAFS T10Y2Y T10YIE UNRATE"
    )
    series = {name: [["2025-11-13", 4.1], ["2025-11-14", 4.2]] for name in names.split()}
    (folder / "macro" / "fred_public.json").write_text(json.dumps({"series": series}))
    (folder / "macro" / "vix-daily.csv").write_text("DATE,CLOSE\n2025-11-14,19.83\n")
    return folder


def build(source: Path, target: Path) -> dict[str, list[str]]:
    """The lines of every table that the builder makes."""
    target.mkdir()
    subprocess.run(
        [sys.executable, str(BUILDER), "--from", str(source), "--to", str(target)],
        check=True,
        capture_output=True,
    )
    return {path.stem: path.read_text().splitlines()[1:] for path in target.glob("*.csv")}


def test_the_builder_takes_what_was_known_and_repeats_itself(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source")
    built = build(source, tmp_path / "one")
    assert build(source, tmp_path / "two") == built
    assert built["prices"][0] == "AAPL,2025-11-14,100.5,102,99,101.25,5000,0.25,4"
    assert len(built["prices"]) == 9
    assert built["statements"] == [
        "GOOGL,long_term_debt,2024-01-01,2024-12-31,2025-02-01,10-K,50",
        "GOOGL,revenue,2024-01-01,2024-12-31,2025-02-01,10-K,100",
        "GOOGL,revenue,2024-01-01,2024-12-31,2025-11-01,10-K,90",
        "GOOGL,selling_general_admin,2024-01-01,2024-12-31,2025-02-01,10-K,15",
    ]
    assert built["filings"] == [
        "AAPL,8-K,2025-11-14,2.02 9.01",
        "GOOGL,10-K,2025-02-01,",
        "GOOGL,10-K,2025-11-01,",
    ]
    assert built["macro"] == [
        "DFEDTARU,2025-11-13,4.1,2025-11-13",
        "DFEDTARU,2025-11-14,4.2,2025-11-14",
        "DGS10,2025-11-13,4.1,2025-11-14",
        "T10Y2Y,2025-11-13,4.1,2025-11-14",
        "T10YIE,2025-11-13,4.1,2025-11-14",
        "VIX,2025-11-14,19.83,2025-11-14",
    ]
