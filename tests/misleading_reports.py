"""EDGAR's and Yahoo's reports with what misleads in them, each fault a switch.

- `evening_filing`: results and a quarter filed on `DAY`, accepted after the close. EDGAR's stamp
  has a Z, and says 16:05 in New York time;
- `other_currency`: SEC's amounts in Canadian dollars;
- `two_currencies`: Yahoo's amounts in euros up to 2024, and in dollars since;
- `unnamed_currency`: Yahoo's amounts without one.
"""

from collections.abc import Set
from typing import Any

from tests.misleading_charts import DAY

REPORT_FAULTS = ("evening_filing", "other_currency", "two_currencies", "unnamed_currency")
EVENING_REVENUE = 1.0


def mislead_facts(faults: Set[str], spaces: dict[str, dict[str, Any]]) -> None:
    """Spoil a company's facts, by taxonomy and tag."""
    if "evening_filing" in faults:
        row = {
            "start": "2025-07-28",
            "end": "2025-10-26",
            "val": EVENING_REVENUE,
            "form": "10-Q",
            "filed": DAY.isoformat(),
        }
        spaces["us-gaap"]["Revenues"]["units"]["USD"].append(row)
    if "other_currency" in faults:
        for tag in spaces["us-gaap"].values():
            tag["units"] = {unit.replace("USD", "CAD"): rows for unit, rows in tag["units"].items()}


def mislead_filings(faults: Set[str], columns: dict[str, list[str]]) -> None:
    """Spoil the newest filings, by column, newest first."""
    if "evening_filing" in faults:
        row = {
            "form": "8-K",
            "filingDate": DAY.isoformat(),
            "items": "2.02,9.01",
            "acceptanceDateTime": f"{DAY}T16:05:00.000Z",
        }
        for name, value in row.items():
            columns[name].insert(0, value)


def mislead_series(faults: Set[str], rows: list[dict[str, Any]]) -> None:
    """Spoil the rows of one of Yahoo's series of amounts."""
    for row in rows:
        if "unnamed_currency" in faults:
            del row["currencyCode"]
        elif "two_currencies" in faults and row["asOfDate"] >= "2025":
            row["currencyCode"] = "USD"
