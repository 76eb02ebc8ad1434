"""Ticker symbols: their one form, what they stand for, where that is listed, and by which index.

People type a symbol in many ways; sources and caches use one, Yahoo's, which says what it is:
`VOW3.DE` is listed in Germany, `EURUSD=X` is a currency pair. The chart's own words (name,
exchange, type) come beside, where a source has them. The indices are this project's choice: the
best-known one of a market, under Yahoo's symbol.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from trading_graph.toolkit.errors import BadSymbolError

MAX_LENGTH = 32

# Upper case, in Yahoo's form: an optional caret, a body, then up to three parts after . - or =
# (0700.HK, BRK-B, EURUSD=X, DX-Y.NYB, AAPL220121C00025000).
_SYMBOL = re.compile(r"\^?[A-Z0-9](?:[A-Z0-9&_]{0,20}[A-Z0-9])?(?:[.\-=][A-Z0-9]{1,10}){0,3}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
# A share class after a dot, where Yahoo writes a dash. Only A and B: other single letters, such as
# .L, .F, .T and .V, name exchanges.
_SHARE_CLASS = re.compile(r"([A-Z]{1,5})\.([AB])")

ALIASES = {
    "SPX": "^GSPC",
    "SP500": "^GSPC",
    "NDX": "^NDX",
    "DJI": "^DJI",
    "VIX": "^VIX",
    "BTCUSD": "BTC-USD",
    "ETHUSD": "ETH-USD",
    "EURUSD": "EURUSD=X",
    "GBPUSD": "GBPUSD=X",
    "USDJPY": "JPY=X",
    "XAUUSD": "GC=F",
    "XAGUSD": "SI=F",
}


def parse_symbol(text: str) -> str:
    """The canonical form of a symbol: upper case, Yahoo's spelling, aliases resolved.

    Raises BadSymbolError for anything that is not a ticker symbol, such as an ISIN.
    """
    symbol = text.strip(" ").upper() if text.isascii() else ""
    if _ISIN.fullmatch(symbol):
        raise BadSymbolError(f"{symbol} is an ISIN: give the ticker symbol instead, such as AAPL.")
    if len(symbol) > MAX_LENGTH or not _SYMBOL.fullmatch(symbol):
        raise BadSymbolError(
            f"{_quote(text)} is not a ticker symbol: give one such as AAPL, BRK-B or ^GSPC."
        )
    symbol = ALIASES.get(symbol, symbol)
    return _SHARE_CLASS.sub(r"\1-\2", symbol) if _SHARE_CLASS.fullmatch(symbol) else symbol


def _quote(text: str) -> str:
    return printable(text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}...")


def printable(text: str) -> str:
    """The text quoted for a message: as it was typed, but for what a terminal would act on."""
    # A lone surrogate stands for a byte that is no text, and cannot be printed.
    return repr(text) if text.isprintable() else ascii(text)


class Instrument(StrEnum):
    """What a symbol stands for."""

    SHARE = "share"
    FUND = "fund"
    INDEX = "index"
    CURRENCY = "currency"
    CRYPTO = "cryptocurrency"
    FUTURE = "future"
    OPTION = "option"
    UNKNOWN = "unknown"

    @property
    def has_statements(self) -> bool:
        """Whether such a thing may publish statements; a currency has none by nature."""
        return self in (Instrument.SHARE, Instrument.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Market:
    """A place of listing: its country, and Yahoo's symbol of its index with the index's name."""

    country: str
    index: str
    index_name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What a symbol is; "" and None for what nobody says.

    `name` and `exchange` are the words of `source`, as of today. `market` follows from the symbol's
    form; currencies, futures and the like have none, and so no `benchmark`.
    """

    symbol: str
    instrument: Instrument = Instrument.UNKNOWN
    market: Market | None = None
    name: str = ""
    exchange: str = ""
    currency: str = ""
    source: str = ""

    @property
    def benchmark(self) -> str:
        """The symbol of the market's index; "" for what no index measures, and for that index."""
        return self.market.index if self.market and self.market.index != self.symbol else ""

    @property
    def country(self) -> str:
        """The country of listing; "" for what has none."""
        return self.market.country if self.market else ""


US_MARKET: Final = Market("United States", "^GSPC", "S&P 500")

_GERMANY = Market("Germany", "^GDAXI", "DAX")
_CANADA = Market("Canada", "^GSPTSE", "S&P/TSX Composite")
_UK = Market("United Kingdom", "^FTSE", "FTSE 100")

