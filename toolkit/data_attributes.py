"""Span attributes about market data; docs/spans.md says what each means."""

SYMBOL = "trading.symbol"
AS_OF = "trading.as_of"
DATA_MODE = "trading.data.mode"
DATA_AS_OF = "trading.data.as_of"
DATA_AGE_S = "trading.data.age_s"
DATA_STANDS_IN = "trading.data.stands_in"
"""Why another source served in place of the preferred one."""
