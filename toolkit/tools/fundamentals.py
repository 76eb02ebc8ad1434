"""Tools over filed statements: income statement, balance sheet, cash flow, ratios."""

import asyncio

from pydantic import Field

from trading_graph.toolkit import ratios
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import NoData
from trading_graph.toolkit.frames import Bars
from trading_graph.toolkit.market_data import STATEMENT_KINDS, AsyncToolkit, StatementKind
from trading_graph.toolkit.records import Statements
from trading_graph.toolkit.statements import (
    CONCEPTS,
    Period,
    amounts,
    balances,
    on_share_basis,
    quarters,
    year_before,
    years,
)
from trading_graph.toolkit.tools.tool import Answer, SymbolArguments, Tool, provenance, rounded

_LARGE = 1e6
_ORDER = [concept for concepts in CONCEPTS.values() for concept in concepts]


class StatementArguments(SymbolArguments):
    """Arguments of the three statement tools."""

    periods: int = Field(default=4, ge=1, le=8, description="How many periods, newest first.")


async def _income(toolkit: AsyncToolkit, as_of: AsOf, wanted: StatementArguments) -> Answer:
    return await _statement(toolkit, as_of, wanted, "income")


async def _balance(toolkit: AsyncToolkit, as_of: AsOf, wanted: StatementArguments) -> Answer:
    return await _statement(toolkit, as_of, wanted, "balance")


async def _cash_flow(toolkit: AsyncToolkit, as_of: AsOf, wanted: StatementArguments) -> Answer:
    return await _statement(toolkit, as_of, wanted, "cash_flow")


async def _statement(
    toolkit: AsyncToolkit, as_of: AsOf, wanted: StatementArguments, kind: StatementKind
) -> Answer:
    # Both at once; the prices are those that others ask for, and cost no fetch of their own.
    answer, splits = await asyncio.gather(
        toolkit.statements(wanted.symbol, as_of, kind), toolkit.splits(wanted.symbol, as_of)
    )
    by_concept = amounts(on_share_basis(answer.facts, splits or ()))
    if kind == "balance":
        periods, annual = balances(by_concept), []
    else:
        periods, annual = quarters(by_concept), years(by_concept)
        # Where the source has only annual reports, years are the periods.
        if annual and (not periods or annual[0].end > periods[0].end):
            periods = annual
    if not periods:
        raise NoData(
            f"The {kind.replace('_', ' ')} statements of {answer.symbol} filed by {as_of} hold no "
            "whole period: choose a later date."
        )
    before = year_before(periods[0], periods)
    note = ratios.staleness(periods[0].end, as_of.date)
    return {
        **provenance(toolkit, answer.symbol, as_of, answer.session, answer),
        "statement": kind,
        "unit": _unit(answer, splits is not None),
        **({"age": note} if note else {}),
        "periods": [_column(period) for period in periods[: wanted.periods]],
        "latest": _column(periods[0]),
        "year_before": _column(before) if before else None,
        **({"fiscal_year": _column(annual[0])} if annual else {}),
    }


def _unit(answer: Statements, restated: bool) -> str:
    basis = "on the share basis of the session" if restated else "as filed: no splits are known"
    money = answer.currency or "the company's reporting currency"
    return f"{money}; eps_diluted in {money} a share; per-share values and counts {basis}"


def _column(period: Period) -> Answer:
    shown = sorted(
        period.values, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)
    )
    return {
        "period_end": period.end.isoformat(),
        "filed": period.filed.isoformat(),
        "form": period.form,
        **({"updated": period.updated.isoformat()} if period.updated > period.filed else {}),
        **({"months": period.months} if period.months else {}),
        **{name: rounded(period.values[name]) for name in shown},
        **({"derived": _derived(period)} if period.derived else {}),
    }


def _shown(value: float) -> float | int | None:
    return rounded(value, 0 if abs(value) > _LARGE else 4)


def _derived(period: Period) -> list[str] | str:
    return "all" if period.derived == period.values.keys() else sorted(period.derived)


async def _ratios(toolkit: AsyncToolkit, as_of: AsOf, wanted: SymbolArguments) -> Answer:
    bars, *statements = await _all_parts(toolkit, as_of, wanted.symbol)
    facts = [fact for answer in statements for fact in answer.facts]
    close = float(bars.close[-1])
    found = ratios.compute(facts, close, bars.session, bars.splits, as_of.date)
    return {
        **provenance(toolkit, bars.symbol, as_of, bars.session, bars, *statements),
        **{name: _shown(value) for name, value in found.values.items()},
        **dict.fromkeys(found.missing),
        "reasons": dict(found.missing),
        "basis": dict(found.basis),
    }


async def _all_parts(
    toolkit: AsyncToolkit, as_of: AsOf, symbol: str
) -> tuple[Bars, Statements, Statements, Statements]:
    """Bars and the three statements at once; the first failure cancels nobody else's fetch."""
    income, balance, cash_flow = STATEMENT_KINDS
    return await asyncio.gather(
        toolkit.bars(symbol, as_of),
        toolkit.statements(symbol, as_of, income),
        toolkit.statements(symbol, as_of, balance),
        toolkit.statements(symbol, as_of, cash_flow),
    )


GET_INCOME_STATEMENT = Tool(
    "get_income_statement",
    "Income statement of a company by quarter (or year, where only annual reports are there), as "
    "filed with the SEC, with the latest period, the same a year before, and the last fiscal year.",
    StatementArguments,
    _income,
)

GET_BALANCE_SHEET = Tool(
    "get_balance_sheet",
    "Balance sheet of a company at the end of its latest periods, as filed with the SEC.",
    StatementArguments,
    _balance,
)

GET_CASH_FLOW = Tool(
    "get_cash_flow",
    "Cash flow of a company by quarter (or year, where only annual reports are there), as filed "
    "with the SEC; quarters are differences of the year-to-date figures that companies report.",
    StatementArguments,
    _cash_flow,
)

GET_RATIOS = Tool(
    "get_ratios",
    "Valuation, margins, growth, leverage and free cash flow of a company from its latest filed "
    "statements and the last close. Null, with the reason, where a part is missing.",
    SymbolArguments,
    _ratios,
)
