"""Decisions as runs make them, with the numbers that a test is about; bars of the embedded data."""

import datetime
import uuid
from functools import cache
from typing import Any

from trading_graph.graph.decisions import (
    Action,
    DecidedBy,
    Decision,
    FinalDecision,
    ResearchPlan,
    TradeProposal,
)
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.toolkit.bars import Bars, make_bars
from trading_graph.toolkit.dataset import tables

RULES = "offline rules, no language model (0.8 s a call)"
EVENING = datetime.date(2025, 11, 14)


def decided(
    symbol: str,
    action: str,
    confidence: float = 0.6,
    *,
    date: datetime.date | str = EVENING,
    entry: float | None = 100.0,
    stop: float | None = None,
    target: float | None = None,
    horizon_days: int | None = 30,
    position_pct: float | None = 5.0,
    decided_by: DecidedBy = DecidedBy.MODEL,
    **fields: Any,
) -> TickerDayResult:
    """A ticker-day that is done; levels default to 5 % and 10 % from the entry."""
    day = datetime.date.fromisoformat(date) if isinstance(date, str) else date
    run_id = _run_id(symbol, day)
    side = -1 if action == "SELL" else 1
    if entry is not None:
        stop = entry * (1 - side * 0.05) if stop is None else stop
        target = entry * (1 + side * 0.1) if target is None else target
    trade: dict[str, Any] = {
        "action": Action(action),
        "confidence": confidence,
        "horizon_days": horizon_days,
        "entry": entry,
        "stop": stop,
        "target": target,
        "position_pct": position_pct,
        "rationale": "It says why.",
        "evidence": [],
    }
    plan = ResearchPlan(
        action=Action(action),
        confidence=confidence,
        summary="It sums up.",
        bull_points=[],
        bear_points=[],
        evidence=[],
    )
    values: dict[str, Any] = {
        "run_id": run_id,
        "trace_id": run_id,
        "symbol": symbol,
        "as_of": day,
        "session": day,
        "currency": "USD",
        "instrument": "share",
        "benchmark": "^GSPC",
        "decision": FinalDecision(**trade, risks=[]),
        "decided_by": decided_by,
        "plan": plan,
        "proposal": TradeProposal(**trade),
        "degraded": False,
        "missing_reports": [],
        "warnings": [],
        "model": RULES,
        "data": "embedded, to 2025-11-14 (0.15 s a fetch)",
        "simulated_latency": True,
    }
    decision = Decision(**(values | fields))
    return TickerDayResult(TickerDay(day, symbol, run_id), TickerDayState.DONE, decision)


def failed(
    symbol: str,
    reason: str,
    *,
    date: datetime.date = EVENING,
    state: TickerDayState = TickerDayState.FAILED,
) -> TickerDayResult:
    """A ticker-day without a decision."""
    return TickerDayResult(TickerDay(date, symbol, _run_id(symbol, date)), state, None, reason)


def _run_id(symbol: str, day: datetime.date) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{symbol}/{day}").hex


@cache
def embedded_bars(symbol: str) -> Bars:
    """All bars of the embedded data, on the share basis of its last day."""
    rows = tables.prices()[symbol]
    return make_bars(
        symbol,
        [row.date for row in rows],
        list(zip(*(row.ohlcv for row in rows), strict=True)),
        dividends=[(row.date, row.dividend) for row in rows if row.dividend],
        splits=[(row.date, row.split) for row in rows if row.split],
        currency="USD",
    )
