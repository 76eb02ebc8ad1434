"""What a portfolio will take: time, calls, tokens and dollars, from what is known before it starts.

Calls follow from the request, and each model's share of them from who asks which model. What a call
takes is known from the latest runs that asked the same models, or not at all: nothing is assumed of
a model that was never asked here. Time is the largest of three: the waves of runs, and how long the
model's limits of requests and of tokens a minute make them. What is left of a portfolio under way
is judged by what its ticker-days took so far.
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_graph.graph.backend_choice import (
    OFFLINE_DEEP_MODEL,
    OFFLINE_QUICK_MODEL,
    BackendChoice,
)
from trading_graph.graph.chat.rate_limits import EVERY_MODEL
from trading_graph.graph.options import DEBATERS, DECIDERS, RISK_ANALYSTS
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.progress import ModelUsage, TickerDayProgress, add_usage
from trading_graph.service.portfolio.run_tally import run_record
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.run.folder import DECISION
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import Settings

_LATEST = 5
"""How many earlier runs are read."""

_LOOKED_AT = 50
"""How many of the newest folders are looked at for them."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What a call of a model took on average, in `calls` calls of earlier runs."""

    calls: int
    input_tokens: float
    output_tokens: float
    cached_tokens: float
    seconds: float

    @property
    def tokens(self) -> float:
        """Input and output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the runs that are not over will take; None is what nobody can know beforehand.

    `runs_read` are the earlier runs behind it. `binding` says what the time comes from.
    """

    runs: int
    calls: int
    tokens: int | None
    cost_usd: float | None
    seconds: float | None
    binding: str
    runs_read: int

    def is_much(self, settings: Settings) -> bool:
        """Whether the settings want somebody to agree to it first."""
        if self.cost_usd is None:
            return self.calls > settings.portfolio_ask_calls
        return self.cost_usd > settings.portfolio_ask_usd


def forecast(
    order: PortfolioOrder, runs: int, choice: BackendChoice, settings: Settings
) -> Forecast:
    """What so many runs of a portfolio will take. Blocks: it reads earlier runs."""
    request = order.run_request(order.ticker_days[0])
    calls = {model: runs * each for model, each in calls_of_run(request, choice).items()}
    figures, runs_read = earlier_calls(order.out, set(calls))
    all_known = set(calls) <= set(figures)
    seconds, binding = _seconds(order, runs, calls, figures, choice)
    return Forecast(
        runs=runs,
        calls=sum(calls.values()),
        tokens=round(sum(calls[each] * figures[each].tokens for each in calls))
        if all_known
        else None,
        cost_usd=_cost(calls, figures, choice, settings),
        seconds=seconds,
        binding=binding,
        runs_read=runs_read,
    )


def calls_of_run(request: RunRequest, choice: BackendChoice) -> dict[str, int]:
    """How many calls of each model a run makes in which nothing goes wrong."""
    quick, deep = _models(choice)
    calls = {quick: 0, deep: 0}
    calls[quick] += len(request.analysts) * request.analyst_turns
    calls[quick] += len(DEBATERS) * request.debate_rounds
    calls[quick] += len(RISK_ANALYSTS) * request.risk_rounds
    calls[deep] += len(DECIDERS)
    return calls


def _models(choice: BackendChoice) -> tuple[str, str]:
    if choice.model is None:
        return OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL
    return choice.model.quick, choice.model.deep


def earlier_calls(out: Path, models: set[str]) -> tuple[Mapping[str, CallFigures], int]:
    """What a call of these models took in the latest finished runs, and how many were read.

    Blocks.
    """
    used: list[ModelUsage] = []
    seconds: list[float] = []
    runs_read = 0
    for folder in _latest(out):
        record = run_record(folder)
        if not {each.model for each in record.usage} <= models or not record.usage:
            continue
        used += record.usage
        seconds += record.call_s
        runs_read += 1
        if runs_read == _LATEST:
            break
    # Quick and deep calls are told apart by tokens; their seconds count alike, as in a chain.
    call_s = sum(seconds) / len(seconds) if seconds else 0.0
    figures = {
        each.model: CallFigures(
            each.calls,
            each.input_tokens / each.calls,
            each.output_tokens / each.calls,
            each.cached_tokens / each.calls,
            call_s,
        )
        for each in add_usage(used)
    }
    return figures, runs_read


