"""What a run used and what it cost, by agent and in all, for people and as JSON.

A cost that is not known is said to be unknown. Where a service did not say what a request took, the
cost is at least what the others took.
"""

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trading_graph.graph.backend_choice import OFFLINE_DEEP_MODEL, OFFLINE_QUICK_MODEL
from trading_graph.graph.chat.prices import Price
from trading_graph.graph.state import Usage
from trading_graph.otel.report.documents.document import Document
from trading_graph.otel.report.tables import Table
from trading_graph.service.settings import Settings

_NO_MODEL = frozenset({OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL})


class AgentUsageJson(Document, frozen=True, kw_only=True):
    """What an agent's LLM calls used; the cost is null where a price is not known.

    `uncounted_requests` were answered, and the service did not say what they took: tokens and cost
    are without them.
    """

    calls: int
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float
    cost_usd: float | None
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    uncounted_requests: int = 0


class PriceJson(Document, frozen=True, kw_only=True):
    """The price of a model, in US dollars for a million tokens; no page means the settings."""

    model: str
    input: float
    output: float
    cached: float | None
    date: datetime.date | None
    page: str | None
    note: str


def usage_by_agent(usage: Sequence[Usage], settings: Settings) -> dict[str, AgentUsageJson]:
    """What the calls of each agent used, in the order in which the agents first answered."""
    by_agent: dict[str, list[Usage]] = defaultdict(list)
    for call in usage:
        by_agent[call.agent].append(call)
    return {agent: _sum(calls, settings) for agent, calls in by_agent.items()}


def _sum(calls: Sequence[Usage], settings: Settings) -> AgentUsageJson:
    return AgentUsageJson(
        calls=len(calls),
        requests=sum(each.requests for each in calls),
        input_tokens=sum(each.input_tokens for each in calls),
        output_tokens=sum(each.output_tokens for each in calls),
        seconds=sum(each.seconds for each in calls),
        cost_usd=cost_usd(calls, settings),
        cached_tokens=sum(each.cached_tokens for each in calls),
        reasoning_tokens=sum(each.reasoning_tokens for each in calls),
        uncounted_requests=sum(each.uncounted for each in calls),
    )


def cost_usd(calls: Sequence[Usage], settings: Settings) -> float | None:
    """What calls cost; None where the price of one of them is not known."""
    total = 0.0
    for call in calls:
        price = settings.price(call.model)
        cost = None if price is None else _cost_of(call, price)
        if cost is None:
            return None
        total += cost
    return total if calls else None


def _cost_of(call: Usage, price: Price) -> float | None:
    return price.cost(
        call.input_tokens, call.output_tokens, call.cached_tokens, call.cache_write_tokens
    )


def prices_of(usage: Sequence[Usage], settings: Settings) -> list[PriceJson]:
    """The prices that are known of the models of a run."""
    found = [(model, settings.price(model)) for model in _models(usage)]
    return [
        PriceJson(
            model=model,
            input=price.input,
            output=price.output,
            cached=price.cached,
            date=price.date,
            page=price.page,
            note=price.note,
        )
        for model, price in found
        if price is not None
    ]


def _models(usage: Sequence[Usage]) -> list[str]:
    return list(dict.fromkeys(each.model for each in usage if each.model not in _NO_MODEL))


def token_table(usage: Mapping[str, AgentUsageJson], *, with_costs: bool) -> Table:
    """The tokens by agent; costs only where a language model was asked."""
    head = ["agent", "calls", "tokens in", "tokens out", "seconds", *["cost"] * with_costs]
    rows = []
    for agent, used in usage.items():
        cells = [
            str(used.calls),
            _tokens(used.input_tokens, used),
            _tokens(used.output_tokens, used),
        ]
        cells.append(f"{used.seconds:.1f}")
        if with_costs:
            cells.append(_cost(used))
        rows.append((agent, *cells))
    return Table(head, rows)


def _tokens(count: int, used: AgentUsageJson) -> str:
    if not used.uncounted_requests:
        return str(count)
    return f">{count}" if count else "unknown"


def _cost(used: AgentUsageJson) -> str:
    if used.cost_usd is None or (used.uncounted_requests and not used.cost_usd):
        return "unknown"
    return f"{'>' * bool(used.uncounted_requests)}${used.cost_usd:.4f}"


def asked_a_model(usage: Sequence[Usage]) -> bool:
    """Whether a language model was asked: the offline rules cost nothing."""
    return bool(_models(usage))


def cost_line(usage: Sequence[Usage], settings: Settings) -> str:
    """The run's cost in one sentence, with the date of its prices, or why it is unknown."""
    unpriced = [model for model in _models(usage) if settings.price(model) is None]
    if unpriced:
        return (
            f"Cost: unknown, because this service's price of {' and '.join(unpriced)} is not "
            "known; set TRADING_GRAPH_PRICES."
        )
    cost = cost_usd(usage, settings)
    if cost is None:
        return "Cost: unknown, because a prompt was longer than its model's prices hold for."
    uncounted = sum(each.uncounted for each in usage)
    at_least = ""
    if uncounted:
        if not cost:
            return "Cost: unknown, because the service does not report tokens."
        at_least = f"at least, without {uncounted} requests whose tokens are not known, "
    sources = "; ".join(dict.fromkeys(_source(each) for each in prices_of(usage, settings)))
    return f"Cost: {at_least}${cost:.4f} at {sources}."


def _source(price: PriceJson) -> str:
    if price.page is None:
        return "the prices of TRADING_GRAPH_PRICES"
    note = f", {price.note}" if price.note else ""
    return f"prices of {price.date} ({price.page}{note})"
