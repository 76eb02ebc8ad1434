"""Valuation, margins, growth and leverage from filed statements and one close.

Every ratio that cannot be had is left out of the values and gets a reason. Flows are those of the
last twelve months that reports cover; a company whose reports in the source end long ago has old
ratios, and the basis says so.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trading_graph.toolkit.records import Fact
from trading_graph.toolkit.statements import (
    COVER_SHARES,
    DEBT,
    Amount,
    Period,
    amounts,
    balances,
    on_share_basis,
    quarters,
    trailing_year,
    year_before,
    years,
)

# A quarter's report is due within 45 days of its end: after 135 days a newer one should be there.
STALE_AFTER_DAYS = 135

_MARGINS = {
    "gross_margin": "gross_profit",
    "operating_margin": "operating_income",
    "net_margin": "net_income",
}


@dataclass(frozen=True, slots=True)
class Ratios:
    """The ratios that could be computed, why others could not, and what they stand on."""

    values: Mapping[str, float]
    missing: Mapping[str, str]
    basis: Mapping[str, str]


class _Collected:
    """Gathers ratios, and a reason for each that one of its parts keeps from being computed."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.missing: dict[str, str] = {}

    def add(self, name: str, over: float | None, under: float | None, reason: str) -> None:
        if over is None or under is None:
            self.missing[name] = reason
        elif under <= 0:
            self.missing[name] = "the denominator is not positive"
        else:
            self.values[name] = over / under

    def put(self, name: str, value: float | None, reason: str) -> None:
        if value is None:
            self.missing[name] = reason
        else:
            self.values[name] = value


def compute(
    facts: Sequence[Fact],
    close: float,
    session: datetime.date,
    splits: Sequence[tuple[datetime.date, float]],
    as_of: datetime.date,
) -> Ratios:
    """The ratios of a company from the facts filed by `as_of` and the close of `session`.

    `splits` are those up to the session: facts filed before one are restated, so that they stand on
    the share basis of the close.
    """
    by_concept = amounts(on_share_basis(facts, splits))
    flows = _trailing(by_concept)
    sheet = next(iter(balances(by_concept)), None)
    on_sheet: Mapping[str, float] = sheet.values if sheet else {}
    shares = _shares(by_concept)
    cap = close * shares.value if shares else None
    got = _Collected()

    no_shares = "no report gives a number of shares"
    no_year = "no report gives the concept for twelve months"
    no_sheet = "the balance sheet does not give it"
    got.put("market_cap", cap, no_shares)
    got.add("pe_ttm", close, flows.get("eps_diluted"), no_year)
    got.add("ps_ttm", cap, flows.get("revenue"), no_year if cap else no_shares)
    got.add("pb", cap, on_sheet.get("equity"), no_sheet if cap else no_shares)
    for margin, concept in _MARGINS.items():
        got.add(margin, flows.get(concept), flows.get("revenue"), no_year)
    growth, growth_basis = _growth(by_concept)
    got.put("revenue_growth_yoy", growth, "no report gives the revenue of a year before")
    got.add("debt_to_equity", on_sheet.get("total_debt"), on_sheet.get("equity"), no_sheet)
    current = (on_sheet.get("current_assets"), on_sheet.get("current_liabilities"))
    got.add("current_ratio", *current, no_sheet)
    got.put("fcf_ttm", flows.get("free_cash_flow"), no_year)
    got.add("fcf_yield", flows.get("free_cash_flow"), cap, no_year if cap else no_shares)

    basis = {"close": f"{close:g} of {session}"}
    if shares:
        basis["shares"] = f"{shares.value:.0f} at {shares.end}, {shares.form} filed {shares.filed}"
    basis |= _flow_basis(by_concept, as_of)
    if sheet:
        parts = [part for part in DEBT if part in on_sheet]
        basis["balance_sheet"] = f"{sheet.end}, {sheet.form} filed {sheet.filed}"
        basis["debt"] = " + ".join(parts) or "none reported"
    if growth_basis:
        basis["revenue_growth_yoy"] = growth_basis
    return Ratios(got.values, got.missing, basis)


def _trailing(by_concept: Mapping[str, Sequence[Amount]]) -> dict[str, float]:
    """The last twelve months' flows that end where revenue (else net income) ends."""
    found = {
        concept: trailing
        for concept, given in by_concept.items()
        if (trailing := trailing_year(given)) is not None
    }
    anchor = found.get("revenue") or found.get("net_income")
    flows = {c: a.value for c, a in found.items() if anchor and a.end == anchor.end}
    if "gross_profit" not in flows and {"revenue", "cost_of_revenue"} <= flows.keys():
        flows["gross_profit"] = flows["revenue"] - flows["cost_of_revenue"]
    if {"operating_cash_flow", "capital_expenditure"} <= flows.keys():
        flows["free_cash_flow"] = flows["operating_cash_flow"] - flows["capital_expenditure"]
    return flows


def _shares(by_concept: Mapping[str, Sequence[Amount]]) -> Amount | None:
    """The newest number of shares: of a cover page or balance sheet, else the diluted average."""
    for concepts in ((COVER_SHARES, "shares_outstanding"), ("diluted_shares",)):
        given = [amount for concept in concepts for amount in by_concept.get(concept, ())]
        if given:
            return max(given, key=lambda amount: (amount.end, -amount.days))
    return None


def _growth(by_concept: Mapping[str, Sequence[Amount]]) -> tuple[float | None, str]:
    for periods in sorted((quarters(by_concept), years(by_concept)), key=_newest, reverse=True):
        revenue = [period for period in periods if period.values.get("revenue", 0) > 0]
        if revenue and (before := year_before(revenue[0], revenue)):
            change = revenue[0].values["revenue"] / before.values["revenue"] - 1
            return change, f"{revenue[0].months} months to {revenue[0].end} against {before.end}"
    return None, ""


def _newest(periods: Sequence[Period]) -> datetime.date:
    return periods[0].end if periods else datetime.date.min


def _flow_basis(by_concept: Mapping[str, Sequence[Amount]], as_of: datetime.date) -> dict[str, str]:
    trailing = trailing_year(by_concept.get("revenue", ())) or trailing_year(
        by_concept.get("net_income", ())
    )
    if trailing is None:
        return {}
    basis = {"flows": f"12 months to {trailing.end}, {trailing.form} filed {trailing.filed}"}
    if note := staleness(trailing.end, as_of):
        basis["note"] = note
    return basis


def staleness(newest_period_end: datetime.date, as_of: datetime.date) -> str | None:
    """What to say of reports that are older than they should be, if they are."""
    age = (as_of - newest_period_end).days
    if age <= STALE_AFTER_DAYS:
        return None
    return (
        f"The newest period in the source ended {age} days before {as_of}: "
        "a newer report was probably filed, and is not in the source."
    )
