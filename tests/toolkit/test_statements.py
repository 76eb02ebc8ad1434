"""Statement periods and ratios: what reports leave out is derived, never before its filing."""

import datetime

import pytest

from trading_graph.toolkit import ratios
from trading_graph.toolkit.dataset import tables
from trading_graph.toolkit.records import Fact
from trading_graph.toolkit.statements import (
    CONCEPTS,
    Amount,
    amounts,
    balances,
    on_share_basis,
    quarters,
    trailing_year,
    year_before,
    years,
)

DAY = datetime.date.fromisoformat


def fact(
    concept: str, start: str, end: str, value: float, filed: str = "2025-02-01", form: str = "10-Q"
) -> Fact:
    return Fact(concept, DAY(start) if start else None, DAY(end), DAY(filed), form, value)


def facts_by(symbol: str, as_of: str) -> list[Fact]:
    """A symbol's embedded facts filed by a day."""
    return [row for row in tables.statements()[symbol] if row.filed <= DAY(as_of)]


CALENDAR_YEAR = [
    fact("operating_cash_flow", "2024-01-01", "2024-03-31", 10, "2024-05-01"),
    fact("operating_cash_flow", "2024-01-01", "2024-06-30", 25, "2024-08-01"),
    fact("operating_cash_flow", "2024-01-01", "2024-09-30", 45, "2024-11-01"),
    fact("operating_cash_flow", "2024-01-01", "2024-12-31", 70, "2025-02-01", "10-K"),
]


def test_cumulative_flows_become_quarters_filed_with_the_later_report() -> None:
    periods = quarters(amounts(CALENDAR_YEAR))
    assert [(p.end.isoformat(), p.values["operating_cash_flow"]) for p in periods] == [
        ("2024-12-31", 25), ("2024-09-30", 20), ("2024-06-30", 15), ("2024-03-31", 10)
    ]  # fmt: skip
    assert [p.filed.isoformat() for p in periods] == [
        "2025-02-01", "2024-11-01", "2024-08-01", "2024-05-01"
    ]  # fmt: skip
    assert [bool(p.derived) for p in periods] == [True, True, True, False]


def test_a_reported_quarter_stands_before_a_derived_one() -> None:
    reported = fact("operating_cash_flow", "2024-10-01", "2024-12-31", 26, "2025-02-01")
    newest = quarters(amounts([*CALENDAR_YEAR, reported]))[0]
    assert newest.values["operating_cash_flow"] == 26
    assert not newest.derived


def test_share_averages_are_never_subtracted() -> None:
    shares = [
        fact("diluted_shares", "2024-01-01", "2024-09-30", 100),
        fact("diluted_shares", "2024-01-01", "2024-12-31", 101),
    ]
    assert quarters(amounts(shares)) == []


def test_a_restatement_counts_from_its_own_filing_on() -> None:
    first = fact("revenue", "2024-01-01", "2024-12-31", 100, "2025-02-01", "10-K")
    again = fact("revenue", "2024-01-01", "2024-12-31", 90, "2025-11-01", "10-K")
    before, after = years(amounts([first]))[0], years(amounts([again, first]))[0]
    assert (before.values["revenue"], before.updated) == (100, before.filed)
    assert (after.values["revenue"], after.filed, after.updated) == (90, first.filed, again.filed)


def test_the_trailing_year_moves_with_the_year_to_date() -> None:
    year = fact("revenue", "2024-01-01", "2024-12-31", 100)
    now = fact("revenue", "2025-01-01", "2025-06-30", 70, "2025-08-01")
    then = fact("revenue", "2024-01-01", "2024-06-30", 40, "2025-08-01")

    def trailing(*facts: Fact) -> Amount | None:
        return trailing_year(amounts(facts)["revenue"])

    whole = trailing(year, now, then)
    assert whole is not None
    assert (whole.value, whole.end, whole.days) == (130, DAY("2025-06-30"), 365)
    only = trailing(year)
    assert only is not None
    assert only.value == 100
    assert trailing(year, now) is None
    assert trailing(now, then) is None


