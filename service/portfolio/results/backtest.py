"""What the decisions of a portfolio would have earned, told with what is not known about it.

A BUY is followed to its stop, target or horizon. A SELL means "do not hold", never a short: its
outcome is what the symbol did until the horizon's end, which not holding avoided, and it is
reported apart. A HOLD trades nothing. What no model decided is left out.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from trading_graph.graph.backend_choice import models_in
from trading_graph.graph.decisions import Action, DecidedBy, Decision
from trading_graph.service.portfolio.results.intervals import (
    Interval,
    Stay,
    block_length,
    independent,
    mean_interval,
    wilson,
)
from trading_graph.service.portfolio.results.knowledge_cutoffs import Knowledge, knowledge_of
from trading_graph.service.portfolio.results.later_prices import Prices
from trading_graph.service.portfolio.results.ledger import Account, Purchase, keep_account
from trading_graph.service.portfolio.results.ranking import expectation, is_by_rules
from trading_graph.service.portfolio.results.trades import (
    Exit,
    NoTrade,
    Trade,
    drawdown,
    follow,
    market_return,
    market_values,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult
from trading_graph.toolkit.bar_checks import Floats

BANDS = ((0.0, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1.0))
"""The bands of confidence; each but the last is without its upper end."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What can be chosen: costs in basis points a side, the most that a position may have of an
    account in per cent (None: what its decision names), and the seed of the intervals.
    """

    cost_bps: float = 5.0
    cap_pct: float | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A decision and what became of it.

    `profit` is that of the position after costs; of a SELL the loss that not holding avoided, which
    is negative where the symbol rose. `benchmark_profit` is the benchmark's over the same days.
    """

    ticker_day: TickerDay
    decision: Decision
    knowledge: Knowledge
    trade: Trade
    profit: float
    benchmark_profit: float | None

    @property
    def action(self) -> Action:
        """What was decided."""
        return self.decision.decision.action

    @property
    def confidence(self) -> float:
        """How sure the decision was."""
        return self.decision.decision.confidence

    @property
    def is_hit(self) -> bool:
        """Whether the decision was right: it earned, or avoided a loss."""
        return self.profit > 0

    @property
    def excess(self) -> float | None:
        """How much better than the benchmark the position was; of a SELL, not holding it."""
        if self.benchmark_profit is None:
            return None
        if self.action is Action.SELL:
            return self.profit + self.benchmark_profit
        return self.profit - self.benchmark_profit

    @property
    def stay(self) -> Stay:
        """The days of the position."""
        return Stay(self.decision.symbol, self.trade.entry_day, self.trade.exit_day)


@dataclass(frozen=True, slots=True)
class Untested:
    """A decision that could not be followed, and why."""

    ticker_day: TickerDay
    reason: NoTrade | str


@dataclass(frozen=True, slots=True)
class Group:
    """The outcomes of an action, of all confidences or of a band, and of one state of knowledge.

    `independent` is how many of the `size` positions do not overlap another of their symbol; the
    interval of the hit rate counts only these. `block` is the number of dates that are resampled
    together for the intervals of means, which are None where the dates are too few for that.
    `open` are valued at the last close. A HOLD can hit nothing.
    """

    action: Action
    band: tuple[float, float] | None
    knowledge: Knowledge | None
    size: int
    open: int
    independent: int
    block: int
    confidence: float
    hits: int | None
    hit_interval: Interval | None
    profit: float
    profit_interval: Interval | None
    excess: float | None
    excess_interval: Interval | None
    drawdown: float
    sessions: float

    @property
    def hit_rate(self) -> float | None:
        """The share of decisions that were right."""
        return None if self.hits is None else self.hits / self.size


