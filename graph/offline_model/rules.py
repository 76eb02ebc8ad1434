"""The rules' numbers: every figure that the offline model reasons with.

`docs/offline-model.md` publishes them, and a test compares that page with this module, so neither
can change alone. An analyst's points add up to its score between -1 and 1.
"""

from dataclasses import dataclass
from typing import Final

# Market: prices and indicators.
TREND_50_POINTS: Final = 0.15
TREND_200_POINTS: Final = 0.15
TREND_10_POINTS: Final = 0.05
VWMA_POINTS: Final = 0.05
MACD_POINTS: Final = 0.10
MACD_TURN_POINTS: Final = 0.05
RSI_OVERBOUGHT: Final = 70.0
RSI_OVERSOLD: Final = 30.0
RSI_MIDDLE: Final = 50.0
RSI_EXTREME_POINTS: Final = 0.20
RSI_SIDE_POINTS: Final = 0.05
MFI_HIGH: Final = 80.0
MFI_LOW: Final = 20.0
MFI_POINTS: Final = 0.10
BOLLINGER_POINTS: Final = 0.10
RELATIVE_MARGIN_PCT: Final = 2.0
RELATIVE_POINTS: Final = 0.15
VOLATILE_ATR_SHARE: Final = 0.04
VOLATILE_POINTS: Final = 0.10

# Social: attention measured by abnormal volume.
ATTENTION_DAY_POINTS: Final = 0.10
ATTENTION_MAX_POINTS: Final = 0.30
ATTENTION_MARKET_FACTOR: Final = 0.5
TURNOVER_HIGH: Final = 1.5
TURNOVER_POINTS: Final = 0.05

# Fundamentals: statements and ratios. Growth and margins are fractions, 0.10 is ten per cent.
GROWTH_FAST: Final = 0.10
GROWTH_POINTS: Final = 0.20
GROWTH_SLOW_POINTS: Final = 0.05
INCOME_POINTS: Final = 0.15
CASH_POINTS: Final = 0.10
EQUITY_POINTS: Final = 0.05
MARGIN_HIGH: Final = 0.20
MARGIN_POINTS: Final = 0.10
MARGIN_LOSS_POINTS: Final = 0.20
PE_EXPENSIVE: Final = 40.0
PE_CHEAP: Final = 15.0
PE_EXPENSIVE_POINTS: Final = 0.20
PE_CHEAP_POINTS: Final = 0.15
DEBT_HIGH: Final = 2.0
DEBT_LOW: Final = 0.5
DEBT_HIGH_POINTS: Final = 0.10
DEBT_LOW_POINTS: Final = 0.05
CURRENT_LOW: Final = 1.0
CURRENT_HIGH: Final = 1.5
CURRENT_POINTS: Final = 0.05
FCF_POINTS: Final = 0.10
FCF_NEGATIVE_POINTS: Final = 0.20

# Debate.
CONVICTION_BASE: Final = 0.5
CONVICTION_SLOPE: Final = 0.5
CONVICTION_MISSING: Final = 0.05
CONVICTION_LOW: Final = 0.05
CONVICTION_HIGH: Final = 0.95
ARGUMENTS_PER_REPORT: Final = 2

# Research plan.
DEBATE_WEIGHT: Final = 0.10
BUY_FROM: Final = 0.15
SELL_FROM: Final = -0.15
STRONG_SCORE: Final = 0.60
CONFIDENCE_BASE: Final = 0.35
CONFIDENCE_STRENGTH: Final = 0.35
CONFIDENCE_AGREEMENT: Final = 0.15
CONFIDENCE_MISSING: Final = 0.10
CONFIDENCE_LOW: Final = 0.05
CONFIDENCE_HIGH: Final = 0.95

# Trade.
STOP_ATR: Final = 2.0
TARGET_ATR_BASE: Final = 2.0
TARGET_ATR_SLOPE: Final = 3.0
HOLD_TARGET_ATR: Final = 2.0
FALLBACK_ATR_SHARE: Final = 0.02
LEAST_ATR_SHARE: Final = 0.0001
FARTHEST_SHARE: Final = 0.5
RISK_BUDGET_PCT: Final = 0.5
POSITION_CAP_PCT: Final = 10.0
SELL_ALL_FROM: Final = 0.5
SELL_PART_PCT: Final = 50.0
HORIZON_DAYS: Final = 30

# Risk judge.
VOICES_TO_STAND: Final = 2
OBJECTION_POSITION_FACTOR: Final = 0.8
OBJECTION_CONFIDENCE: Final = 0.05
OBJECTIONS_TO_HOLD: Final = 4

# Points of the items of SEC form 8-K; an item that is missing here counts nothing.
ITEM_POINTS: Final[dict[str, float]] = {
    "1.01": 0.10,
    "1.02": -0.10,
    "1.03": -0.60,
    "1.05": -0.25,
    "2.01": 0.05,
    "2.04": -0.30,
    "2.05": -0.15,
    "2.06": -0.25,
    "3.01": -0.40,
    "3.02": -0.05,
    "4.01": -0.15,
    "4.02": -0.50,
    "5.02": -0.05,
}

ANALYST_WEIGHTS: Final[dict[str, float]] = {
    "market_analyst": 0.35,
    "social_analyst": 0.10,
    "news_analyst": 0.20,
    "fundamentals_analyst": 0.35,
}


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What one member of the risk team accepts; the member objects to anything beyond."""

    stop_atr: float
    reward_to_risk: float
    position_pct: float
    atr_share: float
    confidence: float
    missing_reports: int


RISK_LIMITS: Final[dict[str, RiskLimits]] = {
    "aggressive_risk_analyst": RiskLimits(4.0, 1.0, 15.0, 0.060, 0.30, 2),
    "neutral_risk_analyst": RiskLimits(3.0, 1.6, 8.0, 0.045, 0.45, 1),
    "conservative_risk_analyst": RiskLimits(2.5, 2.0, 4.0, 0.030, 0.55, 0),
}
