"""Entry, stop, target and position size from the price levels of the last session."""

import math
from dataclasses import dataclass

import msgspec

from trading_graph.graph.decisions import Action
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import BadConversation, Conversation
from trading_graph.graph.offline_model.figures import as_number

_STEPS_AN_ATR = 50


class PriceLevels(msgspec.Struct):
    """The prompt's `<price_levels>`; only the close is indispensable."""

    close: float
    atr_14: float | None = None
    session: str | None = None

    @property
    def atr(self) -> float:
        """The average true range; a stated share of the close where there is none to speak of."""
        given = as_number(self.atr_14)
        if given is None or given <= 0:
            return rules.FALLBACK_ATR_SHARE * self.close
        return max(given, rules.LEAST_ATR_SHARE * self.close)


@dataclass(frozen=True, slots=True)
class TradeLevels:
    """Three prices in the quote's currency."""

    entry: float
    stop: float
    target: float


def read_price_levels(conversation: Conversation) -> PriceLevels:
    """The price levels of the prompt, or BadConversation."""
    text = conversation.json_block("price_levels")
    try:
        levels = msgspec.json.decode(text, type=PriceLevels)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadConversation(
            f"The <price_levels> block of {conversation.agent} cannot be read: {error}; send an "
            "object with a close."
        ) from error
    if not 0 < levels.close < 1e15:
        raise BadConversation(
            f"The close {levels.close} in the <price_levels> block of {conversation.agent} is no "
            "price; send a positive one."
        )
    return levels


def trade_levels(action: Action, levels: PriceLevels, confidence: float) -> TradeLevels:
    """Enter at the close, leave a number of ATR away, never farther than half the price."""
    close = levels.close
    stop_away = _away(rules.STOP_ATR, levels)
    if action is Action.HOLD:
        target_away = _away(rules.HOLD_TARGET_ATR, levels)
    else:
        multiple = rules.TARGET_ATR_BASE + rules.TARGET_ATR_SLOPE * confidence
        target_away = _away(multiple, levels)
    side = -1 if action is Action.SELL else 1
    stop, target = close - side * stop_away, close + side * target_away
    decimals = _decimals(levels)
    return TradeLevels(close, round(stop, decimals), round(target, decimals))


def _away(multiple: float, levels: PriceLevels) -> float:
    return min(multiple * levels.atr, rules.FARTHEST_SHARE * levels.close)


def _decimals(levels: PriceLevels) -> int:
    """Two, and more where rounding to two would move a price by much of its distance."""
    return max(2, math.ceil(math.log10(_STEPS_AN_ATR / min(levels.atr, levels.close))))


def position_pct(action: Action, levels: PriceLevels, trade: TradeLevels, trust: float) -> float:
    """The share of the portfolio that loses the risk budget at the stop, times the confidence."""
    stop_share = abs(trade.entry - trade.stop) / levels.close
    size = min(rules.POSITION_CAP_PCT, rules.RISK_BUDGET_PCT / stop_share * trust)
    return round(size * (rules.HOLD_POSITION_FACTOR if action is Action.HOLD else 1), 2)
