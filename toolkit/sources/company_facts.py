"""What companies reported to SEC, value by value (company facts, XBRL), as facts of our concepts.

Companies choose their tags and change them: Alphabet reported revenue under the contract tag until
the quarter of March 2025, and under `Revenues` since. A concept of ours is therefore read from
several tags, the preferred one first, among the filings up to a day: a later report never changes
which tag counts. The currency is the unit of the newest period filed by then.
"""

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from trading_graph.toolkit.records import Fact

CONCEPT_TAGS: Mapping[str, tuple[str, ...]] = {
    "revenue": ("Revenues", "RevenueFromContractWithCustomerExcludingAssessedTax"),
    "cost_of_revenue": ("CostOfRevenue", "CostOfGoodsAndServicesSold"),
    "gross_profit": ("GrossProfit",),
    "research_and_development": ("ResearchAndDevelopmentExpense",),
    "selling_general_admin": ("SellingGeneralAndAdministrativeExpense",),
    "operating_income": ("OperatingIncomeLoss",),
    "net_income": ("NetIncomeLoss",),
    "eps_diluted": ("EarningsPerShareDiluted",),
    "diluted_shares": ("WeightedAverageNumberOfDilutedSharesOutstanding",),
    "assets": ("Assets",),
    "current_assets": ("AssetsCurrent",),
    "liabilities": ("Liabilities",),
    "current_liabilities": ("LiabilitiesCurrent",),
    "equity": ("StockholdersEquity",),
    "cash": ("CashAndCashEquivalentsAtCarryingValue",),
    "securities_current": ("MarketableSecuritiesCurrent", "ShortTermInvestments"),
    "securities_noncurrent": ("MarketableSecuritiesNoncurrent",),
    "inventories": ("InventoryNet",),
    "commercial_paper": ("CommercialPaper",),
    "long_term_debt_current": ("LongTermDebtCurrent", "DebtCurrent"),
    "long_term_debt": ("LongTermDebtNoncurrent", "LongTermDebtAndCapitalLeaseObligations"),
    "shares_outstanding": ("CommonStockSharesOutstanding",),
    "shares_outstanding_cover": ("dei:EntityCommonStockSharesOutstanding",),
    "operating_cash_flow": ("NetCashProvidedByUsedInOperatingActivities",),
    "capital_expenditure": (
        "PaymentsToAcquirePropertyPlantAndEquipment",
        "PaymentsToAcquireProductiveAssets",
    ),
    "depreciation_amortization": (
        "DepreciationDepletionAndAmortization",
        "DepreciationAmortizationAndAccretionNet",
    ),
    "stock_compensation": ("ShareBasedCompensation",),
    "buybacks": ("PaymentsForRepurchaseOfCommonStock",),
    "dividends_paid": ("PaymentsOfDividends",),
}
"""The tags of each concept, the preferred one first; `dei:` marks those of the cover page."""

# Substitutes for companies that use none of a concept's tags in any report.
_SUBSTITUTES = {"long_term_debt": "LongTermDebt", "depreciation_amortization": "Depreciation"}
# A company without a total reports these two parts.
_PARTS = {
    "selling_general_admin": ("SellingAndMarketingExpense", "GeneralAndAdministrativeExpense")
}
_REPORTS = ("10-K", "10-Q")
_DOLLAR = "USD"
_SHARES = "shares"
_CURRENCY = re.compile(r"[A-Z]{3}")


class TagValue(msgspec.Struct, frozen=True):
    """One value of one tag, as SEC publishes it."""

    end: datetime.date
    val: float
    filed: datetime.date
    form: str
    start: datetime.date | None = None


class _TagUnits(msgspec.Struct, frozen=True):
    units: dict[str, list[TagValue]]


class CompanyFacts(msgspec.Struct, frozen=True):
    """What a company reported, tag by tag, as SEC publishes it (companyfacts)."""

    facts: dict[str, dict[str, _TagUnits]]


TagValues = Mapping[str, Sequence[TagValue]]

