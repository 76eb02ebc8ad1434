"""Ticker symbols: from what people type to the one form that sources and caches use."""

import re

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
