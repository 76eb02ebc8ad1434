"""Holdings and cash as people give them: in short, as `NVDA=10@150.2`, or in a file.

A file is CSV with a line of headers, as brokers export it, or JSON with the fields of the API.
Nothing is guessed: a column that is not known, an amount that can mean two things, and a price
that may be the last one instead of the one paid are refused. Raises BadHoldingsError.
"""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from trading_graph.graph.errors import BadHoldingsError
from trading_graph.graph.holdings import MINOR_UNITS, Cash, Holding, Holdings
from trading_graph.toolkit.symbols import printable

_MOST_BYTES = 2**20
_CASH = "CASH"
"""The symbol of a line of cash; the ticker of that name has a price that is not 1."""

_SIGNS = {"$": ("USD", "AUD", "CAD", "HKD", "NZD", "SGD"), "€": ("EUR",), "£": ("GBP",)}
"""What a sign may stand for; without a code beside, it is the first."""

_AMOUNT = re.compile(
    r"(?P<before>[$€£]|[A-Z]{3}\s)?\s*(?P<number>-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?"
    r"(?:\.[0-9]+)?(?:[eE]-?[0-9]{1,2})?)\s*(?P<after>[A-Z]{3}|GBp|ZAc)?"
)
_POSITION = re.compile(r"(?P<symbol>.+)=(?P<quantity>[^=@]+)@(?P<price>[^=@]+)")

_SMALL_CODE = re.compile(r"(?P<number>[0-9.,]+)\s*(?P<code>[A-Za-z]{3})")
_DECIMAL_COMMA = re.compile(r"-?[0-9]+(?:\.[0-9]{3})*,[0-9]+")

_PENCE = "GBp"
"""What sources call the currency that some brokers call GBX."""

_COLUMNS = {
    "symbol": ("symbol", "ticker", "tickersymbol"),
    "quantity": ("quantity", "qty", "shares", "units", "position", "numberofshares"),
    "price": (
        "pricepaid",
        "paid",
        "purchaseprice",
        "buyprice",
        "openprice",
        "costprice",
        "unitcost",
        "costshare",
        "costpershare",
        "costbasispershare",
        "averagecost",
        "averagecostbasis",
        "averageprice",
        "avgcost",
        "avgcostbasis",
        "avgprice",
    ),
    "currency": ("currency", "ccy", "currencyprimary", "currencycode"),
}
"""The headers of each field, in small letters and without anything between them."""

_PLAIN_PRICE = "price"
"""The price paid in a file of ours; beside a broker's columns it is the last one."""

_NOT_READ = re.compile(
    r"(?:description|name|company|security|account|last|current|market|value|costbasis|totalcost|"
    r"bookvalue|gain|unrealized|profit|pl|pnl|day|change|today|percent|pctof|weight|allocation|"
    r"type|asset|class|sector|exchange|isin|cusip|sedol|date|purchasedate|tradedate|rating|"
    r"reinvest|dividend|yield|52week|volume|notes?)"
)
"""How the headers begin of what brokers add and nobody needs here."""


_FOREIGN = re.compile(r"-?[0-9]{1,3}[.,][0-9]{3}")
"""Where commas do not stand between columns, 1.234 or 1,234 may be a thousand or one."""


def parse_position(text: str) -> Holding:
    """A holding from `SYMBOL=QUANTITY@PRICE`, with or without a currency behind the price."""
    match = _POSITION.fullmatch(text.strip())
    if match is None:
        raise BadHoldingsError(
            f"{_quote(text)} is no holding; give SYMBOL=QUANTITY@PRICE, such as NVDA=10@150.2."
        )
    where = f"The holding {_quote(text)}"
    quantity = _quantity(match["quantity"], where)
    price, named = _amount(match["price"], where, "price")
    return Holding(match["symbol"].strip(), quantity, price, _currency("", named, where))


def parse_positions(text: str) -> tuple[Holding, ...]:
    """Several holdings in short, with blanks, semicolons or lines between them."""
    return tuple(map(parse_position, re.split(r"[\s;]+|,\s+", text.strip(" \t\r\n;,"))))


def parse_cash(text: str) -> Cash:
    """Cash from `10000`, `10,000.50 USD` or `$10000`."""
    amount, named = _amount(text, "The cash", "amount")
    return Cash(amount, _currency("", named, "The cash"))


