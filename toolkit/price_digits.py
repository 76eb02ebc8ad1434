"""How many decimals show a price; whoever only writes prices needs no market data for it."""

import math

DIGITS = 4


def price_digits(close: float) -> int:
    """How many decimals show a price, and what has its size, to five digits or more: at least 4."""
    size = abs(close)
    return DIGITS + max(0, math.ceil(-math.log10(size))) if size > 0 else DIGITS
