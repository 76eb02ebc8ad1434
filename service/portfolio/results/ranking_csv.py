"""The evening of a portfolio as CSV: a row a symbol."""

import csv
import io

from trading_graph.graph.decisions import DecidedBy
from trading_graph.service.portfolio.results.ranking import Place, Ranking
from trading_graph.service.portfolio.ticker_day import TickerDayResult, TickerDayState

_HEAD = (
    "section",
    "rank",
    "symbol",
    "date",
    "action",
    "confidence",
    "gain_per_risk",
    "reward",
    "risk",
    "position_pct",
    "horizon_days",
    "entry",
    "stop",
    "target",
    "currency",
    "previous_date",
    "previous_action",
    "previous_confidence",
    "decided_by",
    "degraded",
    "state",
    "reason",
    "run_id",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def ranking_csv(ranking: Ranking) -> str:
    """The decisions in their order, then the ticker-days without one; empty cells for nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _HEAD, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_decided(place) for place in ranking.places)
    writer.writerows(_unfinished(each) for each in ranking.unfinished)
    return text.getvalue()


def _decided(place: Place) -> dict[str, object]:
    decision, promise, before = place.decision, place.expectation, place.before
    final = decision.decision
    row: dict[str, object] = {
        "section": final.action.lower() if decision.decided_by is DecidedBy.MODEL else "undecided",
        "rank": place.rank,
        "symbol": _cell(decision.symbol),
        "date": place.ticker_day.date,
        "action": final.action,
        "confidence": final.confidence,
        "position_pct": final.position_pct,
        "horizon_days": final.horizon_days,
        "entry": final.entry,
        "stop": final.stop,
        "target": final.target,
        "currency": _cell(decision.currency),
        "decided_by": decision.decided_by,
        "degraded": str(decision.degraded).lower(),
        "state": TickerDayState.DONE,
        "reason": _cell(" ".join(decision.warnings)),
        "run_id": place.ticker_day.run_id,
    }
    if promise is not None:
        row |= {
            "gain_per_risk": round(promise.per_risk, 6),
            "reward": round(promise.reward, 6),
            "risk": round(promise.risk, 6),
        }
    if before is not None:
        row |= {
            "previous_date": before.date,
            "previous_action": before.action,
            "previous_confidence": before.confidence,
        }
    return row


def _unfinished(result: TickerDayResult) -> dict[str, object]:
    return {
        "section": "unfinished",
        "symbol": _cell(result.ticker_day.symbol),
        "date": result.ticker_day.date,
        "state": result.state,
        "reason": _cell(result.reason),
        "run_id": result.ticker_day.run_id,
    }


def _cell(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line
