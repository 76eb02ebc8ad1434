"""Whether a proposed trade is near the market: entry, stop and target against recent prices."""

from trading_graph.graph.decisions import FinalDecision, TradeProposal
from trading_graph.toolkit.market_data import PriceLevels

ENTRY_MARGIN = 0.05
"""How far outside the last 20 sessions' range an entry may lie."""

MAX_ATR = 6.0
"""How far from the entry a stop or a target may lie, in average true ranges."""


def objection(trade: TradeProposal | FinalDecision, levels: PriceLevels) -> str | None:
    """What is wrong with the prices of a trade, or None."""
    low = levels.low_20 * (1 - ENTRY_MARGIN)
    high = levels.high_20 * (1 + ENTRY_MARGIN)
    if not low <= trade.entry <= high:
        return (
            f"entry {trade.entry:g} is outside {low:.2f} to {high:.2f}, the range of the last 20 "
            f"sessions to {levels.session} widened by {ENTRY_MARGIN:.0%}"
        )
    if levels.atr_14 is None:
        return None
    for name, price in (("stop", trade.stop), ("target", trade.target)):
        distance = abs(price - trade.entry) / levels.atr_14
        if distance > MAX_ATR:
            return (
                f"{name} {price:g} is {distance:.1f} ATR from the entry {trade.entry:g}; at most "
                f"{MAX_ATR:g} ATR of {levels.atr_14:.2f} are sensible"
            )
    return None
