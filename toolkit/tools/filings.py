"""The tools over filings to the SEC: a company's events, and what its insiders reported."""

import datetime
from typing import Literal

from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.records import Filing, InsiderTrade
from trading_graph.toolkit.tools.tool import Answer, SymbolArguments, Tool, number, provenance

_MAX_EVENTS = 40

FORMS = {
    "4": "insider transaction",
    "8-K": "current report",
    "10-K": "annual report",
    "10-Q": "quarterly report",
}

# The items of form 8-K, in our words.
ITEMS = {
    "1.01": "important agreement signed",
    "1.02": "important agreement ended",
    "1.03": "bankruptcy or receivership",
    "1.04": "mine safety",
    "1.05": "cybersecurity incident",
    "2.01": "acquisition or disposal completed",
    "2.02": "results announced",
    "2.03": "new financial obligation",
    "2.04": "obligation accelerated or increased",
    "2.05": "costs of exit or restructuring",
    "2.06": "impairment",
    "3.01": "listing in doubt or moved",
    "3.02": "unregistered share sale",
    "3.03": "rights of holders changed",
    "4.01": "auditor changed",
    "4.02": "earlier statements not reliable",
    "5.01": "change of control",
    "5.02": "directors or officers changed",
    "5.03": "charter, by-laws or fiscal year changed",
    "5.04": "trading in employee plans suspended",
    "5.05": "code of ethics changed",
    "5.07": "shareholder vote",
    "5.08": "director nominations",
    "7.01": "disclosure to all investors (Regulation FD)",
    "8.01": "other event",
    "9.01": "exhibits",
}


class EventsArguments(SymbolArguments):
    """The arguments of get_company_events."""

    days: int = Field(default=90, ge=1, le=730, description="How many calendar days back.")
    forms: list[Literal["8-K", "10-Q", "10-K", "4"]] = Field(
        default=["8-K", "10-Q", "10-K"],
        min_length=1,
        description="Which SEC forms: 8-K events, 10-Q and 10-K reports, 4 insider transactions.",
    )


async def _events(toolkit: AsyncToolkit, as_of: AsOf, arguments: EventsArguments) -> Answer:
    answer = await toolkit.filings(arguments.symbol, as_of, arguments.forms)
    since = as_of.date - datetime.timedelta(days=arguments.days - 1)
    recent = [filing for filing in reversed(answer.filings) if filing.filed >= since]
    return {
        **provenance(toolkit, answer.symbol, as_of, answer.session, answer),
        "from": max(since, answer.since).isoformat(),
        "forms": list(arguments.forms),
        "events": [_event(filing) for filing in recent[:_MAX_EVENTS]],
        "count": len(recent),
        "newest": answer.filings[-1].filed.isoformat(),
        "limit": "dates, forms and item codes of SEC filings, no news text; a filing counts from "
        "the session after its date",
    }


def _event(filing: Filing) -> Answer:
    form = filing.form.removesuffix("/A")
    meanings = [ITEMS.get(item, "not a known item") for item in filing.items if item != "9.01"]
    meaning = "; ".join(meanings) or FORMS.get(form, form)
    return {
        "filed": filing.filed.isoformat(),
        "form": filing.form,
        "items": list(filing.items),
        "meaning": f"amendment: {meaning}" if filing.form.endswith("/A") else meaning,
    }


GET_COMPANY_EVENTS = Tool(
    "get_company_events",
    "Events of a company from its SEC filings, newest first: date, form, 8-K item codes and what "
    "they mean. No news text.",
    EventsArguments,
    _events,
)


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
