"""The documents of portfolios in the API: those of the command, and what a service adds."""

import datetime
from typing import Literal

from trading_graph.otel.report.documents.document import Document
from trading_graph.service.portfolio.engine import PortfolioState
from trading_graph.service.portfolio.status_document import PortfolioJson


class PortfolioLinksJson(Document, frozen=True, kw_only=True):
    """Addresses of what a portfolio has; its report is there at its end."""

    self: str
    page: str
    report: str


class PortfolioSummaryJson(Document, frozen=True, kw_only=True):
    """A portfolio in a list; `counts` has the number of ticker-days in each state.

    `place_in_line` is null where it does not wait for this service, and `seconds_left` where
    nothing is known yet or nobody works on it. `error` is why its work ended before it was over.
    """

    portfolio_id: str
    name: str
    state: PortfolioState
    created: datetime.datetime
    first_date: datetime.date
    last_date: datetime.date
    model: str
    data: str
    counts: dict[str, int]
    calls: int
    tokens: int
    cost_usd: float | None
    place_in_line: int | None
    seconds_left: float | None
    error: str | None
    links: PortfolioLinksJson


class ServedPortfolioJson(PortfolioJson, frozen=True, kw_only=True):
    """A portfolio as the command prints it, with what a service knows of it.

    What runs under way have used counts where they run in the service. `here` says that the service
    works on it or will; `place_in_line`, `seconds_left` and `error` are as in a list.
    """

    here: bool
    place_in_line: int | None
    seconds_left: float | None
    error: str | None
    links: PortfolioLinksJson


class PortfolioListJson(Document, frozen=True, kw_only=True):
    """A page of portfolios, newest first; `next` is the `before` of the next page.

    `unreadable` has a sentence for each whose files cannot be read.
    """

    schema_version: Literal[1]
    portfolios: tuple[PortfolioSummaryJson, ...]
    unreadable: tuple[str, ...]
    next: str | None
