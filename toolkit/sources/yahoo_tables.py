"""Statements and insiders' trades from Yahoo, read by yfinance: for companies that SEC lacks.

yfinance knows Yahoo's interfaces and tables. Its requests go over our pool; where Yahoo refuses
that (401, 403, 429), the same work is done once more over yfinance's own session, which looks like
a browser. Both run in worker threads: yfinance blocks.

Yahoo says when a period ended, not when it was reported. A quarter counts as known 45 days after
its end, a year 75 days after; a trade two business days after it was made. Per-share values and
share counts are left out: Yahoo restates them for later splits without saying so.
"""

import asyncio
import datetime
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    BadAnswer,
    DataError,
    HttpStatus,
    NoData,
    RateLimited,
    SourceUnavailable,
)
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import DataMode, Fact, Insiders, InsiderTrade, Statements
from trading_graph.toolkit.sources.base_urls import BaseUrls
from trading_graph.toolkit.sources.fetch_span import fetch_span
from trading_graph.toolkit.sources.yfinance_http import Crumb, PoolData, browser_data
from trading_graph.toolkit.untrusted import clean

QUARTER_LAG = datetime.timedelta(days=45)
YEAR_LAG = datetime.timedelta(days=75)

_REFUSED = (401, 403)
_THREADS = 8

_TABLES: Mapping[str, str] = {
    "income": "get_income_time_series",
    "balance": "get_balance_sheet_time_series",
    "cash_flow": "get_cash_flow_time_series",
}

# Yahoo's names of our concepts, the preferred one first, and the sign that makes them ours.
_ROWS: Mapping[str, Mapping[str, tuple[tuple[str, ...], int]]] = {
    "income": {
        "revenue": (("TotalRevenue", "OperatingRevenue"), 1),
        "cost_of_revenue": (("CostOfRevenue",), 1),
        "gross_profit": (("GrossProfit",), 1),
        "research_and_development": (("ResearchAndDevelopment",), 1),
        "selling_general_admin": (("SellingGeneralAndAdministration",), 1),
        "operating_income": (("OperatingIncome",), 1),
        "net_income": (("NetIncome", "NetIncomeCommonStockholders"), 1),
    },
    "balance": {
        "assets": (("TotalAssets",), 1),
        "current_assets": (("CurrentAssets",), 1),
        "cash": (("CashAndCashEquivalents",), 1),
        "securities_current": (("OtherShortTermInvestments",), 1),
        "inventories": (("Inventory",), 1),
        "liabilities": (("TotalLiabilitiesNetMinorityInterest",), 1),
        "current_liabilities": (("CurrentLiabilities",), 1),
        "commercial_paper": (("CommercialPaper",), 1),
        "long_term_debt_current": (("OtherCurrentBorrowings",), 1),
        "long_term_debt": (("LongTermDebt",), 1),
        "equity": (("StockholdersEquity",), 1),
    },
    "cash_flow": {
        "operating_cash_flow": (("OperatingCashFlow",), 1),
        "capital_expenditure": (("CapitalExpenditure",), -1),
        "depreciation_amortization": (("DepreciationAndAmortization",), 1),
        "stock_compensation": (("StockBasedCompensation",), 1),
        "buybacks": (("RepurchaseOfCapitalStock",), -1),
        "dividends_paid": (("CashDividendsPaid",), -1),
    },
}