@dataclass(frozen=True, slots=True, eq=False)
class CurrencyAccount:
    """The account of all purchases in a currency, and its benchmark over the same days.

    `benchmark` is "" where the purchases have different ones; `benchmark_values` are what 1 put
    into it at the account's first open was worth, None where that is not known.
    """

    currency: str
    account: Account
    benchmark: str
    benchmark_values: Floats | None

    @property
    def benchmark_profit(self) -> float | None:
        """What the benchmark earned, as a share."""
        return None if self.benchmark_values is None else float(self.benchmark_values[-1]) - 1

    @property
    def benchmark_drawdown(self) -> float | None:
        """The benchmark's largest fall from its highest value before, as a share."""
        return None if self.benchmark_values is None else drawdown(1.0, self.benchmark_values)


@dataclass(frozen=True, slots=True, eq=False)
class BackTest:
    """What became of the decisions up to the last known day."""

    rules: Rules
    last_day: datetime.date
    is_demonstration: bool
    outcomes: tuple[Outcome, ...]
    untested: tuple[Untested, ...]
    groups: tuple[Group, ...]
    accounts: tuple[CurrencyAccount, ...]

    @property
    def lost_from_sight(self) -> int:
        """How many decisions are in no number although sessions have passed since."""
        return sum(each.reason is not NoTrade.NO_LATER_SESSION for each in self.untested)


def symbols_of(results: Iterable[TickerDayResult]) -> set[str]:
    """The symbols whose prices a back-test needs: those of the decisions, and their benchmarks."""
    decisions = [each.decision for each in results if each.decision is not None]
    names = {decision.symbol for decision in decisions}
    return names | {decision.benchmark for decision in decisions if decision.benchmark}


def back_test(results: Sequence[TickerDayResult], prices: Prices, rules: Rules) -> BackTest:
    """Follow every decision that a model made."""
    outcomes: list[Outcome] = []
    untested: list[Untested] = []
    for each in sorted(results, key=lambda each: each.ticker_day):
        decision = each.decision
        if decision is None or decision.decided_by is not DecidedBy.MODEL:
            continue
        if decision.decision.horizon_days is None:
            continue  # A HOLD that names no time.
        trade = _trade(decision, prices)
        if isinstance(trade, Trade):
            outcomes.append(_outcome(each.ticker_day, decision, trade, prices, rules))
        else:
            untested.append(Untested(each.ticker_day, trade))
    return BackTest(
        rules,
        prices.last_day,
        any(is_by_rules(each.decision) for each in outcomes),
        tuple(outcomes),
        tuple(untested),
        tuple(_groups(outcomes, rules)),
        tuple(_accounts(outcomes, prices, rules)),
    )


def _trade(
    decision: Decision, prices: Prices, sell_as_of: datetime.date | None = None
) -> Trade | NoTrade | str:
    """What became of a decision, or why nothing did."""
    bars, final = prices.bars.get(decision.symbol), decision.decision
    if bars is None:
        return prices.missing.get(decision.symbol, "no prices")
    if final.action is not Action.BUY:
        return follow(bars, decision.as_of, final.horizon_days or 0)
    return follow(
        bars,
        decision.as_of,
        final.horizon_days or 0,
        stop=-math.inf if final.stop is None else final.stop,
        target=math.inf if final.target is None else final.target,
        sell_as_of=sell_as_of,
    )


def _outcome(
    ticker_day: TickerDay, decision: Decision, trade: Trade, prices: Prices, rules: Rules
) -> Outcome:
    action = decision.decision.action
    # Whoever does not hold, or trades nothing, pays no costs.
    profit = trade.profit(rules.cost_bps if action is Action.BUY else 0)
    benchmark = prices.bars.get(decision.benchmark)
    return Outcome(
        ticker_day,
        decision,
        knowledge_of(models_in(decision.model), decision.as_of),
        trade,
        -profit if action is Action.SELL else profit,
        None
        if benchmark is None
        else market_return(benchmark, trade.entry_day, trade.exit_day, to_open=trade.kind.at_open),
    )


def band_of(confidence: float) -> tuple[float, float]:
    """The band that a confidence is in."""
    return next((band for band in BANDS if confidence < band[1]), BANDS[-1])


