"""The insiders tool: how often insiders reported trades, and the trades where a source has them."""

import datetime

from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.records import InsiderTrade
from trading_graph.toolkit.tools.tool import Answer, SymbolArguments, Tool, number, provenance

_MAX_ROWS = 20
_QUARTER = datetime.timedelta(days=90)
_QUARTERS = 4


class InsidersArguments(SymbolArguments):
    """The arguments of get_insiders."""

    days: int = Field(default=90, ge=1, le=365, description="How many calendar days back.")


async def _insiders(toolkit: AsyncToolkit, as_of: AsOf, arguments: InsidersArguments) -> Answer:
    answer = await toolkit.insiders(arguments.symbol, as_of)
    since = as_of.date - datetime.timedelta(days=arguments.days - 1)
    dates = [filing.filed for filing in answer.filings]
    recent = [day for day in dates if day >= since]
    trades = [trade for trade in answer.trades if trade.available >= since]
    return {
        **provenance(toolkit, answer.symbol, as_of, answer.session, answer),
        "from": max(since, answer.since).isoformat(),
        "reports": len(recent) if answer.filings else None,
        "days_with_reports": _by_day(recent)[:_MAX_ROWS],
        "reports_by_90_days": _by_quarter(dates, as_of, answer.since) if answer.filings else None,
        "trades": [_trade(trade) for trade in reversed(trades[-_MAX_ROWS:])],
        "limit": "trades by the source's words; they count two business days after they were made"
        if answer.trades
        else "dates of form 4 only: neither direction nor size of the trades",
    }


def _by_day(dates: list[datetime.date]) -> list[list[str | int]]:
    days = sorted(set(dates), reverse=True)
    return [[day.isoformat(), dates.count(day)] for day in days]


def _by_quarter(dates: list[datetime.date], as_of: AsOf, since: datetime.date) -> list[int]:
    """Reports in the last 90 days, the 90 before, and so on, as far as the source goes back."""
    counts = []
    for quarter in range(_QUARTERS):
        last = as_of.date - quarter * _QUARTER
        if last - _QUARTER < since:
            break
        counts.append(sum(last - _QUARTER < day <= last for day in dates))
    return counts


def _trade(trade: InsiderTrade) -> Answer:
    return {
        "traded": trade.traded.isoformat(),
        "who": trade.who,
        "text": trade.text,
        "shares": number(trade.shares, 0),
        "value": number(trade.value, 0),
    }


GET_INSIDERS = Tool(
    "get_insiders",
    "Reports of insiders' trades in a company (SEC form 4): how many and when, against earlier "
    "quarters; the trades themselves where the source gives them.",
    InsidersArguments,
    _insiders,
    untrusted=True,
)