def _latest(out: Path) -> Iterator[Path]:
    decisions = sorted(out.glob(f"*/{DECISION}"), key=lambda path: path.stat().st_mtime_ns)
    return (path.parent for path in decisions[: -_LOOKED_AT - 1 : -1])


def _seconds(
    order: PortfolioOrder,
    runs: int,
    calls: Mapping[str, int],
    figures: Mapping[str, CallFigures],
    choice: BackendChoice,
) -> tuple[float | None, str]:
    """How long it takes, and what that comes from."""
    bounds: list[tuple[float, str]] = []
    call_s = max((each.seconds for each in figures.values()), default=None)
    if choice.model is None:
        call_s = order.chat_latency_s
    if call_s is not None:
        first = order.ticker_days[0]
        chain = order.run_request(first).options(str(first.date)).expected_chain
        at_once = min(runs, order.limits.at_once)
        waves = math.ceil(runs / at_once)
        fetch_s = order.fetch_latency_s if order.data == "offline" else 0.0
        words = f"{at_once} at once" if waves == 1 else f"{at_once} at once, {waves} times in a row"
        bounds.append((waves * (chain * call_s + fetch_s), words))
    tokens = {each: calls[each] * figures[each].tokens for each in calls if each in figures}
    requests_a_minute, tokens_a_minute = _limits(choice)
    for what, limits, amounts in (
        ("requests", requests_a_minute, calls),
        ("tokens", tokens_a_minute, tokens),
    ):
        for model, amount in amounts.items():
            limit = limits.get(model, limits.get(EVERY_MODEL))
            if limit is not None:
                bounds.append((60 * amount / limit, f"{limit} {what} a minute of {model}"))
    return max(bounds) if bounds else (None, "")


def _limits(choice: BackendChoice) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """The requests and the tokens a minute of each model."""
    if choice.model is not None:
        return choice.model.requests_per_minute, choice.model.tokens_per_minute
    requests, tokens = choice.offline_requests_per_minute, choice.offline_tokens_per_minute
    return (
        {} if requests is None else {EVERY_MODEL: requests},
        {} if tokens is None else {EVERY_MODEL: tokens},
    )


def _cost(
    calls: Mapping[str, int],
    figures: Mapping[str, CallFigures],
    choice: BackendChoice,
    settings: Settings,
) -> float | None:
    """What the calls cost; the offline rules cost nothing."""
    if choice.model is None:
        return 0.0
    total = 0.0
    for model, number in calls.items():
        figure, price = figures.get(model), settings.price(model)
        if figure is None or price is None:
            return None
        each = price.cost(
            round(figure.input_tokens), round(figure.output_tokens), round(figure.cached_tokens)
        )
        if each is None:
            return None
        total += number * each
    return total


def usage_cost(usage: Sequence[ModelUsage], settings: Settings) -> float | None:
    """What calls cost, None where a price is not known; the offline rules cost nothing."""
    total = 0.0
    for each in usage:
        if each.model in (OFFLINE_QUICK_MODEL, OFFLINE_DEEP_MODEL):
            continue
        price = settings.price(each.model)
        if price is None:
            return None
        # A limit of the prompt's length is of one call.
        calls = max(1, each.calls)
        cost = price.cost(
            each.input_tokens // calls, each.output_tokens // calls, each.cached_tokens // calls
        )
        if cost is None:
            return None
        total += cost * calls
    return total


def seconds_left(
    ticker_days: Sequence[TickerDayProgress],
    at_once: int,
    now: datetime.datetime,
    guess_s: float | None = None,
) -> float | None:
    """Seconds until so many at once are over; None where nothing is known yet.

    Each is taken to last as long as those that are done did on average, and before one is done
    `guess_s`.
    """
    took = [each.seconds for each in ticker_days if each.state is TickerDayState.DONE]
    took = [each for each in took if each > 0]  # one that an earlier process ended took none here
    mean = sum(took) / len(took) if took else guess_s
    if mean is None:
        return None
    left = [
        mean
        if each.began is None or each.state is TickerDayState.WAITING
        # One that takes longer than usual is taken to end any moment.
        else max(0.0, mean - (now - each.began).total_seconds())
        for each in ticker_days
        if not each.is_final
    ]
    return max(sum(left) / at_once, max(left, default=0.0))
