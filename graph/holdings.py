"""What is held, the cash beside, and what both are worth.

Nothing here asks a source or a clock. Money is computed exactly, from the decimals that people
write. Nothing is converted between currencies: where two meet, the sum is None, and the cause is
named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, ClassVar, Self

from trading_graph.graph.errors import BadHoldingsError
from trading_graph.toolkit.errors import BadSymbolError
from trading_graph.toolkit.symbols import Instrument, parse_symbol

MINOR_UNITS = frozenset(("GBp", "GBX", "ZAc", "ILA"))
"""Pence and the like: an amount without a currency may be meant in pounds."""

_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BZD CAD CDF CHF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD "
    "FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY "
    "KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP "
    "MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR "
    "RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT "
    "TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER "
    "ZAR ZMW ZWG"
)

CURRENCIES = MINOR_UNITS | frozenset(_CODES.split())
"""Source: ISO 4217, list one, without funds, metals and tests; CNH is the yuan as traded abroad."""


MOST = 1e12
"""No quantity, price or amount of cash is larger: beyond it the digits of a float show."""

MOST_HOLDINGS = 200
"""Each is valued at its own last close, which is a request to a source."""

_CURRENCY = r"[A-Z]{3}|GBp|ZAc|ILA"
_CLOSED: Mapping[str, Any] = {"extra": "forbid"}


def _field(**words: Any) -> Any:
    """A field of what pydantic makes a model of at the edges; `words` are what `Field` takes."""
    return field(metadata=words)


@dataclass(frozen=True, slots=True)
class Holding:
    """A quantity of one symbol, and the price paid for one; "" is the currency of its quote."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CLOSED

    symbol: str = _field(min_length=1, max_length=64, examples=["NVDA"])
    quantity: float = _field(gt=0, allow_inf_nan=False, examples=[10])
    price: float = _field(gt=0, allow_inf_nan=False, description="Paid for one.", examples=[150.2])
    currency: str = field(
        default="",
        metadata={
            "pattern": f"^(?:{_CURRENCY})?$",
            "description": "Of the price; empty: that of the quote.",
        },
    )


@dataclass(frozen=True, slots=True)
class Cash:
    """Money that may be spent; "" is the currency of the quote."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _CLOSED

    amount: float = _field(ge=0, allow_inf_nan=False, examples=[10_000])
    currency: str = field(default="", metadata={"pattern": f"^(?:{_CURRENCY})?$"})


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that is held, each symbol once, and the cash; None where nobody said how much."""

    positions: tuple[Holding, ...] = ()
    cash: Cash | None = None

    @classmethod
    def of(cls, positions: Sequence[Holding], cash: Cash | None = None) -> Self:
        """Holdings with their symbols as they are listed; raises BadHoldingsError."""
        if len(positions) > MOST_HOLDINGS:
            raise BadHoldingsError(
                f"{len(positions)} holdings are more than the {MOST_HOLDINGS} that are valued; "
                "leave out the smallest."
            )
        listed = tuple(map(_listed, positions))
        symbols = [each.symbol for each in listed]
        if twice := next((each for each in symbols if symbols.count(each) > 1), None):
            raise BadHoldingsError(
                f"The holding of {twice} is given twice; give it once, with the whole quantity and "
                "the average price."
            )
        if cash is not None:
            _check(cash.amount >= 0, "cash", cash.amount, "0 or more")
            _check(cash.amount <= MOST, "cash", cash.amount, f"{MOST:,.0f} at most")
            _check_currency(cash.currency, "cash")
        return cls(listed, cash)

    @property
    def is_stated(self) -> bool:
        """Whether anybody said what is held, or which cash there is."""
        return bool(self.positions) or self.cash is not None

    def of_symbol(self, symbol: str) -> Holding | None:
        """What is held of a symbol."""
        return next((each for each in self.positions if each.symbol == symbol), None)


