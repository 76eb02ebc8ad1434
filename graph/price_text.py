"""Prices as people read them: five digits or more of any size, and the currency beside."""

from trading_graph.toolkit.tools.tool import price_digits

NOT_NAMED = "currency not named"


def price_text(price: float, *, thousands: bool = False) -> str:
    """A price without its currency, such as 272.41, 750000.5 or 0.00000817; never 8e-06."""
    digits = price_digits(price)
    text = f"{price:,.{digits}f}" if thousands else f"{price:.{digits}f}"
    return text.rstrip("0").rstrip(".")


def money_text(price: float, currency: str, *, thousands: bool = False) -> str:
    """A price with its currency, such as "272.41 USD"; says so where nobody names one."""
    return f"{price_text(price, thousands=thousands)} {currency or f'({NOT_NAMED})'}"
