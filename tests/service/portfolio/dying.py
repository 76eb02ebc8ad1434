"""A process that works on a portfolio until it is killed: `python -m ... FOLDER`."""

import sys
from pathlib import Path

from tests.service.portfolio.portfolios import record, ticker_days, work

SYMBOLS = ("AAPL", "MSFT", "NVDA")

if __name__ == "__main__":
    days = ticker_days(*SYMBOLS)
    record(
        Path(sys.argv[1]),
        lambda running, portfolio: work(running, portfolio, days, 2),
        days,
        2,
        chat_s=0.15,
    )
