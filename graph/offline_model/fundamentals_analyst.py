"""The fundamentals analyst's rules: growth, earnings, cash, debt, and valuation."""

from collections.abc import Iterator, Mapping
from typing import Any

from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import Conversation, number, section
from trading_graph.graph.offline_model.report import (
    Analyst,
    Bullet,
    ToolRequest,
    percent,
    quote,
)

INCOME = "get_income_statement"
BALANCE = "get_balance_sheet"
CASH = "get_cash_flow"
RATIOS = "get_ratios"


def _bullets(conversation: Conversation) -> Iterator[Bullet]:
    symbol = conversation.symbol
    income = conversation.record(INCOME, symbol)
    yield from _against_last_year(INCOME, income, "Net income", "net_income", rules.INCOME_POINTS)
    cash = conversation.record(CASH, symbol)
    yield from _against_last_year(
        CASH, cash, "Cash from operations", "operating_cash_flow", rules.CASH_POINTS
    )
    balance = conversation.record(BALANCE, symbol)
    yield from _against_last_year(BALANCE, balance, "Equity", "equity", rules.EQUITY_POINTS)
    ratios = conversation.record(RATIOS, symbol)
    if ratios:
        yield from _growth(ratios)
        yield from _profit(ratios)
        yield from _valuation(ratios)
        yield from _debt(ratios)
        for name, reason in section(ratios, "reasons").items():
            yield Bullet(0, f"No data: {name} cannot be computed: {reason}", RATIOS)


def _against_last_year(
    tool: str, record: Mapping[str, Any], label: str, concept: str, points: float
) -> Iterator[Bullet]:
    if not record:
        return
    age = record.get("age")
    if isinstance(age, str):
        yield Bullet(0, age, tool)
    latest = section(record, "latest")
    now, then = number(latest, concept), number(section(record, "year_before"), concept)
    if now is None or then is None:
        yield Bullet(0, f"No data: {label} cannot be compared with the year before", tool)
        return
    sign = 1 if now > then else -1 if now < then else 0
    end = latest.get("period_end")
    period = f" in the period to {end}" if isinstance(end, str) else ""
    label = f"Old figures: {label[0].lower()}{label[1:]}" if age else label
    text = f"{label} was {quote(now)}{period}, against {quote(then)} a year before"
    yield Bullet(sign * points, text, tool)


def _ratio(ratios: Mapping[str, Any], name: str) -> Iterator[float]:
    """The ratio, if the tool could compute it."""
    value = number(ratios, name)
    if value is not None:
        yield value


def _growth(ratios: Mapping[str, Any]) -> Iterator[Bullet]:
    for growth in _ratio(ratios, "revenue_growth_yoy"):
        text = f"Revenue changed by {percent(growth)} in a year"
        if growth > rules.GROWTH_FAST:
            text += f", more than {percent(rules.GROWTH_FAST)}"
            yield Bullet(rules.GROWTH_POINTS, text, RATIOS)
        elif growth >= 0:
            yield Bullet(rules.GROWTH_SLOW_POINTS, text, RATIOS)
        else:
            yield Bullet(-rules.GROWTH_POINTS, text, RATIOS)


def _profit(ratios: Mapping[str, Any]) -> Iterator[Bullet]:
    for margin in _ratio(ratios, "operating_margin"):
        text = f"The operating margin is {percent(margin)}"
        if margin > rules.MARGIN_HIGH:
            text += f", above {percent(rules.MARGIN_HIGH)}"
            yield Bullet(rules.MARGIN_POINTS, text, RATIOS)
        else:
            yield Bullet(-rules.MARGIN_LOSS_POINTS if margin < 0 else 0, text, RATIOS)
    for free in _ratio(ratios, "fcf_ttm"):
        text = f"Free cash flow of the last twelve months is {quote(free)}"
        yield Bullet(rules.FCF_POINTS if free > 0 else -rules.FCF_NEGATIVE_POINTS, text, RATIOS)


def _valuation(ratios: Mapping[str, Any]) -> Iterator[Bullet]:
    for pe in _ratio(ratios, "pe_ttm"):
        text = f"The price is {quote(pe)} times the earnings of the last twelve months"
        if pe > rules.PE_EXPENSIVE:
            text += f", above {rules.PE_EXPENSIVE:g}"
            yield Bullet(-rules.PE_EXPENSIVE_POINTS, text, RATIOS)
        elif 0 < pe < rules.PE_CHEAP:
            text += f", below {rules.PE_CHEAP:g}"
            yield Bullet(rules.PE_CHEAP_POINTS, text, RATIOS)
        else:
            yield Bullet(0, text, RATIOS)


def _debt(ratios: Mapping[str, Any]) -> Iterator[Bullet]:
    for debt in _ratio(ratios, "debt_to_equity"):
        text = f"Debt is {quote(debt)} times equity"
        if debt > rules.DEBT_HIGH:
            text += f", above {rules.DEBT_HIGH:g}"
            yield Bullet(-rules.DEBT_HIGH_POINTS, text, RATIOS)
        elif 0 <= debt < rules.DEBT_LOW:
            text += f", below {rules.DEBT_LOW:g}"
            yield Bullet(rules.DEBT_LOW_POINTS, text, RATIOS)
        else:
            yield Bullet(0, text, RATIOS)
    for current in _ratio(ratios, "current_ratio"):
        text = f"Current assets are {quote(current)} times current liabilities"
        if current < rules.CURRENT_LOW:
            text += f", below {rules.CURRENT_LOW:g}"
            yield Bullet(-rules.CURRENT_POINTS, text, RATIOS)
        elif current > rules.CURRENT_HIGH:
            text += f", above {rules.CURRENT_HIGH:g}"
            yield Bullet(rules.CURRENT_POINTS, text, RATIOS)
        else:
            yield Bullet(0, text, RATIOS)


FUNDAMENTALS_ANALYST = Analyst(
    "Fundamentals",
    (ToolRequest(INCOME), ToolRequest(BALANCE), ToolRequest(CASH), ToolRequest(RATIOS)),
    _bullets,
)