def read_holdings(words: str) -> Holdings:
    """Holdings from one word of the command line: a holding in short, or the path of a file."""
    if _POSITION.fullmatch(words):
        return Holdings.of([parse_position(words)])
    path = Path(words)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadHoldingsError(_unreadable(words, error)) from None
    except UnicodeDecodeError:
        raise BadHoldingsError(
            f"{path.name} is no text in UTF-8; save it as CSV or JSON."
        ) from None
    if len(content) > _MOST_BYTES:
        raise BadHoldingsError(f"{path.name} is larger than 1 MiB; give the holdings alone.")
    if not text.strip():
        raise BadHoldingsError(f"{path.name} is empty; give a line for each holding.")
    is_json = path.suffix.lower() == ".json" or text.lstrip()[0] in "[{"
    return (_from_json if is_json else _from_csv)(text, path.name)


def _unreadable(words: str, error: OSError) -> str:
    """What is wrong with a word that is neither a holding nor a file that can be read."""
    if not words.strip():
        return "The holdings are empty; give SYMBOL=QUANTITY@PRICE, or the path of a file."
    if re.fullmatch(r"[^=@/]+=[^=@/]+", words):
        symbol, _, quantity = words.partition("=")
        return (
            f"{_quote(words)} lacks the price paid; give SYMBOL=QUANTITY@PRICE, such as "
            f"{symbol}={quantity}@200."
        )
    return (
        f"{_quote(words)} cannot be read ({error.strerror}), and is no SYMBOL=QUANTITY@PRICE; "
        "give one or the other."
    )


def merge(parts: Sequence[Holdings], cash: Cash | None) -> Holdings:
    """All holdings together, with the cash of one of them, or the cash given beside."""
    amounts = [each.cash for each in parts if each.cash is not None]
    amounts += [] if cash is None else [cash]
    if len(amounts) > 1:
        raise BadHoldingsError("The cash is given twice; give it once.")
    positions = [position for each in parts for position in each.positions]
    return Holdings.of(positions, amounts[0] if amounts else None)


def _from_json(text: str, name: str) -> Holdings:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise BadHoldingsError(f"{name} is not valid JSON; mend it, or give CSV.") from None
    cash = None
    if isinstance(content, dict):
        if unknown := sorted(set(content) - {"holdings", "cash"}):
            raise BadHoldingsError(
                f"{name}: {_quote(unknown[0])} is not known; the fields are holdings and cash."
            )
        cash = _cash_of(content.get("cash"), name)
        content = content.get("holdings", [])
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise BadHoldingsError(
            f"{name} is no list of holdings; give an object with symbol, quantity and price for "
            "each."
        )
    rows = []
    for number, each in enumerate(content, 1):
        fields = _fields(list(each), f"{name}, holding {number}")
        rows.append((f"{name}, holding {number}", {fields[key]: each[key] for key in fields}))
    return _holdings(rows, cash, name)


def _cash_of(value: Any, name: str) -> Cash | None:
    if value is None:
        return None
    where, code = f"{name}, cash", ""
    if isinstance(value, dict) and "amount" in value and set(value) <= {"amount", "currency"}:
        value, code = value["amount"], value.get("currency")
    amount, named = _amount(value, where, "amount")
    return Cash(amount, _currency(code, named, where))


def _from_csv(text: str, name: str) -> Holdings:
    lines = text.splitlines()
    first = next(line for line in lines if line.strip())
    delimiter = max(",;\t", key=first.count)
    rows: list[tuple[str, dict[str, Any]]] = []
    fields: dict[int, str] | None = None
    width = 0
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), 1):
            where = f"{name}, line {number}"
            if not any(cell.strip() for cell in cells):
                continue
            if fields is None:
                by_header = _fields(cells, where)
                fields = {cells.index(header): field for header, field in by_header.items()}
                width = len(cells)
                continue
            # Also a number with a comma that is not quoted makes one column more.
            if any(place >= len(cells) for place in fields) or any(map(str.strip, cells[width:])):
                raise BadHoldingsError(
                    f"{where} has other columns than the first line; mend it, or leave it out."
                )
            row = {field: cells[place].strip() for place, field in fields.items()}
            if delimiter != "," and (twofold := next(filter(_FOREIGN.fullmatch, row.values()), "")):
                raise BadHoldingsError(
                    f"{where}: {_quote(twofold)} can mean two numbers; write it without thousands "
                    "separators, or with other than three decimals."
                )
            rows.append((where, row))
    except csv.Error as error:
        raise BadHoldingsError(f"{name} is no CSV that can be read ({error}); mend it.") from None
    return _holdings(rows, None, name)


