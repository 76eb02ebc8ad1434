#!/usr/bin/env python3
"""Make the embedded data set from a folder of recorded market data.

    python deploy/build_dataset.py --from DIR --to toolkit/dataset

DIR holds prices/*.csv, fundamentals/*.json[.gz], filings/*.json and macro/*, as `SOURCES.md` in
the target describes. The result is plain CSV, sorted, numbers and dates only; the same input gives
the same bytes.
"""

import argparse
import csv
import datetime as dt
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.sources.company_facts import (
    CONCEPT_TAGS,
    CompanyFacts,
    TagValue,
    TagValues,
    of_units,
    statement_facts,
    tag_values,
)

SYMBOLS = ("AAPL", "AMZN", "GOOGL", "META", "MSFT", "NVDA", "TSLA", "WMT", "^GSPC")
FIRST_SESSION = "2022-11-14"
FIRST_PERIOD_END = "2022-06-01"
FIRST_FILING = "2022-11-01"
BAR = ("Open", "High", "Low", "Close", "Volume")
SIZE_LIMIT = 1_500_000

FORMS = ("10-K", "10-K/A", "10-Q", "10-Q/A", "4", "8-K", "8-K/A")


def next_weekday(day: dt.date) -> dt.date:
    """The weekday after a day: a daily series is published on it."""
    return day + dt.timedelta(days=3 if day.weekday() == 4 else 2 if day.weekday() == 5 else 1)


def after(days: int) -> Callable[[dt.date], dt.date]:
    """Known so many days after the date that the series gives the observation."""
    return lambda day: day + dt.timedelta(days=days)


# When an observation was known: the publisher's usual delay, generous rather than tight.
MACRO: dict[str, Callable[[dt.date], dt.date]] = {
    "CPIAUCSL": after(46),
    "CPILFESL": after(46),
    "DFEDTARU": after(0),
    "DGS10": next_weekday,
    "ICSA": after(5),
    "INDPRO": after(49),
    "PAYEMS": after(40),
    "PCEPILFE": after(61),
    "RSAFS": after(49),
    "T10Y2Y": next_weekday,
    "T10YIE": next_weekday,
    "UNRATE": after(40),
    "VIX": after(0),
}
# In the federal shutdown of autumn 2025 nothing of these was published, with one exception: the
# consumer prices of September, on 24 October.
SUSPENDED = {"CPIAUCSL", "CPILFESL", "ICSA", "INDPRO", "PAYEMS", "PCEPILFE", "RSAFS", "UNRATE"}
SUSPENDED_FROM = "2025-10-01"
PUBLISHED_ANYWAY = {
    ("CPIAUCSL", "2025-09-01"): "2025-10-24",
    ("CPILFESL", "2025-09-01"): "2025-10-24",
}


Row = tuple[str, ...]


def number(value: float | str) -> str:
    """The shortest decimal of a number, without an exponent."""
    text = f"{float(value):.6f}".rstrip("0").rstrip(".")
    return text or "0"


def prices(source: Path) -> Iterator[Row]:
    """Daily bars of every symbol, split-adjusted to the source's end, dividends as a column."""
    for symbol in SYMBOLS:
        with (source / "prices" / f"{symbol}.csv").open(newline="") as file:
            for bar in csv.DictReader(file):
                if FIRST_SESSION <= bar["Date"] <= LAST_DAY:
                    values = [number(bar[name]) for name in BAR]
                    events = [number(bar.get(name) or 0) for name in ("Dividends", "Splits")]
                    yield (symbol, bar["Date"], *values, *("" if e == "0" else e for e in events))


def read_tags(source: Path, symbol: str) -> TagValues:
    """A company's values by tag, from the whole SEC answer if it is there, else the extract."""
    whole = sorted((source / "fundamentals").glob(f"{symbol}.CIK*.json.gz"))
    if whole:
        return tag_values(
            msgspec.json.decode(gzip.decompress(whole[0].read_bytes()), type=CompanyFacts)
        )
    extract = source / "fundamentals" / f"{symbol}.core.json"
    if not extract.exists():
        return {}
    tags = json.loads(extract.read_text())["facts"]
    return {
        tag: of_units(msgspec.convert(units, dict[str, list[TagValue]]))
        for tag, units in tags.items()
    }


def statements(source: Path) -> Iterator[Row]:
    """Every concept's values: each period's first, and later ones only where they differ."""
    since, until = dt.date.fromisoformat(FIRST_PERIOD_END), dt.date.fromisoformat(LAST_DAY)
    for symbol in SYMBOLS:
        tags = read_tags(source, symbol)
        for fact in statement_facts(tags, tuple(CONCEPT_TAGS), since=since, until=until):
            start = fact.start.isoformat() if fact.start else ""
            dates = (start, fact.end.isoformat(), fact.filed.isoformat())
            yield (symbol, fact.concept, *dates, fact.form, number(fact.value))


def filings(source: Path, statement_rows: Iterable[Row]) -> Iterator[Row]:
    """Dates of reports; without a list of filings, those that the statement facts name."""
    of_facts = {(row[0], row[5], row[4]) for row in statement_rows}
    for symbol in SYMBOLS:
        listed = source / "filings" / f"{symbol}.json"
        if not listed.exists():
            yield from ((s, form, filed, "") for s, form, filed in of_facts if s == symbol)
            continue
        for row in json.loads(listed.read_text())["filings"]:
            if row["form"] in FORMS and FIRST_FILING <= row["filed"] <= LAST_DAY:
                yield (symbol, row["form"], row["filed"], row["items"].replace(",", " "))


def macro(source: Path) -> Iterator[Row]:
    """Observations with the date from which each was known."""
    series = json.loads((source / "macro" / "fred_public.json").read_text())["series"]
    with (source / "macro" / "vix-daily.csv").open(newline="") as file:
        series["VIX"] = [(row["DATE"], float(row["CLOSE"])) for row in csv.DictReader(file)]
    for name, delay in MACRO.items():
        for day, value in series[name]:
            known = delay(dt.date.fromisoformat(day)).isoformat()
            if name in SUSPENDED and known >= SUSPENDED_FROM:
                known = PUBLISHED_ANYWAY.get((name, day), "9999-12-31")
            if day >= FIRST_FILING and known <= LAST_DAY:
                yield (name, day, number(value), known)


def write(target: Path, header: str, rows: Iterable[Row]) -> int:
    """Write a sorted table and return its size in bytes."""
    with target.open("w", newline="", encoding="ascii") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header.split(","))
        table.writerows(sorted(rows))
    size = target.stat().st_size
    print(f"{target.name:16} {size:>9,} bytes")
    return size


def main() -> None:
    """Read the arguments and write the four tables."""
    parser = argparse.ArgumentParser(description="Make the embedded data set.")
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--to", dest="target", type=Path, required=True)
    options = parser.parse_args()
    source, target = options.source, options.target
    facts = list(statements(source))
    total = sum(
        (
            write(
                target / "prices.csv",
                "symbol,date,open,high,low,close,volume,dividend,split",
                prices(source),
            ),
            write(target / "statements.csv", "symbol,concept,start,end,filed,form,value", facts),
            write(target / "filings.csv", "symbol,form,filed,items", filings(source, facts)),
            write(target / "macro.csv", "series,date,value,known", macro(source)),
        )
    )
    print(f"{'together':16} {total:>9,} bytes")
    if total > SIZE_LIMIT:
        raise SystemExit(f"The data set has {total:,} bytes, and {SIZE_LIMIT:,} is the limit.")


if __name__ == "__main__":
    main()
