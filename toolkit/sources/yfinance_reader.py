"""Yahoo's tables read by yfinance's scrapers, with its many errors turned into ours.

This module imports yfinance, pandas and curl_cffi, which takes about a second: `yahoo_tables`
imports it in a worker thread when it is first needed.
"""

import datetime
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import curl_cffi.requests.exceptions as curl
import numpy as np
import pandas as pd
import yfinance
from curl_cffi.requests import Session
from yarl import URL
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFRateLimitError
from yfinance.scrapers.fundamentals import Financials
from yfinance.scrapers.holders import Holders

from trading_graph.toolkit.errors import (
    BadAnswerError,
    DataError,
    HttpStatusError,
    NoDataError,
    RateLimitError,
    SourceUnavailableError,
)
from trading_graph.toolkit.records import Fact, InsiderTrade
from trading_graph.toolkit.reporting_deadlines import public_by
from trading_graph.toolkit.sources.source import clean
from trading_graph.toolkit.sources.yahoo_tables import PoolData, yahoo_url
from trading_graph.toolkit.symbols import identify

T = TypeVar("T")

_MAX_CURRENCY = 8

# Without this, yfinance writes a log line and returns an empty table where something goes wrong.
yfinance.config.debug.hide_exceptions = False

# yfinance's own filter would show our user pandas' announcements of future changes.
if _category := getattr(pd.errors, "Pandas4Warning", None):
    warnings.filterwarnings("ignore", category=_category)

_READERS: Mapping[str, str] = {
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


class YahooReader:
    """Reads tables with yfinance's scrapers; `data` is its `YfData`, or what replaces it."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def facts(self, symbol: str, kind: str) -> Iterator[tuple[Fact, str]]:
        """The facts of a kind of statement, each with its currency ("" where none is named).

        They are dated by the last day on which they may have been published.
        """
        statements = _Statements(self._data, symbol)
        read = getattr(statements, _READERS[kind])
        yearly, quarterly = read("yearly"), read("quarterly")
        country = identify(symbol).country
        # A fiscal year's last quarter comes with the annual report.
        year_ends = {column.date() for column in yearly.columns}
        for table, months, prefix in ((yearly, 12, "annual"), (quarterly, 3, "quarterly")):
            for concept, (names, sign) in _ROWS[kind].items():
                row = next((name for name in names if name in table.index), None)
                for column, value in table.loc[row].items() if row else ():
                    if value != value:
                        continue
                    end = column.date()
                    annual = end in year_ends
                    fact = Fact(
                        concept,
                        None if kind == "balance" else _first_day(end, months),
                        end,
                        public_by(country, end, annual=annual),
                        "annual report" if annual else "quarterly report",
                        sign * float(value),
                    )
                    yield fact, statements.currencies.get((f"{prefix}{row}", end.isoformat()), "")

    def trades(self, symbol: str) -> Iterator[InsiderTrade]:
        """The trades of a company's insiders."""
        for row in Holders(self._data, symbol).insider_transactions.to_dict("records"):
            day = row["Start Date"].date()
            if day != day:  # not a date
                continue
            yield InsiderTrade(
                day,
                np.busday_offset(day, 2, roll="backward").astype(datetime.date),
                clean(str(row.get("Insider", "")), 60),
                clean(str(row.get("Text", "")), 120),
                _number(row.get("Shares")),
                _number(row.get("Value")),
            )


class _Statements(Financials):  # type: ignore[misc]
    """yfinance's reader of statements, which also keeps the currency of each amount.

    `currencies` has them by Yahoo's name of the row and the ISO date of the period's end.
    """

    def __init__(self, data: Any, symbol: str) -> None:
        super().__init__(data, symbol)
        self.currencies: dict[tuple[str, str], str] = {}

    def _fetch_fundamentals_payload(self, url: str) -> Any:
        result = super()._fetch_fundamentals_payload(url)
        for series in result:
            for name, rows in series.items():
                if name in ("meta", "timestamp"):
                    continue
                for row in rows:
                    if code := row.get("currencyCode"):
                        self.currencies[name, row["asOfDate"]] = clean(str(code), _MAX_CURRENCY)
        return result


def browser_json(name: str, url: URL, base_url: str) -> Any:
    """The JSON document at a URL of Yahoo's, asked for as a browser; blocks.

    Raises errors of `toolkit.errors`, in which `name` is the source.
    """
    return _explained(name, lambda: _browser_data(base_url).get(str(url)).json())


def run(name: str, read: Callable[[YahooReader], T], data: PoolData | None, base_url: str) -> T:
    """The result of `read` over the pool's `data`, or as a browser where that is None; blocks.

    Raises errors of `toolkit.errors`, in which `name` is the source.
    """
    return _explained(
        name, lambda: read(YahooReader(_browser_data(base_url) if data is None else data))
    )


def _explained(name: str, work: Callable[[], T]) -> T:
    """The result of work with yfinance, its errors in our types."""
    try:
        return work()
    except DataError:
        raise
    except YFRateLimitError:
        raise RateLimitError(f"{name} says that there were too many requests: try later.") from None
    except curl.HTTPError as error:
        status = getattr(error.response, "status_code", 0)
        body = getattr(error.response, "content", b"")
        message = f"{name} answered {status}: try later."
        raise HttpStatusError(message, status=status, body=body) from None
    except curl.RequestException as error:
        raise SourceUnavailableError(
            f"{name} cannot be reached ({type(error).__name__}): check the network."
        ) from None
    except YFException:
        raise NoDataError(
            f"{name} has nothing of this kind for this symbol: ask for another."
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise BadAnswerError(
            f"{name} answered with something that yfinance cannot read ({type(error).__name__}): "
            "try later, or run with the embedded data."
        ) from None


def _browser_data(base_url: str) -> Any:
    """Yfinance's own `YfData` on a session of its own, whose TLS looks like Chrome's."""

    class YahooSession(Session):  # type: ignore[type-arg]
        def request(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
            return super().request(method, str(yahoo_url(url, base_url)), *args, **options)

    # Past the metaclass, which would give one instance to the whole process.
    return type.__call__(_BrowserData, YahooSession(impersonate="chrome"))


class _BrowserData(YfData):  # type: ignore[misc]
    def get(self, *args: Any, **options: Any) -> Any:
        answer = super().get(*args, **options)
        answer.raise_for_status()
        return answer

    cache_get = get  # yfinance's own would cache answers for good

    # Nothing on disk: a cookie that another program left there is not this session's.
    def _load_cookie_curlCffi(self) -> bool:
        return False

    def _save_cookie_curlCffi(self) -> bool:
        return False


def _first_day(end: datetime.date, months: int) -> datetime.date:
    """The first day of a period of so many months that ends in the month of `end`."""
    month = end.year * 12 + end.month - months
    return datetime.date(month // 12, month % 12 + 1, 1)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None