def _fields(headers: list[str], where: str) -> dict[str, str]:
    """The field of each header that is read."""
    fields: dict[str, str] = {}
    others = False
    for header in headers:
        plain = re.sub(r"[^a-z0-9]", "", header.lower())
        field = next((name for name, words in _COLUMNS.items() if plain in words), None)
        if field is None and plain != _PLAIN_PRICE:
            if plain and not _NOT_READ.match(plain):
                raise BadHoldingsError(
                    f"{where}: the column {_quote(header)} is not known; the columns are symbol, "
                    "quantity, price paid and currency, so leave it out."
                )
            others = True
        elif field in fields.values():
            raise BadHoldingsError(f"{where}: two columns give the {field}; leave one out.")
        elif field is not None:
            fields[header] = field
    if "price" not in fields.values():
        own = next((each for each in headers if each.strip().lower() == _PLAIN_PRICE), None)
        if own is not None and not others:
            fields[own] = "price"
    for field, header in (("symbol", "symbol"), ("quantity", "quantity"), ("price", "price paid")):
        if field not in fields.values():
            raise BadHoldingsError(
                f"{where}: no column gives the {header}; name one {_quote(header)}."
            )
    return fields


def _holdings(rows: list[tuple[str, dict[str, Any]]], cash: Cash | None, name: str) -> Holdings:
    if not rows and cash is None:
        raise BadHoldingsError(f"{name} has no holdings; give a line for each.")
    positions = []
    for where, row in rows:
        symbol = str(row["symbol"] or "").strip()
        if symbol.upper() == _CASH and str(row["price"] or "").strip() in ("", "1", "1.0", "1.00"):
            if cash is not None:
                raise BadHoldingsError(f"{where}: the cash is given twice; give it once.")
            amount, named = _amount(row["quantity"], where, "amount")
            cash = Cash(amount, _currency(row.get("currency"), named, where))
            continue
        quantity = _quantity(row["quantity"], where)
        price, named = _amount(row["price"], where, "price paid")
        currency = _currency(row.get("currency"), named, where)
        positions.append(Holding(symbol, quantity, price, currency))
    try:
        return Holdings.of(positions, cash)
    except BadHoldingsError as error:
        raise BadHoldingsError(f"{name}: {error}") from None


def _currency(stated: Any, named: str, where: str) -> str:
    """The currency of a column and that beside the amount, which have to agree."""
    code = str(stated or "").strip()
    code = code if code in MINOR_UNITS else code.upper()
    code, named = (_PENCE if each == "GBX" else each for each in (code, named))
    meanings = _SIGNS.get(named, (named,))
    if code and named and code not in meanings:
        raise BadHoldingsError(
            f"{where}: the amount is in {named}, and the currency is {code}; give one of them."
        )
    return code or meanings[0]


def _quantity(value: Any, where: str) -> float:
    quantity, named = _amount(value, where, "quantity")
    if named:
        raise BadHoldingsError(f"{where}: a quantity has no currency; give the number alone.")
    return quantity


def _amount(value: Any, where: str, what: str) -> tuple[float, str]:
    """A number, and the sign or the code of the currency that stands beside it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), ""
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not re.match(r"-?\.?[0-9]", match["number"]):
        raise BadHoldingsError(f"{where}: {_quote(value)} is no {what}; {_advice(value)}.")
    before, after = (match["before"] or "").strip(), match["after"] or ""
    named = _currency(after, before, where) if before and after else after or before
    return float(match["number"].replace(",", "")), named


def _advice(value: Any) -> str:
    """How to write what is no number."""
    text = value.strip() if isinstance(value, str) else ""
    if named := _SMALL_CODE.fullmatch(text):
        return f"write the currency in capitals: {named['number']}{named['code'].upper()}"
    if _DECIMAL_COMMA.fullmatch(text):
        return "write a point in place of the decimal comma, such as 1234.5"
    return "give a number such as 1,234.50 or 1234.5"


def _quote(value: Any) -> str:
    text = str(value)
    return printable(text if len(text) <= 40 else f"{text[:40]}...")


class HoldingsType(click.ParamType[Holdings]):
    """Holdings in short, or a file of them."""

    name = "holdings"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Holdings:
        """Read them."""
        if isinstance(value, Holdings):
            return value
        try:
            return read_holdings(str(value))
        except BadHoldingsError as error:
            self.fail(str(error), param, ctx)


class CashType(click.ParamType[Cash]):
    """An amount of cash, with or without its currency."""

    name = "cash"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Cash:
        """Read it."""
        if isinstance(value, Cash):
            return value
        try:
            cash = parse_cash(str(value))
            Holdings.of((), cash)
        except BadHoldingsError as error:
            self.fail(str(error), param, ctx)
        return cash