class YahooTables:
    """A FundamentalsSource and InsiderSource by way of yfinance."""

    name = "Yahoo (yfinance)"
    data_mode: DataMode = "live"

    def __init__(self, pool: HttpPool, urls: BaseUrls) -> None:
        self._pool = pool
        self._base_url = urls.yahoo
        self._crumb = Crumb(pool, urls.yahoo)

    async def statements(self, symbol: str, as_of: AsOf, kind: str) -> Statements:
        """The facts of a kind of statement (income, balance, cash_flow) by the dates assumed."""
        facts = await self._work(
            f"yahoo_{kind}", symbol, as_of, lambda data: tuple(_facts(data, symbol, kind))
        )
        known = tuple(fact for fact in facts if fact.filed <= as_of.date)
        if not known:
            raise NoData(
                f"{self.name} has no statements of {symbol} that were out by {as_of}: "
                "choose a later date, or another symbol."
            )
        return Statements(
            symbol,
            kind,
            as_of.weekday,
            known,
            currency=None,
            source=self.name,
            data_mode=self.data_mode,
        )

    async def insiders(self, symbol: str, as_of: AsOf) -> Insiders:
        """The trades of insiders by the dates assumed."""
        trades = await self._work(
            "yahoo_insiders", symbol, as_of, lambda data: tuple(_trades(data, symbol))
        )
        if not trades:
            raise NoData(f"{self.name} has no insiders' trades of {symbol}: do without them.")
        ordered = tuple(sorted(trades, key=lambda trade: (trade.traded, trade.who)))
        return Insiders(
            symbol,
            as_of.weekday,
            ordered[0].traded,
            trades=ordered,
            source=self.name,
            data_mode=self.data_mode,
        )

    async def _work(
        self, source: str, symbol: str, as_of: AsOf, work: Callable[[Any], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        with fetch_span(source, self.data_mode, symbol=symbol, as_of=as_of) as span:
            data = PoolData(self._pool, self._base_url, self._crumb)
            try:
                found = await _in_thread(self.name, lambda: work(data))
            except asyncio.CancelledError:
                data.give_up()
                raise
            except (HttpStatus, RateLimited) as refusal:
                if isinstance(refusal, HttpStatus) and refusal.status not in _REFUSED:
                    raise
                span.set_attribute(semconv.FETCH_FALLBACK, "browser")
                found = await _in_thread(self.name, lambda: work(browser_data(self._base_url)))
            span.set_attribute(semconv.ROWS, len(found))
            return found


async def _in_thread(name: str, work: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Do the work in a thread of its own kind, with yfinance's many errors made ours."""
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_executor(), context.run, _done, name, work)


@cache
def _executor() -> ThreadPoolExecutor:
    # Not the loop's own: these threads wait for the network, and would keep indicators waiting.
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="yfinance")


def _done(name: str, work: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    import curl_cffi.requests.exceptions as curl
    from yfinance.exceptions import YFException, YFRateLimitError

    _set_up()
    try:
        return work()
    except DataError:
        raise
    except YFRateLimitError:
        raise RateLimited(f"{name} says that there were too many requests: try later.") from None
    except curl.HTTPError as error:
        status = getattr(error.response, "status_code", 0)
        raise HttpStatus(f"{name} answered {status}: try later.", status=status) from None
    except curl.RequestException as error:
        raise SourceUnavailable(
            f"{name} cannot be reached ({type(error).__name__}): check the network."
        ) from None
    except YFException:
        raise NoData(f"{name} has nothing of this kind for this symbol: ask for another.") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadAnswer(
            f"{name} answered with something that yfinance cannot read ({type(error).__name__}): "
            "try later, or run with the embedded data."
        ) from None


@cache
def _set_up() -> None:
    """Have yfinance raise what goes wrong; the default is a log line and an empty table."""
    import warnings

    import pandas as pd
    import yfinance

    yfinance.config.debug.hide_exceptions = False
    # Its own filter would show pandas' notes about its future to our user.
    if notes := getattr(pd.errors, "Pandas4Warning", None):
        warnings.filterwarnings("ignore", category=notes)


def _facts(data: Any, symbol: str, kind: str) -> Iterator[Fact]:
    from yfinance.scrapers.fundamentals import Financials

    read = getattr(Financials(data, symbol), _TABLES[kind])
    yearly, quarterly = read("yearly"), read("quarterly")
    # A fiscal year's last quarter comes with the annual report.
    year_ends = {column.date() for column in yearly.columns}
    for table, months in ((yearly, 12), (quarterly, 3)):
        for concept, (names, sign) in _ROWS[kind].items():
            row = next((name for name in names if name in table.index), None)
            for column, value in table.loc[row].items() if row else ():
                if value != value:
                    continue
                end = column.date()
                annual = end in year_ends
                yield Fact(
                    concept,
                    None if kind == "balance" else _first_day(end, months),
                    end,
                    end + (YEAR_LAG if annual else QUARTER_LAG),
                    "annual report" if annual else "quarterly report",
                    sign * float(value),
                )


def _first_day(end: datetime.date, months: int) -> datetime.date:
    """The first day of a period of so many months that ends in the month of `end`."""
    month = end.year * 12 + end.month - months
    return datetime.date(month // 12, month % 12 + 1, 1)


def _trades(data: Any, symbol: str) -> Iterator[InsiderTrade]:
    from yfinance.scrapers.holders import Holders

    for row in Holders(data, symbol).insider_transactions.to_dict("records"):
        traded = row["Start Date"].date()
        if traded != traded:  # not a date
            continue
        yield InsiderTrade(
            traded,
            _business_days_later(traded, 2),
            clean(str(row.get("Insider", "")), 60),
            clean(str(row.get("Text", "")), 120),
            _number(row.get("Shares")),
            _number(row.get("Value")),
        )


def _business_days_later(day: datetime.date, count: int) -> datetime.date:
    for _ in range(count):
        day += datetime.timedelta(days=max(1, 7 - day.weekday() if day.weekday() >= 4 else 1))
    return day


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None