def _groups(outcomes: Sequence[Outcome], rules: Rules) -> Iterable[Group]:
    """Each action as a whole, by band, and by what its models may have known."""
    for action in Action:
        of_action = [each for each in outcomes if each.action is action]
        if not of_action:
            continue
        yield _group(of_action, rules)
        if action is Action.HOLD:
            continue
        for band in BANDS:
            inside = [each for each in of_action if band_of(each.confidence) == band]
            if inside:
                yield _group(inside, rules, band=band)
        for knowledge in Knowledge:
            of_knowledge = [each for each in of_action if each.knowledge is knowledge]
            if of_knowledge and knowledge is not Knowledge.RULES:
                yield _group(of_knowledge, rules, knowledge=knowledge)


def _group(
    outcomes: Sequence[Outcome],
    rules: Rules,
    *,
    band: tuple[float, float] | None = None,
    knowledge: Knowledge | None = None,
) -> Group:
    by_date: defaultdict[datetime.date, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        by_date[each.ticker_day.date].append(each)
    stays = {date: [each.stay for each in some] for date, some in by_date.items()}
    block = block_length(stays)
    apart = independent(each.stay for each in outcomes)
    action = outcomes[0].action
    hits = None if action is Action.HOLD else sum(each.is_hit for each in outcomes)
    excesses = {
        date: [each.excess for each in some if each.excess is not None]
        for date, some in by_date.items()
    }
    every_excess = [value for values in excesses.values() for value in values]
    return Group(
        action,
        band,
        knowledge,
        len(outcomes),
        sum(each.trade.kind is Exit.STILL_OPEN for each in outcomes),
        apart,
        block,
        fmean(each.confidence for each in outcomes),
        hits,
        None if hits is None else wilson(hits / len(outcomes), apart),
        fmean(each.profit for each in outcomes),
        mean_interval(
            {date: [each.profit for each in some] for date, some in by_date.items()},
            block,
            rules.seed,
        ),
        fmean(every_excess) if every_excess else None,
        mean_interval(excesses, block, rules.seed) if every_excess else None,
        max(each.trade.drawdown for each in outcomes),
        fmean(len(each.trade.dates) for each in outcomes),
    )


def _accounts(
    outcomes: Sequence[Outcome], prices: Prices, rules: Rules
) -> Iterable[CurrencyAccount]:
    """An account for each currency that a BUY was made in."""
    sells: defaultdict[str, list[datetime.date]] = defaultdict(list)
    buys: defaultdict[str, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        if each.action is Action.SELL:
            sells[each.decision.symbol].append(each.decision.as_of)
        elif each.action is Action.BUY:
            buys[each.decision.currency].append(each)
    for currency, bought in sorted(buys.items()):
        purchases = [_purchase(each, sells, prices, rules) for each in bought]
        sessions = {
            day
            for symbol in {each.decision.symbol for each in bought}
            for day in prices.bars[symbol].dates.tolist()
        }
        account = keep_account(purchases, sessions, rules.cost_bps)
        if account is None:
            continue
        names = {each.decision.benchmark for each in bought}
        benchmark = names.pop() if len(names) == 1 else ""
        bars = prices.bars.get(benchmark)
        yield CurrencyAccount(
            currency,
            account,
            benchmark,
            None if bars is None else market_values(bars, account.days),
        )


def _purchase(
    outcome: Outcome, sells: Mapping[str, Sequence[datetime.date]], prices: Prices, rules: Rules
) -> Purchase:
    """A BUY as the account carries it out: until a later SELL of the symbol, if one comes first."""
    decision = outcome.decision
    later = [day for day in sells[decision.symbol] if day > decision.as_of]
    trade = _trade(decision, prices, min(later, default=None))
    promise = expectation(decision.decision)
    share = decision.decision.position_pct or 0.0
    return Purchase(
        decision.symbol,
        (share if rules.cap_pct is None else min(share, rules.cap_pct)) / 100,
        -math.inf if promise is None else promise.per_risk,
        trade if isinstance(trade, Trade) else outcome.trade,
    )