def test_splits_restate_only_what_was_filed_before_them() -> None:
    facts = [
        fact("eps_diluted", "2024-02-01", "2024-04-30", 6.0, "2024-05-29"),
        fact("diluted_shares", "2024-02-01", "2024-04-30", 100, "2024-05-29"),
        fact("revenue", "2024-02-01", "2024-04-30", 1000, "2024-05-29"),
        fact("eps_diluted", "2024-05-01", "2024-07-31", 0.7, "2024-08-28"),
    ]
    split = ((DAY("2024-06-10"), 10.0),)
    assert [row.value for row in on_share_basis(facts, split)] == [0.6, 1000, 1000, 0.7]
    assert [row.value for row in on_share_basis(facts, ())] == [6.0, 100, 1000, 0.7]


def test_a_balance_needs_total_assets_and_adds_up_its_debt() -> None:
    sheet = [
        fact("assets", "", "2024-12-31", 500),
        fact("commercial_paper", "", "2024-12-31", 5),
        fact("long_term_debt", "", "2024-12-31", 20),
        fact("cash", "", "2023-12-31", 7),
        fact("shares_outstanding_cover", "", "2025-01-20", 9),
    ]
    (only,) = balances(amounts(sheet))
    assert only.end == DAY("2024-12-31")
    assert only.values["total_debt"] == 25


@pytest.mark.parametrize("symbol", ["AAPL", "NVDA", "GOOGL"])
def test_the_quarters_of_a_fiscal_year_add_up_to_it(symbol: str) -> None:
    """The figures of real reports: four quarters make the year, to its last million."""
    by_concept = amounts(facts_by(symbol, "2025-11-14"))
    all_quarters = quarters(by_concept)
    whole_years = [year for year in years(by_concept) if year.end > DAY("2023-06-01")]
    assert len(whole_years) >= 2
    for year in whole_years:
        start = all_quarters.index(next(q for q in all_quarters if q.end == year.end))
        four = all_quarters[start : start + 4]
        for concept in ("revenue", "net_income", "operating_income", "operating_cash_flow"):
            total = sum(quarter.values[concept] for quarter in four)
            assert total == pytest.approx(year.values[concept], rel=1e-4), (
                symbol,
                year.end,
                concept,
            )


def test_every_column_was_filed_by_the_day_asked_for() -> None:
    for as_of in ("2023-05-26", "2024-06-07", "2025-02-25", "2025-11-14"):
        for symbol in tables.statements():
            by_concept = amounts(facts_by(symbol, as_of))
            for period in (*quarters(by_concept), *years(by_concept), *balances(by_concept)):
                assert period.end < period.filed <= period.updated <= DAY(as_of)


def test_apples_fourth_quarter_is_derived_from_the_year() -> None:
    newest, *rest = quarters(amounts(facts_by("AAPL", "2025-11-14")))
    assert newest.end == DAY("2025-09-27")
    assert newest.values["revenue"] == 102_466e6
    assert newest.values["free_cash_flow"] == 26_486e6
    before = year_before(newest, rest)
    assert before is not None
    assert before.values["revenue"] == 94_930e6


DOLLARS = ratios.Currencies("USD", dict.fromkeys(("income", "balance", "cash_flow"), "USD"))


def test_ratios_of_apple_follow_from_its_filings() -> None:
    result = ratios.compute(
        facts_by("AAPL", "2025-11-14"), 272.41, DAY("2025-11-14"), (), DAY("2025-11-14"), DOLLARS
    )
    assert result.missing == {}
    assert result.values["pe_ttm"] == pytest.approx(272.41 / 7.46)
    assert result.values["market_cap"] == pytest.approx(272.41 * 14_776_353_000)
    assert result.values["fcf_ttm"] == 111_482e6 - 12_715e6
    assert result.values["revenue_growth_yoy"] == pytest.approx(102_466 / 94_930 - 1)
    assert result.values["current_ratio"] == pytest.approx(147_957 / 165_631)
    assert "2025-10-31" in result.basis["flows"]
    assert "note" not in result.basis