def _listed(holding: Holding) -> Holding:
    try:
        symbol = parse_symbol(holding.symbol)
    except BadSymbolError as error:
        raise BadHoldingsError(f"A holding: {error}") from None
    what = f"holding of {symbol}"
    _check(holding.quantity > 0, f"quantity of the {what}", holding.quantity, "more than 0")
    _check(holding.price > 0, f"price of the {what}", holding.price, "more than 0")
    for name, value in (("quantity", holding.quantity), ("price", holding.price)):
        _check(value <= MOST, f"{name} of the {what}", value, f"{MOST:,.0f} at most")
    _check_currency(holding.currency, what)
    return replace(holding, symbol=symbol)


def _check(fits: bool, what: str, value: float, rule: str) -> None:
    if not fits or not math.isfinite(value):
        raise BadHoldingsError(f"The {what} is {value:g}; give one that is {rule}.")


def _check_currency(currency: str, what: str) -> None:
    if currency and currency not in CURRENCIES:
        raise BadHoldingsError(
            f"{currency[:16]!a}, of the {what}, is no currency; give a code of ISO 4217, such as "
            "USD, or GBp for pence."
        )


class SizeLimit(StrEnum):
    """What limits the quantity of an order, or why it is not said."""

    CASH = "cash"
    """The cash buys no more."""
    CAP = "cap"
    """No position may be larger."""
    HELD = "held"
    """The holding has the size that the decision wants, or is larger."""
    TOO_SMALL = "too_small"
    """It is less than the smallest quantity that is traded."""
    NO_CASH = "no_cash"
    """Nobody said how much cash there is."""
    OTHER_CURRENCY = "other_currency"
    """A part of the portfolio is in another currency, or in one that nobody names."""
    NO_PRICE = "no_price"
    """A holding has no price, so nobody knows what the portfolio is worth."""
    NOT_TRADED = "not_traded"
    """An index is measured, and not bought."""
    CONTRACT = "contract"
    """A future or an option is a contract over a quantity that its quote does not name."""


CONTRACTS = (Instrument.FUTURE, Instrument.OPTION)
"""What is quoted for one unit and traded in contracts over many."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The last close of a symbol, and the currency that its source names ("": none)."""

    price: float
    currency: str
    instrument: Instrument = Instrument.UNKNOWN


@dataclass(frozen=True, slots=True)
class Unvalued:
    """A part of a portfolio that cannot be valued; an empty symbol is the cash."""

    symbol: str
    cause: SizeLimit
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a portfolio is worth at the last closes; None where a part cannot be valued."""

    value: float | None
    unvalued: Sequence[Unvalued] = field(
        default_factory=list
    )  # A checkpoint gives tuples back as lists.


def value_portfolio(
    holdings: Holdings, quotes: Mapping[str, Quote | str], currency: str
) -> Valuation:
    """The value of cash and holdings in one currency.

    `quotes` has for each symbol its last close, or the sentence that says why it has none.
    """
    unvalued: list[Unvalued] = []
    cash = holdings.cash
    total = Fraction(0)
    if cash is None:
        unvalued.append(Unvalued("", SizeLimit.NO_CASH))
    elif not is_same_currency(cash.currency, currency):
        unvalued.append(Unvalued("", SizeLimit.OTHER_CURRENCY, cash.currency))
    else:
        total += exact(cash.amount)
    for each in holdings.positions:
        quote = quotes[each.symbol]
        if isinstance(quote, str):
            unvalued.append(Unvalued(each.symbol, SizeLimit.NO_PRICE, quote))
        elif quote.instrument in CONTRACTS:
            unvalued.append(Unvalued(each.symbol, SizeLimit.CONTRACT, str(quote.instrument)))
        elif quote.currency != currency:
            unvalued.append(Unvalued(each.symbol, SizeLimit.OTHER_CURRENCY, quote.currency))
        else:
            total += exact(each.quantity) * exact(quote.price)
    return Valuation(None if unvalued else float(total), unvalued)


def is_same_currency(stated: str, quoted: str) -> bool:
    """Whether an amount is in the currency of a quote; one that names none is taken to be in it.

    Unless the quote is in pence or the like: the amount may be meant in pounds.
    """
    return stated == quoted or (not stated and quoted not in MINOR_UNITS)


def exact(number: float) -> Fraction:
    """The decimal number that people see."""
    return Fraction(repr(float(number)))
