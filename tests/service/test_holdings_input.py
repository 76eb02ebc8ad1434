"""Holdings as people and brokers write them: read as meant, or refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_graph.graph.errors import BadHoldingsError
from trading_graph.graph.holdings import Cash, Holding, Holdings
from trading_graph.service.run.holdings_input import (
    merge,
    parse_cash,
    parse_position,
    parse_positions,
    read_holdings,
)

NVDA = Holding("NVDA", 10, 150.2)


@pytest.mark.parametrize(
    ("text", "holding"),
    [
        ("NVDA=10@150.2", NVDA),
        ("NVDA=10@150.20USD", Holding("NVDA", 10, 150.2, "USD")),
        ("BRK-B=1,200@$1,234.50", Holding("BRK-B", 1200, 1234.5, "USD")),
        ("VOD.L=5@72.5GBp", Holding("VOD.L", 5, 72.5, "GBp")),
        ("VOD.L=5@72.5GBX", Holding("VOD.L", 5, 72.5, "GBp")),
        ("EURUSD=X=1000@1.08", Holding("EURUSD=X", 1000, 1.08)),
        ("SHIB-USD=1000000@8.17e-06", Holding("SHIB-USD", 1_000_000, 8.17e-06)),
        ("BTC-USD=.25@60000", Holding("BTC-USD", 0.25, 60_000)),
    ],
)
def test_a_holding_in_short(text: str, holding: Holding) -> None:
    assert parse_position(text) == holding


@pytest.mark.parametrize(
    ("text", "cash"),
    [
        ("10000", Cash(10_000)),
        ("10,000.50 USD", Cash(10_000.5, "USD")),
        ("EUR 5", Cash(5, "EUR")),
        ("€5", Cash(5, "EUR")),
        ("$5", Cash(5, "USD")),
        ("$5 CAD", Cash(5, "CAD")),
    ],
)
def test_cash_in_short(text: str, cash: Cash) -> None:
    assert parse_cash(text) == cash


@pytest.mark.parametrize("text", ["", "much", "1.234,50", "€5 USD", "5 dollars", "--5", "."])
def test_cash_that_can_mean_two_things_or_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadHoldingsError, match="cash"):
        parse_cash(text)


def test_several_holdings_stand_in_one_text() -> None:
    text = " NVDA=10@150.2, AAPL=5@200 ;MSFT=1@1,000\n"
    assert [each.symbol for each in parse_positions(text)] == ["NVDA", "AAPL", "MSFT"]
    assert parse_positions(text)[2].price == 1000


def written(folder: Path, text: str, name: str = "positions.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


BROKERS = {
    "ours": "symbol,quantity,price,currency\nNVDA,10,150.2,\n",
    "average cost": "Symbol,Description,Quantity,Last Price,Average Cost Basis,Current Value\n"
    'NVDA,"NVIDIA CORP, INC",10,$190.17,150.20,"$1,901.70"\n',
    "cost/share": '"Symbol","Description","Qty","Price","Cost/Share","Gain/Loss %","Asset Type"\n'
    '"NVDA","NVIDIA","10","190.17","150.20","26.8%","Equity"\n',
    "semicolons": "Ticker;Shares;Purchase Price\nNVDA;10;150.2\n\n",
    "tabs": "ticker\tunits\tunit cost\r\nNVDA\t10\t150.2\r\n",
}


@pytest.mark.parametrize("text", BROKERS.values(), ids=BROKERS)
def test_headers_of_brokers_are_known(tmp_path: Path, text: str) -> None:
    (holding,) = read_holdings(written(tmp_path, "\ufeff" + text)).positions
    assert (holding.symbol, holding.quantity, holding.price) == ("NVDA", 10, 150.2)


def test_a_file_has_currencies_and_a_line_of_cash(tmp_path: Path) -> None:
    lines = ("symbol,quantity,price paid,currency", "NVDA,10,$150.2,", "VOW3.DE,5,€90,EUR")
    text = "\n".join((*lines, "CASH,5000,,USD"))
    assert read_holdings(written(tmp_path, text)) == Holdings(
        (Holding("NVDA", 10, 150.2, "USD"), Holding("VOW3.DE", 5, 90, "EUR")), Cash(5000, "USD")
    )
    # The ticker CASH is a bank's; its shares have a price.
    bank = read_holdings(written(tmp_path, "symbol,quantity,price\nCASH,10,71.5\n"))
    assert bank == Holdings((Holding("CASH", 10, 71.5),))


@pytest.mark.parametrize(
    ("content", "cash"),
    [
        ([{"symbol": "NVDA", "quantity": 10, "price": 150.2}], None),
        ({"holdings": [{"Ticker": "nvda", "shares": "10", "price paid": "150.2"}]}, None),
        (
            {
                "holdings": [{"symbol": "NVDA", "quantity": 10, "price": 150.2, "currency": None}],
                "cash": {"amount": 5000, "currency": "USD"},
            },
            Cash(5000, "USD"),
        ),
        ({"holdings": [{"symbol": "NVDA", "quantity": 10, "price": 150.2}], "cash": 7}, Cash(7)),
    ],
)
def test_json_has_the_fields_of_the_api(tmp_path: Path, content: Any, cash: Cash | None) -> None:
    holdings = read_holdings(written(tmp_path, json.dumps(content), "positions.json"))
    assert holdings == Holdings((NVDA,), cash)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("symbol,quantity,price\n", "has no holdings"),
        ("symbol,quantity\nNVDA,10\n", "no column gives the price paid"),
        ("symbol,quantity,price,colour\nNVDA,10,1,red\n", "column 'colour' is not known"),
        ("symbol,quantity,quantiy,price\nNVDA,10,1,1\n", "column 'quantiy' is not known"),
        # A broker's price is the last one.
        ("Symbol,Description,Quantity,Price\nNVDA,N,10,190\n", "no column gives the price paid"),
        ("symbol,qty,shares,price\nNVDA,10,10,1\n", "two columns give the quantity"),
        ("symbol,quantity,price\nNVDA,-10,150\n", "quantity of the holding of NVDA is -10"),
        ("symbol,quantity,price\nNVDA,10,0\n", "price of the holding of NVDA is 0"),
        ("symbol,quantity,price\nNVDA,10,n/a\n", "line 2: 'n/a' is no price paid"),
        ("symbol,quantity,price\nNVDA,10 USD,1\n", "line 2: a quantity has no currency"),
        ("symbol,quantity,price\nAAPL\n", "line 2 has other columns"),
        ("symbol;quantity;price\nNVDA;1.000;150\n", "line 2: '1.000' can mean two numbers"),
        ("symbol\tquantity\tprice\nNVDA\t1\t1,500\n", "line 2: '1,500' can mean two numbers"),
        ("symbol;quantity;price\nNVDA;1;150,20\n", "line 2: '150,20' is no price paid"),
        ("symbol,quantity,price\nNVDA,1,234.50,2\n", "line 2 has other columns"),
        ("symbol,quantity,price\nNVDA,10,1\nnvda,5,2\n", "NVDA is given twice"),
        ("symbol,quantity,price,currency\nNVDA,10,€150,USD\n", "in €, and the currency is USD"),
        ("symbol,quantity,price,currency\nNVDA,10,USD 150,CAD\n", "in USD, and the currency is"),
        ("symbol,quantity,price,currency\nNVDA,10,150,dollars\n", "is no currency"),
        ("symbol,quantity,price\nCASH,5,\nCASH,6,1\n", "the cash is given twice"),
        ('symbol,quantity,price\n"NVDA,10,1\n', "is no CSV"),
        ("[{", "is not valid JSON"),
        ("[1]", "is no list of holdings"),
        ('{"positions": []}', "'positions' is not known"),
        ('[{"symbol": "NVDA", "quantity": NaN, "price": 1}]', "is nan"),
        ('[{"symbol": "NVDA", "quantity": true, "price": 1}]', "'True' is no quantity"),
        ('[{"symbol": "NVDA", "quantity": 10}]', "no column gives the price paid"),
        ('[{"symbol": "NVDA", "quantity": 10, "price": 1, "colour": 1}]', "'colour' is not known"),
    ],
)
def test_a_file_that_cannot_be_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadHoldingsError, match=says.replace("[", r"\[")) as raised:
        read_holdings(written(tmp_path, text))
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_what_is_no_file_of_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.csv").write_text("symbol,quantity,price\n" + "NVDA,1,1\n" * 200_000)
    for path in (tmp_path, tmp_path / "none.csv", tmp_path / "x.csv", tmp_path / "large.csv"):
        with pytest.raises(BadHoldingsError):
            read_holdings(str(path))
    with pytest.raises(BadHoldingsError, match=r"'NVDA=10' lacks the price paid; .*NVDA=10@200"):
        read_holdings("NVDA=10")
    with pytest.raises(BadHoldingsError, match="The holdings are empty"):
        read_holdings("")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NVDA=1@200 eur", "write the currency in capitals: 200EUR"),
        ("NVDA=1@5usd", "5USD"),
        ("NVDA=1@250,10", "write a point in place of the decimal comma"),
        ("NVDA=2,5@250", "write a point in place of the decimal comma"),
    ],
)
def test_a_number_that_is_written_otherwise_is_told_how_to_write_it(text: str, says: str) -> None:
    with pytest.raises(BadHoldingsError, match=says):
        parse_position(text)


def test_words_and_files_add_up_and_nothing_is_given_twice() -> None:
    one, other = Holdings((NVDA,), Cash(5)), Holdings((Holding("AAPL", 1, 2),))
    assert merge([one, other], None) == Holdings((*one.positions, *other.positions), Cash(5))
    with pytest.raises(BadHoldingsError, match="cash is given twice"):
        merge([one], Cash(6))
    with pytest.raises(BadHoldingsError, match="NVDA is given twice"):
        merge([one, Holdings((NVDA,))], None)