MARKETS: Final[Mapping[str, Market]] = MappingProxyType(
    {
        "AS": Market("Netherlands", "^AEX", "AEX"),
        "AT": Market("Greece", "GD.AT", "Athex Composite"),
        "AX": Market("Australia", "^AXJO", "S&P/ASX 200"),
        "BE": _GERMANY,
        "BK": Market("Thailand", "^SET.BK", "SET"),
        "BO": Market("India", "^BSESN", "Sensex"),
        "BR": Market("Belgium", "^BFX", "BEL 20"),
        "CN": _CANADA,
        "CO": Market("Denmark", "^OMXC25", "OMX Copenhagen 25"),
        "DE": _GERMANY,
        "DU": _GERMANY,
        "F": _GERMANY,
        "HA": _GERMANY,
        "HE": Market("Finland", "^OMXH25", "OMX Helsinki 25"),
        "HK": Market("Hong Kong", "^HSI", "Hang Seng"),
        "HM": _GERMANY,
        "IL": _UK,
        "IR": Market("Ireland", "^ISEQ", "ISEQ All Share"),
        "IS": Market("Turkey", "XU100.IS", "BIST 100"),
        "JK": Market("Indonesia", "^JKSE", "IDX Composite"),
        "JO": Market("South Africa", "^J203.JO", "FTSE/JSE All Share"),
        "KL": Market("Malaysia", "^KLSE", "FTSE Bursa Malaysia KLCI"),
        "KQ": Market("South Korea", "^KQ11", "KOSDAQ"),
        "KS": Market("South Korea", "^KS11", "KOSPI"),
        "L": _UK,
        "LS": Market("Portugal", "PSI20.LS", "PSI"),
        "MC": Market("Spain", "^IBEX", "IBEX 35"),
        "MI": Market("Italy", "FTSEMIB.MI", "FTSE MIB"),
        "MU": _GERMANY,
        "MX": Market("Mexico", "^MXX", "S&P/BMV IPC"),
        "NE": _CANADA,
        "NS": Market("India", "^NSEI", "Nifty 50"),
        "NZ": Market("New Zealand", "^NZ50", "S&P/NZX 50"),
        "OL": Market("Norway", "OSEBX.OL", "Oslo Bors Benchmark"),
        "PA": Market("France", "^FCHI", "CAC 40"),
        "SA": Market("Brazil", "^BVSP", "Ibovespa"),
        "SG": _GERMANY,
        "SI": Market("Singapore", "^STI", "Straits Times"),
        "SR": Market("Saudi Arabia", "^TASI.SR", "Tadawul All Share"),
        "SS": Market("China", "000001.SS", "SSE Composite"),
        "ST": Market("Sweden", "^OMX", "OMX Stockholm 30"),
        "SW": Market("Switzerland", "^SSMI", "SMI"),
        "SZ": Market("China", "399001.SZ", "SZSE Component"),
        "T": Market("Japan", "^N225", "Nikkei 225"),
        "TA": Market("Israel", "TA35.TA", "TA-35"),
        "TO": _CANADA,
        "TW": Market("Taiwan", "^TWII", "TAIEX"),
        "TWO": Market("Taiwan", "^TWII", "TAIEX"),
        "V": _CANADA,
        "VI": Market("Austria", "^ATX", "ATX"),
        "WA": Market("Poland", "WIG20.WA", "WIG20"),
    }
)
"""The market of each of Yahoo's suffixes; a symbol without one is listed in the United States."""

# What Yahoo's charts call the types of instruments.
_YAHOO_TYPES = {
    "EQUITY": Instrument.SHARE,
    "ETF": Instrument.FUND,
    "MUTUALFUND": Instrument.FUND,
    "INDEX": Instrument.INDEX,
    "CURRENCY": Instrument.CURRENCY,
    "CRYPTOCURRENCY": Instrument.CRYPTO,
    "FUTURE": Instrument.FUTURE,
    "OPTION": Instrument.OPTION,
}
_MONEY = "USD|EUR|GBP|JPY|CAD|AUD|CHF|CNY|HKD|INR|KRW|BRL|USDT|BTC|ETH"
_FORMS = (
    (re.compile(r"\^.+"), Instrument.INDEX),
    (re.compile(r".+=X"), Instrument.CURRENCY),
    (re.compile(r".+=F"), Instrument.FUTURE),
    (re.compile(rf"[A-Z0-9]+-(?:{_MONEY})"), Instrument.CRYPTO),
    (re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}"), Instrument.OPTION),
)
_LISTED = (Instrument.SHARE, Instrument.FUND, Instrument.UNKNOWN)


def identify(symbol: str, *, yahoo_type: str = "") -> Identity:
    """What a canonical symbol is by its form and, where it is given, Yahoo's type; asks nobody."""
    by_form = (kind for form, kind in _FORMS if form.fullmatch(symbol))
    instrument = _YAHOO_TYPES.get(yahoo_type) or next(by_form, Instrument.UNKNOWN)
    market = None
    if instrument in _LISTED:
        _, dot, suffix = symbol.rpartition(".")
        market = MARKETS.get(suffix) if dot else US_MARKET
    return Identity(symbol, instrument, market)
