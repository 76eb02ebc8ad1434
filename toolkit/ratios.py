"""Valuation, margins, growth and leverage from filed statements and one close.

A ratio that cannot be computed has a reason instead of a value. Flows are those of the last twelve
months that reports cover. If a company's last report in the source is old, so are its ratios, and
the basis says so.
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
    sums_of,
    trailing_year,
    year_before,
    years,
)

NO_PRICE = "no source gives a price"

# A quarter's report is due 45 days after its end: after 135 days there should be a newer one.
STALE_AFTER_DAYS = 135

_MARGINS = {
    "gross_margin": "gross_profit",
    "operating_margin": "operating_income",
    "net_margin": "net_income",
}


@dataclass(frozen=True, slots=True)
class Ratios:
    """The ratios, the reasons for the missing ones, and the reports they are based on."""

    values: Mapping[str, float]
    missing: Mapping[str, str]
    basis: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Currencies:
    """In what the prices and each kind of statement are; "" where the source does not say.

    Nothing is converted, not even pence (GBp) into pounds (GBP).
    """

    price: str
    statements: Mapping[str, str]

    def apart(self, kind: str) -> str:
        """Why a price cannot be divided by an amount of a kind of statement; "" if it can."""
        money = self.statements.get(kind, "")
        if not self.price or not money:
            unnamed = "prices" if not self.price else "statements"
            return f"the source does not name the currency of the {unnamed}"
        if self.price == money:
            return ""
        return f"the price is in {self.price} and the statement in {money}; nothing is converted"


class _RatioTable:
    """Collects ratios, and a reason for each that lacks a part."""

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
    close: float | None,
    session: datetime.date,
    splits: Sequence[tuple[datetime.date, float]],
    as_of: datetime.date,
    currencies: Currencies,
) -> Ratios:
    """The ratios of a company from the facts known by `as_of` and the close of `session`.

    `splits` are those up to the session. Facts filed before a split are restated to the share basis
    of the close. Without a close (None) only the ratios of statements are there.
    """
    by_concept = amounts(on_share_basis(facts, splits))
    flows = _trailing(by_concept)
    sheet = next(iter(balances(by_concept)), None)
    on_sheet: Mapping[str, float] = sheet.values if sheet else {}
    shares = _shares(by_concept)
    cap = close * shares.value if shares and close is not None else None
    table = _RatioTable()

    no_shares = NO_PRICE if close is None else "no report gives a number of shares"
    no_year = "no report gives the concept for twelve months"
    no_sheet = "the balance sheet does not give it"
    table.put("market_cap", cap, no_shares)
    for kind, name, over, under, reason in (
        ("income", "pe_ttm", close, flows.get("eps_diluted"), no_year),
        ("income", "ps_ttm", cap, flows.get("revenue"), no_year),
        ("balance", "pb", cap, on_sheet.get("equity"), no_sheet),
        ("cash_flow", "fcf_yield", flows.get("free_cash_flow"), cap, no_year),
    ):
        if close is None:
            table.missing[name] = NO_PRICE
        elif apart := currencies.apart(kind):
            table.missing[name] = apart
        else:
            table.add(name, over, under, reason if cap or name == "pe_ttm" else no_shares)
    for margin, concept in _MARGINS.items():
        table.add(margin, flows.get(concept), flows.get("revenue"), no_year)
    growth, growth_basis = _growth(by_concept)
    table.put("revenue_growth_yoy", growth, "no report gives the revenue of a year before")
    table.add("debt_to_equity", on_sheet.get("total_debt"), on_sheet.get("equity"), no_sheet)
    current = (on_sheet.get("current_assets"), on_sheet.get("current_liabilities"))
    table.add("current_ratio", *current, no_sheet)
    table.put("fcf_ttm", flows.get("free_cash_flow"), no_year)

    basis = {} if close is None else {"close": f"{close:g} of {session}"}
    if shares:
        basis["shares"] = f"{shares.value:.0f} at {shares.end}, {shares.form} filed {shares.filed}"
    basis |= _flow_basis(by_concept, as_of)
    if sheet:
        parts = [part for part in DEBT if part in on_sheet]
        basis["balance_sheet"] = f"{sheet.end}, {sheet.form} filed {sheet.filed}"
        basis["debt"] = " + ".join(parts) or "none reported"
    if growth_basis:
        basis["revenue_growth_yoy"] = growth_basis
    return Ratios(table.values, table.missing, basis)


def _trailing(by_concept: Mapping[str, Sequence[Amount]]) -> dict[str, float]:
    """The last twelve months' flows that end where revenue (else net income) ends."""
    years_by_concept = {
        concept: trailing
        for concept, series in by_concept.items()
        if (trailing := trailing_year(series)) is not None
    }
    anchor = years_by_concept.get("revenue") or years_by_concept.get("net_income")
    flows = {c: a.value for c, a in years_by_concept.items() if anchor and a.end == anchor.end}
    return flows | sums_of(flows)


def _shares(by_concept: Mapping[str, Sequence[Amount]]) -> Amount | None:
    """The newest number of shares, from a cover page or balance sheet, or the diluted average."""
    for concepts in ((COVER_SHARES, "shares_outstanding"), ("diluted_shares",)):
        counts = [amount for concept in concepts for amount in by_concept.get(concept, ())]
        if counts:
            return max(counts, key=lambda amount: (amount.end, -amount.days))
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
    """A note about reports that are older than they should be, if they are."""
    age = (as_of - newest_period_end).days
    if age <= STALE_AFTER_DAYS:
        return None
    return (
        f"The newest period in the source ended {age} days before {as_of}: "
        "a newer report was probably filed, and is not in the source."
    )
