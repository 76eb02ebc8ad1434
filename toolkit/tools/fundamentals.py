"""Tools over filed statements: income statement, balance sheet, cash flow, ratios."""

import asyncio
from collections.abc import Awaitable
from functools import partial

from pydantic import Field

from trading_graph.toolkit import ratios
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.market_data import STATEMENT_KINDS, AsyncToolkit, StatementKind
from trading_graph.toolkit.records import SourceAnswer, Statements
from trading_graph.toolkit.sources.source import gather_parts
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
from trading_graph.toolkit.tools.tool import Answer, SymbolArguments, Tool, number, provenance

_LARGE = 1e6
_ORDER = [concept for concepts in CONCEPTS.values() for concept in concepts]


class StatementArguments(SymbolArguments):
    """The arguments of the three statement tools."""

    periods: int = Field(default=4, ge=1, le=8, description="How many periods, newest first.")


async def _statement(
    kind: StatementKind, toolkit: AsyncToolkit, as_of: AsOf, arguments: StatementArguments
) -> Answer:
    # Both at once: other tools need the same prices, so these cost no fetch of their own.
    answer, splits = await asyncio.gather(
        toolkit.statements(arguments.symbol, as_of, kind), toolkit.splits(arguments.symbol, as_of)
    )
    by_concept = amounts(on_share_basis(answer.facts, splits or ()))
    if kind == "balance":
        periods, annual = balances(by_concept), []
    else:
        periods, annual = quarters(by_concept), years(by_concept)
        # Where the source has only annual reports, the periods are years.
        if annual and (not periods or annual[0].end > periods[0].end):
            periods = annual
    if not periods:
        raise NoDataError(
            f"The {kind.replace('_', ' ')} statements of {answer.symbol} filed by {as_of} hold no "
            "whole period: choose a later date."
        )
    before = year_before(periods[0], periods)
    note = ratios.staleness(periods[0].end, as_of.date)
    return {
        **provenance(toolkit, answer.symbol, as_of, answer.session, answer),
        "statement": kind,
        "currency": answer.currency or None,
        "unit": _unit(answer, splits is not None),
        **({"age": note} if note else {}),
        "periods": [_column(period) for period in periods[: arguments.periods]],
        "latest": _column(periods[0]),
        "year_before": _column(before) if before else None,
        **({"fiscal_year": _column(annual[0])} if annual else {}),
    }


def _unit(answer: Statements, on_session_basis: bool) -> str:
    basis = (
        "on the share basis of the session" if on_session_basis else "as filed: no splits are known"
    )
    money = answer.currency or "a currency that the source does not name"
    return f"{money}; eps_diluted in {money} a share; per-share values and counts {basis}"


def _column(period: Period) -> Answer:
    names = sorted(
        period.values, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)
    )
    return {
        "period_end": period.end.isoformat(),
        "filed": period.filed.isoformat(),
        "form": period.form,
        **({"updated": period.updated.isoformat()} if period.updated > period.filed else {}),
        **({"months": period.months} if period.months else {}),
        **{name: number(period.values[name]) for name in names},
        **({"derived": _derived_names(period)} if period.derived else {}),
    }


def _ratio(value: float) -> float | int | None:
    return number(value, 0 if abs(value) > _LARGE else 4)


def _derived_names(period: Period) -> list[str] | str:
    return "all" if period.derived == period.values.keys() else sorted(period.derived)


async def _ratios(toolkit: AsyncToolkit, as_of: AsOf, arguments: SymbolArguments) -> Answer:
    symbol = arguments.symbol
    # All at once; what fails costs only the ratios that need it.
    requests: dict[str, Awaitable[SourceAnswer]] = {"prices": toolkit.bars(symbol, as_of)}
    requests |= {kind: toolkit.statements(symbol, as_of, kind) for kind in STATEMENT_KINDS}
    results, errors = await gather_parts(requests)
    answers = list(results.values())
    statements = [answer for answer in answers if isinstance(answer, Statements)]
    bars = next((answer for answer in answers if isinstance(answer, Bars)), None)
    if not statements:
        raise next(errors[kind] for kind in STATEMENT_KINDS)
    facts = [fact for answer in statements for fact in answer.facts]
    currencies = ratios.Currencies(
        bars.currency if bars else "", {answer.kind: answer.currency for answer in statements}
    )
    session = bars.session if bars else statements[0].session
    close = float(bars.close[-1]) if bars else None
    splits = bars.splits if bars else ()
    result = ratios.compute(facts, close, session, splits, as_of.date, currencies)
    return {
        **provenance(toolkit, statements[0].symbol, as_of, session, *answers),
        "currency": {"price": currencies.price or None}
        | {kind: money or None for kind, money in currencies.statements.items()},
        **{name: _ratio(value) for name, value in result.values.items()},
        **dict.fromkeys(result.missing),
        "reasons": dict(result.missing),
        "basis": dict(result.basis),
        **({"missing": {part: str(errors[part]) for part in errors}} if errors else {}),
    }


GET_INCOME_STATEMENT = Tool(
    "get_income_statement",
    "Income statement of a company by quarter (or year, where only annual reports are there), as "
    "filed with the SEC, with the latest period, the same a year before, and the last fiscal year.",
    StatementArguments,
    partial(_statement, "income"),
)

GET_BALANCE_SHEET = Tool(
    "get_balance_sheet",
    "Balance sheet of a company at the end of its latest periods, as filed with the SEC.",
    StatementArguments,
    partial(_statement, "balance"),
)

GET_CASH_FLOW = Tool(
    "get_cash_flow",
    "Cash flow of a company by quarter (or year, where only annual reports are there), as filed "
    "with the SEC; quarters are differences of the year-to-date figures that companies report.",
    StatementArguments,
    partial(_statement, "cash_flow"),
)

GET_RATIOS = Tool(
    "get_ratios",
    "Valuation, margins, growth, leverage and free cash flow of a company from its latest filed "
    "statements and the last close. Null, with the reason, where a part is missing, or where price "
    "and statements are in different currencies.",
    SymbolArguments,
    _ratios,
)
