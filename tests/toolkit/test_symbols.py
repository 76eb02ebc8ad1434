"""Symbols: what people type becomes one form, and nothing else passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.toolkit.errors import BadSymbolError
from trading_graph.toolkit.symbols import ALIASES, MAX_LENGTH, parse_symbol

REAL = [
    "AAPL", "F", "BRK-B", "0700.HK", "000001.SS", "2222.SR", "VOW3.DE", "VOD.L", "M&M.NS",
    "BAJAJ-AUTO.NS", "NIFTY_FIN_SERVICE.NS", "^GSPC", "^N225", "EURUSD=X", "JPY=X", "BTC-USD",
    "1INCH-USD", "ES=F", "GC=F", "CLZ25.NYM", "DX-Y.NYB", "0P000071W8.TO", "HISU-U.TO",
    "AAPL220121C00025000",
]  # fmt: skip

REFUSED = [
    "", " ", ".", "..", "-", "^", "../etc", "a/b", "AAPL\n", "AAPL\x00", "AA PL", "%2e",
    "?x=1", "\uff21\uff21\uff30\uff2c", "AAPL#", "AAPL;DROP", "AAPL.", ".AAPL", "^^GSPC", "A" * 33,
    "Ω", "<script>", "AAPL\tMSFT",
]  # fmt: skip


@pytest.mark.parametrize("symbol", REAL)
def test_a_real_symbol_is_its_own_form(symbol: str) -> None:
    assert parse_symbol(symbol) == symbol
    assert parse_symbol(f" {symbol.lower()} ") == symbol


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("BRK.B", "BRK-B"),
        ("bf.b", "BF-B"),
        ("spx", "^GSPC"),
        ("BTCUSD", "BTC-USD"),
        ("XAUUSD", "GC=F"),
    ],
)
def test_other_spellings_mean_one_symbol(typed: str, meant: str) -> None:
    assert parse_symbol(typed) == meant


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_symbol_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(BadSymbolError) as refused:
        parse_symbol(text)
    message = str(refused.value)
    assert message.isprintable()
    assert message.isprintable()
    assert len(message) < 200


def test_an_isin_is_refused_with_advice() -> None:
    with pytest.raises(BadSymbolError, match="US0378331005 is an ISIN: give the ticker"):
        parse_symbol("us0378331005")


def test_aliases_lead_to_symbols() -> None:
    assert all(parse_symbol(target) == target for target in ALIASES.values())


@given(st.text(max_size=40))
def test_whatever_passes_is_safe_in_a_path_and_stays_itself(text: str) -> None:
    try:
        symbol = parse_symbol(text)
    except BadSymbolError:
        return
    assert parse_symbol(symbol) == symbol
    assert len(symbol) <= MAX_LENGTH
    assert not set(symbol) & set("/\\%?#;: \n\0")
    assert symbol.isascii()
