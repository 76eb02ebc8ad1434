"""The attributes of a portfolio's trace that no other program has; docs/spans.md explains each.

This module is light: the judge reads them in an install that runs nothing.
"""

from typing import Final

from trading_graph.graph.gate_loader import PORTFOLIO_ID as PORTFOLIO_ID

WORKFLOW: Final = "portfolio"
"""The name of the workflow that the span at the top is."""
TICKER_DAY: Final = "ticker_day"
"""The name and the operation of the span of one try of a ticker-day."""
SLOTS: Final = "ticker-days"
"""The name of the limit on how many ticker-days are under way at once, and its unit."""

NAME: Final = "trading.portfolio.name"
TICKER_DAYS: Final = "trading.portfolio.ticker_days"
"""How many ticker-days the portfolio has."""
RUN: Final = "trading.ticker_day.run_id"
TRY: Final = "trading.ticker_day.try"
SLOT_WAIT_S: Final = "trading.ticker_day.slot_wait_s"
STATE: Final = "trading.ticker_day.state"
OVER: Final = "trading.ticker_day.over"
"""True on the last try, after which the ticker-day is done, failed, parked or cancelled."""
KILLED: Final = "trading.ticker_day.killed"
"""True on a try whose worker died: the run went on with another, so nothing has failed."""
DONE: Final = "trading.ticker_day.done"
"""The run's id, on the try that brought the decision."""