_TAGS = frozenset(
    tag
    for tags in (*CONCEPT_TAGS.values(), tuple(_SUBSTITUTES.values()), *_PARTS.values())
    for tag in tags
)


@dataclass(frozen=True, slots=True)
class Reported:
    """What a company reported: amounts of money by currency, and numbers of shares."""

    money: Mapping[str, TagValues]
    shares: TagValues

    def currency(self, until: datetime.date) -> str:
        """The currency of the newest period filed by a day; "" without any amount."""
        newest = {
            currency: max(v.end for each in tags.values() for v in each if v.filed <= until)
            for currency, tags in self.money.items()
            if any(v.filed <= until for each in tags.values() for v in each)
        }
        return max(newest, key=lambda currency: newest[currency], default="")

    def tags(self, currency: str) -> TagValues:
        """The values in a currency, and numbers of shares."""
        return {**self.shares, **self.money.get(currency, {})}


def reported(company: CompanyFacts) -> Reported:
    """The values of the tags above; for a large company call this in a thread."""
    spaces = company.facts
    tags = {f"dei:{name}": tag for name, tag in spaces.get("dei", {}).items()}
    tags |= spaces.get("us-gaap", {})
    units = {name: tag.units for name, tag in tags.items() if name in _TAGS}
    names = {unit for each in units.values() for unit in each if _CURRENCY.fullmatch(unit)}
    money = {
        currency: {
            tag: values
            for tag, each in units.items()
            if (values := [*each.get(currency, ()), *each.get(f"{currency}/{_SHARES}", ())])
        }
        for currency in sorted(names)
    }
    return Reported(money, {t: each[_SHARES] for t, each in units.items() if _SHARES in each})


def tag_values(company: CompanyFacts) -> TagValues:
    """The values of the tags above in dollars, and numbers of shares."""
    return reported(company).tags(_DOLLAR)


def of_units(units: Mapping[str, Sequence[TagValue]]) -> list[TagValue]:
    """The values in dollars, dollars a share, or shares."""
    names = (_DOLLAR, f"{_DOLLAR}/{_SHARES}", _SHARES)
    return [value for unit in names for value in units.get(unit, ())]


def statement_facts(
    tags: TagValues, concepts: Sequence[str], *, since: datetime.date, until: datetime.date
) -> Iterator[Fact]:
    """Facts of annual and quarterly reports filed up to `until`, for periods that end from `since`.

    Each period gives its first value, and later ones only where they differ.
    """
    usable = {
        tag: [
            value
            for value in values
            if value.end >= since and value.filed <= until and value.form.startswith(_REPORTS)
        ]
        for tag, values in tags.items()
    }
    for concept in concepts:
        latest: dict[tuple[datetime.date | None, datetime.date], float] = {}
        for value in _of_concept(usable, concept):
            if latest.get((value.start, value.end)) != value.val:
                latest[value.start, value.end] = value.val
                yield Fact(concept, value.start, value.end, value.filed, value.form, value.val)


_Key = tuple[datetime.date, datetime.date | None, datetime.date]


def _of_concept(tags: TagValues, concept: str) -> list[TagValue]:
    """A concept's values: for each filing and period the preferred tag's, or the sum of parts."""
    values: dict[_Key, TagValue] = {}
    for tag in reversed(CONCEPT_TAGS[concept]):
        values |= _by_period(tags.get(tag, ()))
    if not values and concept in _SUBSTITUTES:
        values = _by_period(tags.get(_SUBSTITUTES[concept], ()))
    if not values and concept in _PARTS:
        first, second = (_by_period(tags.get(tag, ())) for tag in _PARTS[concept])
        values = {
            key: msgspec.structs.replace(value, val=value.val + second[key].val)
            for key, value in first.items()
            if key in second
        }
    return sorted(
        values.values(),
        key=lambda value: (value.end, value.start or datetime.date.min, value.filed),
    )


def _by_period(values: Sequence[TagValue]) -> dict[_Key, TagValue]:
    return {(value.filed, value.start, value.end): value for value in values}
