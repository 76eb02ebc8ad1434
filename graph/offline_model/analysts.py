"""The four analysts: which tools each one calls, and its report once they have answered."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trading_graph.graph.offline_model.conversation import Conversation
from trading_graph.graph.offline_model.fundamentals_analyst import (
    BALANCE,
    CASH,
    INCOME,
    RATIOS,
    fundamentals_findings,
)
from trading_graph.graph.offline_model.market_analyst import (
    BENCHMARK,
    INDICATORS,
    PRICES,
    market_findings,
)
from trading_graph.graph.offline_model.news_analyst import EVENTS, news_findings
from trading_graph.graph.offline_model.report import Finding, write_report
from trading_graph.graph.offline_model.social_analyst import ATTENTION, social_findings
from trading_graph.graph.offline_model.surroundings import INSIDERS, MACRO, NEWS, POSTS


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tool call that an analyst makes: of the benchmark, the run's own symbol, or no symbol."""

    tool: str
    benchmark: bool = False
    forms: tuple[str, ...] = ()
    about_symbol: bool = True

    def arguments(self, symbol: str) -> dict[str, Any]:
        """The call's arguments."""
        if not self.about_symbol:
            return {}
        named: dict[str, Any] = {"symbol": BENCHMARK if self.benchmark else symbol}
        return named | ({"forms": list(self.forms)} if self.forms else {})


@dataclass(frozen=True, slots=True)
class Analyst:
    """What one analyst asks for, and how it reads the answers."""

    title: str
    wanted: tuple[Wanted, ...]
    findings: Callable[[Conversation], Iterator[Finding]]


_ANALYSTS: Mapping[str, Analyst] = {
    "market_analyst": Analyst(
        "Market",
        (Wanted(PRICES), Wanted(INDICATORS), Wanted(PRICES, benchmark=True)),
        market_findings,
    ),
    "social_analyst": Analyst(
        "Social",
        (Wanted(ATTENTION), Wanted(ATTENTION, benchmark=True), Wanted(POSTS)),
        social_findings,
    ),
    "news_analyst": Analyst(
        "News",
        (
            Wanted(EVENTS, forms=("8-K",)),
            Wanted(EVENTS, forms=("10-Q", "10-K")),
            Wanted(INSIDERS),
            Wanted(MACRO, about_symbol=False),
            Wanted(NEWS),
        ),
        news_findings,
    ),
    "fundamentals_analyst": Analyst(
        "Fundamentals",
        (Wanted(INCOME), Wanted(BALANCE), Wanted(CASH), Wanted(RATIOS)),
        fundamentals_findings,
    ),
}


def tool_requests(conversation: Conversation) -> list[tuple[str, dict[str, Any]]]:
    """The calls that the analyst makes at once, as tool name and arguments."""
    return [
        (wanted.tool, wanted.arguments(conversation.symbol))
        for wanted in _ANALYSTS[conversation.agent].wanted
        if wanted.tool in conversation.offered
        and not (wanted.benchmark and conversation.symbol == BENCHMARK)
    ]


def write_analyst_report(conversation: Conversation) -> str:
    """The report on the tool results in the conversation."""
    analyst = _ANALYSTS[conversation.agent]
    findings = list(analyst.findings(conversation))
    for result in conversation.results:
        if result.problem is not None:
            about = f"{result.symbol}: " if result.symbol else ""
            findings.append(Finding(0, f"No data: {about}{result.problem}", result.tool))
    if not conversation.results:
        text = "No data: no tool has answered, so there is nothing to report on"
        findings.append(Finding(0, text, "no tool"))
    return write_report(analyst.title, conversation, findings)
