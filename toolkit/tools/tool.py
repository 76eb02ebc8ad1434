"""What a tool is, and what all answers have in common.

A tool is described to a model by name, description and arguments. The model chooses a symbol and
details; it never chooses the date, which is the run's. Every answer is a JSON object that says
where its numbers come from: symbol, as_of, session (the last one, with a `note` if it is not the
as-of day's), source and data_mode.
"""

import datetime
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from toolkit.as_of import AsOf
from toolkit.market_data import AsyncToolkit

Answer = dict[str, Any]


class SymbolArguments(BaseModel):
    """Arguments of every tool: which symbol."""

    model_config = ConfigDict(extra="forbid")

    symbol: str = Field(description="Ticker symbol in Yahoo's form, such as AAPL, BRK-B or ^GSPC.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A named function over market data that a model may call.

    `run` takes the toolkit, the run's as-of date and an instance of `arguments`, and returns a JSON
    object. It raises errors of `toolkit.errors`: NoData is an answer to report, UnknownSymbol is
    not.
    """

    name: str
    description: str
    arguments: type[SymbolArguments]
    run: Callable[[AsyncToolkit, AsOf, Any], Awaitable[Answer]]


def provenance(
    toolkit: AsyncToolkit, symbol: str, as_of: AsOf, session: datetime.date, source: str
) -> Answer:
    """The part of every answer that says what it stands on."""
    note = as_of.session_note(session)
    return {
        "symbol": symbol,
        "as_of": str(as_of),
        "session": session.isoformat(),
        **({"note": note} if note else {}),
        "source": source,
        "data_mode": toolkit.mode,
    }


def rounded(value: float | None, digits: int = 4) -> float | int | None:
    """A number as an answer shows it: None for none or NaN, whole numbers without a point."""
    if value is None or not math.isfinite(value):
        return None
    short = round(float(value), digits)
    return int(short) if short == int(short) else short


def percent(new: float, old: float) -> float | int | None:
    """The change from old to new in percent; None from nothing."""
    return rounded((new / old - 1) * 100, 2) if old > 0 else None
