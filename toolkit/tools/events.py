"""The company events tool: filings to the SEC, with the meaning of their item codes."""

import datetime
from typing import Literal

from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.records import Filing
from trading_graph.toolkit.tools.tool import Answer, SymbolArguments, Tool, provenance

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
    same_day = any(filing.filed == as_of.date for filing in recent)
    return {
        **provenance(toolkit, answer.symbol, as_of, answer.session, answer),
        "from": max(since, answer.since).isoformat(),
        "forms": list(arguments.forms),
        "events": [_event(filing) for filing in recent[:_MAX_EVENTS]],
        "count": len(recent),
        "newest": answer.filings[-1].filed.isoformat(),
        **({"same_day": "filed on the as-of day, perhaps after the close"} if same_day else {}),
        "limit": "dates, forms and item codes of SEC filings, no news text",
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
