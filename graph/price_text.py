"""Prices as people read them: five digits or more of any size, and the currency beside.

One of 1 or more has at least two decimals.
"""

from trading_graph.toolkit.price_digits import price_digits

NOT_NAMED = "currency not named"


def price_text(price: float, *, thousands: bool = False) -> str:
    """A price without its currency, such as 272.41, 100.00 or 0.00000817; never 8e-06."""
    digits = price_digits(price)
    text = f"{price:,.{digits}f}" if thousands else f"{price:.{digits}f}"
    short = text.rstrip("0").rstrip(".")
    decimals = len(short.partition(".")[2])
    return text[: len(text) - digits + 2] if abs(price) >= 1 and decimals < 2 else short


def money_text(price: float, currency: str, *, thousands: bool = False) -> str:
    """A price with its currency, such as "272.41 USD"; says so where nobody names one."""
    return f"{price_text(price, thousands=thousands)} {currency or f'({NOT_NAMED})'}"
