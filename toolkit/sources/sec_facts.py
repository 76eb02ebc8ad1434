"""Statement facts from what companies tag in their reports to the SEC (company facts, XBRL).

Filers choose their tags and change them: Alphabet reported revenue under the contract tag until the
quarter of March 2025, and under `Revenues` since. Here a concept of ours is read from its tags, the
preferred one first, among what was filed by a day: a later report never changes which tag counts.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence

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

# Stand-ins for filers that give none of a concept's tags in any report.
_STAND_INS = {"long_term_debt": "LongTermDebt", "depreciation_amortization": "Depreciation"}
# Who reports no total of it reports these two.
_SUMMED = {
    "selling_general_admin": ("SellingAndMarketingExpense", "GeneralAndAdministrativeExpense")
}
_REPORTS = ("10-K", "10-Q")
_UNITS = ("USD", "USD/shares", "shares")


class TagValue(msgspec.Struct, frozen=True):
    """One value of one tag, as SEC publishes it."""

    end: datetime.date
    val: float
    filed: datetime.date
    form: str
    start: datetime.date | None = None


class _Tag(msgspec.Struct, frozen=True):
    units: dict[str, list[TagValue]]


class _Company(msgspec.Struct, frozen=True):
    facts: dict[str, dict[str, _Tag]]


TagValues = Mapping[str, Sequence[TagValue]]

_WANTED = frozenset(
    tag
    for tags in (*CONCEPT_TAGS.values(), tuple(_STAND_INS.values()), *_SUMMED.values())
    for tag in tags
)


def read_company(body: bytes) -> TagValues:
    """The values of the tags that we read, from a companyfacts answer; msgspec.DecodeError if bad.

    An answer of a large company has megabytes: for a thread.
    """
    spaces = msgspec.json.decode(body, type=_Company).facts
    tags = {f"dei:{name}": tag for name, tag in spaces.get("dei", {}).items()}
    tags |= spaces.get("us-gaap", {})
    return {name: of_units(tag.units) for name, tag in tags.items() if name in _WANTED}


def of_units(units: Mapping[str, Sequence[TagValue]]) -> list[TagValue]:
    """The values in dollars, dollars a share, or shares."""
    return [value for unit in _UNITS for value in units.get(unit, ())]


def statement_facts(
    tags: TagValues, concepts: Sequence[str], *, since: datetime.date, until: datetime.date
) -> Iterator[Fact]:
    """Facts of annual and quarterly reports filed up to `until`, of periods that ended from `since`
    on: each period's first value, and later ones only where they differ.
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
        known: dict[tuple[datetime.date | None, datetime.date], float] = {}
        for value in _of_concept(usable, concept):
            if known.get((value.start, value.end)) != value.val:
                known[value.start, value.end] = value.val
                yield Fact(concept, value.start, value.end, value.filed, value.form, value.val)


_Key = tuple[datetime.date, datetime.date | None, datetime.date]


def _of_concept(tags: TagValues, concept: str) -> list[TagValue]:
    """A concept's values: of each filing and period the preferred tag's, or a sum of two."""
    found: dict[_Key, TagValue] = {}
    for tag in reversed(CONCEPT_TAGS[concept]):
        found |= _by_period(tags.get(tag, ()))
    if not found and concept in _STAND_INS:
        found = _by_period(tags.get(_STAND_INS[concept], ()))
    if not found and concept in _SUMMED:
        first, second = (_by_period(tags.get(tag, ())) for tag in _SUMMED[concept])
        found = {
            key: msgspec.structs.replace(value, val=value.val + second[key].val)
            for key, value in first.items()
            if key in second
        }
    return sorted(
        found.values(),
        key=lambda value: (value.end, value.start or datetime.date.min, value.filed),
    )


def _by_period(values: Sequence[TagValue]) -> dict[_Key, TagValue]:
    return {(value.filed, value.start, value.end): value for value in values}
