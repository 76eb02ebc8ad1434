"""What a run is asked to do: one declaration for the command line, HTTP, the form and the store.

`RunRequest` holds the fields with their bounds, defaults and help texts. The options of
`trading-graph run` and the schema of the API are made from it, and a run's folder stores one.
"""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import click
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from trading_graph.graph.options import Budget, Debate, Options, Order
from trading_graph.toolkit.as_of import AsOf, new_york_day, utc_now
from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.live_access import Mode
from trading_graph.toolkit.symbols import parse_symbol

Analyst = Literal["market", "social", "news", "fundamentals"]
ANALYSTS: tuple[Analyst, ...] = get_args(Analyst)
"""All analysts, in the order of the graph."""


def default_date(data: Mode) -> str:
    """The day that is analysed when a request names none; with live data New York's today."""
    return LAST_DAY if data == "offline" else new_york_day(utc_now()).isoformat()


class RunRequest(BaseModel):
    """One analysis to be made; without a date, of the last day that the data is sure to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: Annotated[str, Field(min_length=1, max_length=64, examples=["NVDA"])]
    date: Annotated[
        str | None,
        Field(
            max_length=32,
            examples=[LAST_DAY],
            description=f"Analyse as of this day. Default: {LAST_DAY} with embedded data, "
            "else today.",
        ),
    ] = None
    analysts: Annotated[
        tuple[Analyst, ...],
        Field(
            min_length=1,
            max_length=len(ANALYSTS),
            description=f"Which of {','.join(ANALYSTS)} to ask.",
        ),
    ] = ANALYSTS
    analyst_turns: Annotated[
        int,
        Field(
            ge=2,
            le=8,
            description="LLM turns of an analyst; in the last the tools are withheld.",
        ),
    ] = 2
    debate: Annotated[
        Literal["parallel", "serial"],
        Field(description="Both sides of a round at once, or taking turns."),
    ] = "parallel"
    debate_rounds: Annotated[int, Field(ge=1, le=5, description="Rounds of bull and bear.")] = 1
    risk_rounds: Annotated[int, Field(ge=1, le=5, description="Rounds of the risk team.")] = 1
    dispatch: Annotated[
        Literal["parallel", "sequential"],
        Field(description="`sequential` visits one agent after the other, on purpose."),
    ] = "parallel"
    tools: Annotated[
        Literal["parallel", "sequential"],
        Field(description="`sequential` runs one tool call after the other, on purpose."),
    ] = "parallel"
    agent_budget: Annotated[
        float,
        Field(ge=1, le=3600, description="Seconds of one agent, its retries included."),
    ] = 90.0
    prefetch: Annotated[
        bool,
        Field(
            description="Fetch what the analysts will ask for while they are in their first turn."
        ),
    ] = False
    max_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            description="Budget of the whole run in seconds: then no more is asked, and the "
            "decision is a marked HOLD. Default: TRADING_GRAPH_MAX_SECONDS, else none.",
        ),
    ] = None
    max_calls: Annotated[
        int | None,
        Field(
            ge=1,
            description="Budget of LLM calls, each retry counted; ends likewise. Default: "
            "TRADING_GRAPH_MAX_CALLS, else none.",
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(
            ge=1,
            description="Budget of tokens, in and out; calls under way may exceed it. Default: "
            "TRADING_GRAPH_MAX_TOKENS, else none.",
        ),
    ] = None

    @property
    def budget(self) -> Budget:
        """What the whole run may spend."""
        return Budget(self.max_seconds, self.max_calls, self.max_tokens)

    def with_budget(self, budget: Budget) -> Self:
        """The same request with another budget."""
        limits = {
            "max_seconds": budget.seconds,
            "max_calls": budget.llm_calls,
            "max_tokens": budget.tokens,
        }
        return self.model_copy(update=limits)

    def options(self, default_date: str) -> Options:
        """The options of the graph; raises BadSymbolError or BadDateError."""
        return Options(
            symbol=parse_symbol(self.symbol),
            as_of=AsOf.parse(self.date or default_date),
            analysts=tuple(f"{name}_analyst" for name in ANALYSTS if name in self.analysts),
            analyst_turns=self.analyst_turns,
            debate=Debate(self.debate),
            debate_rounds=self.debate_rounds,
            risk_rounds=self.risk_rounds,
            dispatch=Order(self.dispatch),
            tools=Order(self.tools),
            agent_budget_s=self.agent_budget,
            prefetch=self.prefetch,
            budget=self.budget,
        )

    def resolve(self, default_date: str) -> Self:
        """The request that asks for the same on any day, its symbol as it is listed.

        Raises BadSymbolError or BadDateError.
        """
        options = self.options(default_date)
        return self.model_copy(update={"symbol": options.symbol, "date": str(options.as_of)})


class AnalystList(click.ParamType[tuple[str, ...]]):
    """A comma-separated selection of analysts, in the order of the graph."""

    name = "names"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split and check the names."""
        if isinstance(value, tuple):
            return value
        names = {name.strip() for name in str(value).split(",") if name.strip()}
        unknown = sorted(names.difference(ANALYSTS))
        if unknown or not names:
            self.fail(
                f"{', '.join(unknown) or 'an empty list'} is not an analyst; choose from "
                f"{', '.join(ANALYSTS)}.",
                param,
                ctx,
            )
        return tuple(name for name in ANALYSTS if name in names)


_METAVARS: Mapping[str, str] = {
    "date": "YYYY-MM-DD",
    "agent_budget": "SECONDS",
    "max_seconds": "SECONDS",
    "max_calls": "N",
    "max_tokens": "N",
}


def request_options() -> list[click.Parameter]:
    """The options of the command line: one for each field but the symbol, an argument."""
    return list(_options())


def _options() -> Iterator[click.Parameter]:
    for name, field in RunRequest.model_fields.items():
        if name == "symbol":
            continue
        yield click.Option(
            [f"--{name.replace('_', '-')}"],
            type=_type(name, field),
            default=field.default,
            is_flag=field.annotation is bool,
            show_default="all" if name == "analysts" else field.default not in (None, False),
            metavar=_METAVARS.get(name),
            help=field.description,
        )


def _type(name: str, field: FieldInfo) -> click.ParamType[Any] | None:
    """The type of an option; it has the bounds of its field."""
    if name == "analysts":
        return AnalystList()
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind not in (int, float):
        return None
    low, above, high = (_bound(field, name) for name in ("ge", "gt", "le"))
    span = click.IntRange if kind is int else click.FloatRange
    return span(
        min=above if low is None else low, max=high, min_open=low is None and above is not None
    )


def _bound(field: FieldInfo, name: str) -> Any:
    return next((getattr(each, name) for each in field.metadata if hasattr(each, name)), None)
