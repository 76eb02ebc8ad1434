"""The sentences and numbers of a portfolio's report, the same in every rendering."""

from trading_graph.graph.backend_choice import models_in
from trading_graph.graph.decisions import DecidedBy
from trading_graph.graph.price_text import price_text
from trading_graph.service.portfolio.results.backtest import BackTest, Group
from trading_graph.service.portfolio.results.intervals import (
    LEAST_BLOCKS,
    LEAST_DATES,
    RESAMPLES,
    Interval,
)
from trading_graph.service.portfolio.results.knowledge_cutoffs import cutoff_of
from trading_graph.service.portfolio.results.ranking import Before, Place, Ranking

NOT_ADVICE = "Not investment advice."
DEMONSTRATION = (
    "A demonstration: published rules of thumb decided, and no language model. Nobody fitted them "
    "to anything, so the numbers show how the program works, not that the rules earn money."
)
FORMULA = (
    "Ranked by the expected gain for each unit risked: (confidence x way to the target - "
    "(1 - confidence) x way to the stop) / way to the stop, both from the entry."
)
ORDERS = (
    "The BUYs take the cash in the order of their rank. What a SELL brings is not spent on the "
    "same evening. Costs and taxes do not count. A run's own report reckons as if it had all the "
    "cash to itself; where the two differ, these orders count."
)
UNDECIDED = {
    DecidedBy.MODEL: "",
    DecidedBy.RULE: "a rule, in the place of a BUY on prices alone",
    DecidedBy.NOBODY: "nobody: a deciding agent brought no usable answer",
}
_MINUS = "-"


def per_cent(share: float | None, *, sign: bool = False, digits: int = 1) -> str:
    """A share in per cent, such as "16.2 %"; "-" for None."""
    if share is None:
        return _MINUS
    text = f"{share:{'+' if sign else ''}.{digits}%}".replace("%", " %")
    return text.lstrip("+-") if not float(text.removesuffix(" %")) else text


def with_interval(
    value: float | None, interval: Interval | None, *, sign: bool = False, digits: int = 1
) -> str:
    """A share and its interval, such as "3.1 % (-0.4 to 6.6)"."""
    text = per_cent(value, sign=sign, digits=digits)
    if interval is None:
        return text
    low, high = (f"{100 * end:.{digits}f}" for end in (interval.low, interval.high))
    return f"{text} ({low} to {high})"


def levels_text(place: Place) -> str:
    """Entry, stop and target with their currency; "-" where there are none."""
    final = place.decision.decision
    prices = [price for price in (final.entry, final.stop, final.target) if price is not None]
    if not prices:
        return _MINUS
    return f"{' · '.join(map(price_text, prices))} {place.decision.currency}".strip()


def change_text(place: Place, ranking: Ranking, name: str = "") -> str:
    """What is new since the evening before: the action, else the confidence, after its `name`."""
    before = place.before
    if before is None:
        return "new" if ranking.previous else _MINUS
    words = _change(before, place, name)
    return words if before.date == ranking.previous else f"{words} ({before.date})"


def _change(before: Before, place: Place, name: str) -> str:
    if before.action is not place.action:
        was = "" if before.decided else ", undecided"
        return f"was {before.action}{was}"
    if not before.decided:
        return "was undecided"
    change = place.confidence - before.confidence
    return "same" if abs(change) < 0.005 else f"{name} {change:+.2f}".strip()


def group_name(group: Group) -> str:
    """What a group holds, such as "BUY 0.6 to 0.7", which is a band of confidence."""
    if group.band is not None:
        low, high = group.band
        return f"{group.action} {low:g} to {high:g}"
    if group.knowledge is not None:
        return f"{group.action}, {group.knowledge}"
    return str(group.action)


def rules_lines(back_test: BackTest) -> list[str]:
    """How the outcomes were reckoned, and what their intervals mean."""
    rules = back_test.rules
    lost = back_test.lost_from_sight
    sight = [
        f"Decisions without prices, in no number here: {lost}. If their symbols are no longer "
        "listed, these may have lost everything."
    ]
    longest = max((group.block for group in back_test.groups), default=1)
    return [
        "A BUY is entered at the open of the first session after its date and followed to stop, "
        "target or horizon by daily bars: a gap fills at the open, and of a bar that touched both "
        f"the stop counts. Costs: {rules.cost_bps:g} basis points a side. Dividends count.",
        'A SELL means "do not hold", never a short: its return is the loss that was avoided, '
        "negative where the symbol rose. A HOLD trades nothing: what the symbol did is told.",
        f"Prices are known up to {back_test.last_day}. Positions still open then are valued at the "
        "last close.",
        "Decisions are grouped by confidence, too. Open: still held on the last day. Excess: over "
        "the benchmark of the same days, which is a price index without dividends. Drawdown: the "
        "largest of any position.",
        "Intervals are of 95 %. Decisions a few days apart share most of their days and are no "
        "independent evidence. So the hit rate's interval (Wilson) counts only as many positions "
        "as do not overlap another of their symbol (apart), and means are resampled in blocks of "
        f"up to {longest} dates, with all symbols of a date together (block bootstrap, {RESAMPLES} "
        f"draws, seed {rules.seed}). Fewer than {LEAST_DATES} dates or {LEAST_BLOCKS} blocks give "
        "no interval; few blocks give one that is too narrow rather than too wide.",
        *(sight if lost else ()),
    ]


def served_line(ranking: Ranking) -> str:
    """Which models and which data served the evening."""
    models = sorted({each.decision.model for each in ranking.places})
    data = sorted({each.decision.data for each in ranking.places})
    if not models:
        return _nothing_line(ranking)
    line = f"Model: {'; '.join(models)}. Data: {'; '.join(data)}."
    if ranking.previous is None:
        return line
    return f"{line} Changes of the action, or of the confidence, are since {ranking.previous}."


def _nothing_line(ranking: Ranking) -> str:
    """That the evening has no decision, and how many there are of the days before."""
    decided, days = ranking.decided, len(set(ranking.decided))
    if not decided:
        return "Nothing is decided yet." if ranking.is_open else "Nothing was decided."
    evening = f"The last day, {ranking.evening}, "
    return (
        f"{evening}{'is not decided yet' if ranking.is_open else 'has no decision'}. Decided: "
        f"{len(decided)} of {len(decided) + len(ranking.unfinished)} ticker-days, on {days} "
        f"day{'s' * (days != 1)} up to {max(decided)}."
    )


def model_lines(ranking: Ranking) -> list[str]:
    """What each model may have known of the days after its decisions."""
    names = {name for each in ranking.places for name in models_in(each.decision.model)}
    return [_cutoff_line(name) for name in sorted(names)]


def _cutoff_line(model: str) -> str:
    cutoff = cutoff_of(model)
    if cutoff is None:
        return (
            f"{model}: its training data's last day is not known here, so that nobody can say "
            "whether it knew what came next."
        )
    return (
        f"{model}: trained on data up to {cutoff.day} ({cutoff.page}, read on {cutoff.read_on}). "
        "Of decisions up to that day it may know what came next."
    )