def test_a_split_leaves_valuation_as_it_was() -> None:
    """Nvidia's ten for one of 10 June 2024: no report between the two days, same ratios."""
    day, split = DAY("2024-06-07"), (DAY("2024-06-10"), 10.0)
    facts = facts_by("NVDA", "2024-06-07")
    before = ratios.compute(facts, 1208.88, day, (), day, DOLLARS)
    next_day = DAY("2024-06-10")
    after = ratios.compute(facts, 120.888, next_day, (split,), next_day, DOLLARS)
    for name in ("market_cap", "pe_ttm", "ps_ttm", "pb"):
        assert after.values[name] == pytest.approx(before.values[name]), name


def test_old_reports_are_named_as_old() -> None:
    result = ratios.compute(
        facts_by("META", "2025-11-14"), 609.46, DAY("2025-11-14"), (), DAY("2025-11-14"), DOLLARS
    )
    assert "318 days before 2025-11-14" in result.basis["note"]
    assert "diluted" not in result.basis["shares"]
    assert "2024-12-31" in result.basis["shares"]


def test_what_cannot_be_computed_has_a_reason() -> None:
    loss = [
        fact("revenue", "2024-01-01", "2024-12-31", 100),
        fact("net_income", "2024-01-01", "2024-12-31", -5),
        fact("eps_diluted", "2024-01-01", "2024-12-31", -0.5),
    ]
    result = ratios.compute(loss, 10.0, DAY("2025-03-03"), (), DAY("2025-03-03"), DOLLARS)
    assert result.values["net_margin"] == pytest.approx(-0.05)
    assert result.missing["pe_ttm"] == "the denominator is not positive"
    assert result.missing["market_cap"] == "no report gives a number of shares"
    assert result.values.keys().isdisjoint(result.missing)


@pytest.mark.parametrize(
    ("price", "statement", "reason"),
    [
        ("USD", "TWD", "the price is in USD and the statement in TWD; nothing is converted"),
        ("GBp", "GBP", "the price is in GBp and the statement in GBP; nothing is converted"),
        ("", "EUR", "the source does not name the currency of the prices"),
        ("EUR", "", "the source does not name the currency of the statements"),
    ],
)
def test_a_ratio_across_currencies_is_absent_and_one_within_them_is_not(
    price: str, statement: str, reason: str
) -> None:
    facts, day = facts_by("AAPL", "2025-11-14"), DAY("2025-11-14")
    alike = ratios.compute(facts, 272.41, day, (), day, DOLLARS)
    money = ratios.Currencies(price, dict.fromkeys(DOLLARS.statements, statement))
    apart = ratios.compute(facts, 272.41, day, (), day, money)
    across = {"pe_ttm", "ps_ttm", "pb", "fcf_yield"}
    assert apart.missing == dict.fromkeys(across, reason)
    assert apart.values == {k: v for k, v in alike.values.items() if k not in across}


def test_without_a_price_the_ratios_of_statements_remain() -> None:
    facts, day = facts_by("AAPL", "2025-11-14"), DAY("2025-11-14")
    whole = ratios.compute(facts, 272.41, day, (), day, DOLLARS)
    without = ratios.compute(facts, None, day, (), day, DOLLARS)
    lost = {"market_cap", "pe_ttm", "ps_ttm", "pb", "fcf_yield"}
    assert without.missing == dict.fromkeys(lost, ratios.NO_PRICE)
    assert without.values == {k: v for k, v in whole.values.items() if k not in lost}
    assert "close" not in without.basis


def test_every_embedded_concept_belongs_to_one_statement() -> None:
    named = [concept for concepts in CONCEPTS.values() for concept in concepts]
    used = {row.concept for facts in tables.statements().values() for row in facts}
    assert len(named) == len(set(named))
    assert used <= set(named)
