"""Statement periods from the facts of reports: quarters, fiscal years, balances, trailing years.

Reports do not give every quarter. A 10-Q gives cash flows since the start of the fiscal year, and
no report gives the fourth quarter alone. Such a quarter is derived as the difference of two periods
with the same start or end, and marked as derived. It counts from the later of the two filings.
Share averages cannot be derived that way.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from trading_graph.toolkit.bars import Event
from trading_graph.toolkit.records import Fact

CONCEPTS: Mapping[str, tuple[str, ...]] = {
    "income": (
        "revenue",
        "cost_of_revenue",
        "gross_profit",
        "research_and_development",
        "selling_general_admin",
        "operating_income",
        "net_income",
        "eps_diluted",
        "diluted_shares",
    ),
    "balance": (
        "assets",
        "current_assets",
        "cash",
        "securities_current",
        "securities_noncurrent",
        "inventories",
        "liabilities",
        "current_liabilities",
        "commercial_paper",
        "long_term_debt_current",
        "long_term_debt",
        "equity",
        "shares_outstanding",
        "shares_outstanding_cover",
    ),
    "cash_flow": (
        "operating_cash_flow",
        "capital_expenditure",
        "depreciation_amortization",
        "stock_compensation",
        "buybacks",
        "dividends_paid",
    ),
}
"""The concepts of each kind of statement, in the order of the statement."""

DEBT = ("commercial_paper", "long_term_debt_current", "long_term_debt")
COVER_SHARES = "shares_outstanding_cover"

_SHARE_COUNTS = frozenset(("diluted_shares", "shares_outstanding", COVER_SHARES))
_DAY = datetime.timedelta(days=1)

# 52- and 53-week years, and quarters of 12 to 14 weeks, are usual.
_QUARTER = range(80, 101)
_YEAR = range(350, 381)
_YEAR_APART = range(355, 377)


@dataclass(frozen=True, slots=True)
class Amount:
    """One concept in one period: its value, and the days of its first and last report."""

    start: datetime.date | None
    end: datetime.date
    value: float
    filed: datetime.date
    updated: datetime.date
    form: str
    derived: bool = False

    @property
    def days(self) -> int:
        """The length of the period; 0 for a balance."""
        return (self.end - self.start).days + 1 if self.start else 0


@dataclass(frozen=True, slots=True)
class Period:
    """One column of a statement, with its first report.

    `months` is 3, 12, or 0 for a balance. `updated` is later than `filed` where a value comes from
    a later report. `derived` names the values that no report states.
    """

    end: datetime.date
    months: int
    filed: datetime.date
    updated: datetime.date
    form: str
    values: Mapping[str, float]
    derived: frozenset[str]


def on_share_basis(facts: Iterable[Fact], splits: Sequence[Event]) -> tuple[Fact, ...]:
    """The facts with per-share values and share counts restated for splits after their filing."""
    return tuple(_restate(fact, splits) for fact in facts)


def _restate(fact: Fact, splits: Sequence[Event]) -> Fact:
    if fact.concept != "eps_diluted" and fact.concept not in _SHARE_COUNTS:
        return fact
    factor = 1.0
    for ex_date, ratio in splits:
        if ex_date > fact.filed:
            factor *= ratio
    if factor == 1.0:
        return fact
    value = fact.value * factor if fact.concept in _SHARE_COUNTS else fact.value / factor
    return replace(fact, value=value)


def amounts(facts: Iterable[Fact]) -> dict[str, list[Amount]]:
    """The amounts of each concept as last reported, with the quarters that can be derived."""
    reports: defaultdict[tuple[str, datetime.date | None, datetime.date], list[Fact]]
    reports = defaultdict(list)
    for fact in facts:
        reports[fact.concept, fact.start, fact.end].append(fact)
    by_concept: defaultdict[str, list[Amount]] = defaultdict(list)
    for (concept, start, end), versions in reports.items():
        versions.sort(key=lambda fact: fact.filed)
        first, last = versions[0], versions[-1]
        by_concept[concept].append(
            Amount(start, end, last.value, first.filed, last.filed, first.form)
        )
    for concept in by_concept.keys() - _SHARE_COUNTS:
        by_concept[concept] += _derive_quarters(by_concept[concept])
    return dict(by_concept)


def _derive_quarters(reported: Sequence[Amount]) -> list[Amount]:
    report_ends = {amount.end for amount in reported if amount.days in _QUARTER}
    quarters_by_end: dict[datetime.date, Amount] = {}
    flows = sorted((a for a in reported if a.start), key=lambda amount: amount.days)
    for short, long in combinations(flows, 2):
        if short.start == long.start:
            start, end = short.end + _DAY, long.end
        elif short.end == long.end and short.start and long.start:
            start, end = long.start, short.start - _DAY
        else:
            continue
        later = max(short, long, key=lambda amount: amount.filed)
        quarter = Amount(
            start,
            end,
            long.value - short.value,
            later.filed,
            max(short.updated, long.updated),
            later.form,
            derived=True,
        )
        if quarter.days in _QUARTER and end not in report_ends:
            quarters_by_end.setdefault(end, quarter)
    return list(quarters_by_end.values())


def quarters(by_concept: Mapping[str, Sequence[Amount]]) -> list[Period]:
    """The quarters, newest first."""
    return _periods(by_concept, _QUARTER, 3)


def years(by_concept: Mapping[str, Sequence[Amount]]) -> list[Period]:
    """The fiscal years, newest first."""
    return _periods(by_concept, _YEAR, 12)


def balances(by_concept: Mapping[str, Sequence[Amount]]) -> list[Period]:
    """The balance-sheet dates, newest first; dates without total assets are left out."""
    periods = _periods(by_concept, range(0, 1), 0)
    return [period for period in periods if "assets" in period.values]


def _periods(
    by_concept: Mapping[str, Sequence[Amount]], lengths: range, months: int
) -> list[Period]:
    columns: defaultdict[datetime.date, dict[str, Amount]] = defaultdict(dict)
    for concept, column in by_concept.items():
        for amount in column:
            if amount.days in lengths and concept != COVER_SHARES:
                columns[amount.end][concept] = amount
    return [_period(columns[end], end, months) for end in sorted(columns, reverse=True)]


def _period(column: Mapping[str, Amount], end: datetime.date, months: int) -> Period:
    first = min(column.values(), key=lambda amount: (amount.filed, amount.form))
    values = {concept: amount.value for concept, amount in column.items()}
    derived = {concept for concept, amount in column.items() if amount.derived}
    sums = sums_of(values)
    values |= sums
    derived |= sums.keys()
    return Period(
        end,
        months,
        first.filed,
        max(amount.updated for amount in column.values()),
        first.form,
        values,
        frozenset(derived),
    )


def sums_of(values: Mapping[str, float]) -> dict[str, float]:
    """The lines that follow from others: gross profit if missing, free cash flow, total debt."""
    sums: dict[str, float] = {}
    if "gross_profit" not in values and {"revenue", "cost_of_revenue"} <= values.keys():
        sums["gross_profit"] = values["revenue"] - values["cost_of_revenue"]
    if {"operating_cash_flow", "capital_expenditure"} <= values.keys():
        sums["free_cash_flow"] = values["operating_cash_flow"] - values["capital_expenditure"]
    debt = [values[part] for part in DEBT if part in values]
    if debt:
        sums["total_debt"] = sum(debt)
    return sums


def year_before(period: Period, periods: Iterable[Period]) -> Period | None:
    """The same period a year earlier, if it is among the periods."""
    for other in periods:
        if (period.end - other.end).days in _YEAR_APART:
            return other
    return None


def trailing_year(series: Sequence[Amount]) -> Amount | None:
    """The last twelve months of a concept.

    That is the last fiscal year, plus this year to date, minus the same part of the year before.
    None without a fiscal year, or without that part.
    """
    reported = [amount for amount in series if amount.start and not amount.derived]
    fiscal_years = [amount for amount in reported if amount.days in _YEAR]
    if not fiscal_years:
        return None
    year = max(fiscal_years, key=lambda amount: amount.end)
    to_date = [amount for amount in reported if amount.start == year.end + _DAY]
    if not to_date:
        return year
    now = max(to_date, key=lambda amount: amount.end)
    for before in reported:
        if before.start == year.start and (now.end - before.end).days in _YEAR_APART:
            parts = (year, now, before)
            return Amount(
                before.end + _DAY,
                now.end,
                year.value + now.value - before.value,
                max(part.filed for part in parts),
                max(part.updated for part in parts),
                now.form,
                derived=True,
            )
    return None
