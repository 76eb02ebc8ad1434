"""What a tool is, and what all tools share: arguments, provenance, numbers.

A model knows a tool by its name, description and arguments. The model chooses a symbol and details,
but never the date, which is the run's. Every answer is a JSON object that says where its numbers
come from: symbol, as_of, session (the last one, with a `note` if it is not the as-of day's),
source, data_mode and age_s; `warnings` tells what a reader of its numbers must know. The same is
written on the current span.
"""

import datetime
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from pydantic import BaseModel, ConfigDict, Field

from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.indicators import OSCILLATORS
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.price_digits import DIGITS, price_digits
from trading_graph.toolkit.records import SourceAnswer

Answer = dict[str, Any]


class Arguments(BaseModel):
    """The arguments of a tool: a closed schema."""

    model_config = ConfigDict(extra="forbid")


class SymbolArguments(Arguments):
    """The arguments of every tool about a symbol."""

    symbol: str = Field(description="Ticker symbol in Yahoo's form, such as AAPL, BRK-B or ^GSPC.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A named function over market data that a model may call.

    `run` takes the toolkit, the run's as-of date and an instance of `arguments`, and returns a JSON
    object. It raises errors of `toolkit.errors`: NoDataError is an answer to report,
    UnknownSymbolError is not. `available` says whether a toolkit can serve the tool at all for a
    date. The answer of an `untrusted` tool contains words of strangers.
    """

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[AsyncToolkit, AsOf, Any], Awaitable[Answer]]
    available: Callable[[AsyncToolkit, AsOf], bool] = lambda toolkit, as_of: True
    untrusted: bool = False


def provenance(
    toolkit: AsyncToolkit,
    symbol: str | None,
    as_of: AsOf,
    session: datetime.date,
    *parts: SourceAnswer,
) -> Answer:
    """The part of every answer that says where it comes from; also written on the current span.

    `data_mode` is `mixed` where parts of the answer are live and others embedded. `stands_in` says
    why a part is not from the preferred source.
    """
    modes = {part.data_mode for part in parts}
    source = "; ".join(dict.fromkeys(part.source for part in parts))
    stands_in = " ".join(dict.fromkeys(part.stands_in for part in parts if part.stands_in))
    mode = modes.pop() if len(modes) == 1 else "mixed"
    age_s = max((toolkit.age_s(part) for part in parts), default=0)
    note = as_of.session_note(session)
    warnings = list(dict.fromkeys(text for part in parts for text in part.warnings))
    trace.get_current_span().set_attributes(
        {
            semconv.SOURCE: source,
            data_attributes.DATA_MODE: mode,
            data_attributes.DATA_AS_OF: session.isoformat(),
            data_attributes.DATA_AGE_S: age_s,
            **({data_attributes.DATA_STANDS_IN: stands_in} if stands_in else {}),
            **({data_attributes.DATA_WARNINGS: warnings} if warnings else {}),
        }
    )
    return {
        **({"symbol": symbol} if symbol else {}),
        "as_of": str(as_of),
        "session": session.isoformat(),
        **({"note": note} if note else {}),
        "source": source,
        "data_mode": mode,
        "age_s": age_s,
        **({"stands_in": stands_in} if stands_in else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def indicator_digits(name: str, bars: Bars | None) -> int:
    """How many decimals show an indicator: those of the prices, unless it runs from 0 to 100."""
    return DIGITS if bars is None or name in OSCILLATORS else price_digits(bars.close[-1])


def number(value: float | None, digits: int = DIGITS) -> float | int | None:
    """A number for an answer: None for None or NaN, whole numbers without a point."""
    if value is None or not math.isfinite(value):
        return None
    short = round(float(value), digits)
    return int(short) if short == int(short) else short


def percent(new: float, old: float) -> float | int | None:
    """The change from old to new in percent; None if old is not positive."""
    return number((new / old - 1) * 100, 2) if old > 0 else None
