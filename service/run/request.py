"""What a run is asked to do: one declaration for the command line, HTTP, the form and the store.

`RunRequest` holds the fields with their bounds, defaults and help texts. The options of
`trading-graph run` and the schema of the API are made from it, and a run's folder stores one. This
module is light: the help of the command imports it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Union, get_args, get_origin

import click

from trading_graph.graph.errors import BadLanguageError
from trading_graph.graph.holdings import MOST_HOLDINGS, Cash, Holding, Holdings
from trading_graph.graph.languages import MAX_LENGTH, parse_language
from trading_graph.graph.options import Budget, Debate, Options, Order
from trading_graph.service.run.holdings_input import CashType, HoldingsType
from trading_graph.toolkit.as_of import AsOf, new_york_day, utc_now
from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.symbols import parse_symbol

if TYPE_CHECKING:
    from trading_graph.toolkit.live_access import Mode

Analyst = Literal["market", "social", "news", "fundamentals"]
ANALYSTS: tuple[Analyst, ...] = get_args(Analyst)
"""All analysts, in the order of the graph."""


def default_date(data: "Mode") -> str:
    """The day that is analysed when a request names none; with live data New York's today."""
    return LAST_DAY if data == "offline" else new_york_day(utc_now()).isoformat()


def _field(default: Any, **words: Any) -> Any:
    """A field with its default; `words` are what pydantic's `Field` takes."""
    return field(default=default, metadata=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One analysis to be made; without a date, of the last day that the data is sure to know."""

    # No model of pydantic, which takes long to import, but what pydantic makes one of at the edges.
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    symbol: str = _field(MISSING, min_length=1, max_length=64, examples=["NVDA"])
    date: str | None = _field(
        None,
        max_length=32,
        examples=[LAST_DAY],
        description=f"Analyse as of this day. Default: {LAST_DAY} with embedded data, else today.",
    )
    analysts: tuple[Analyst, ...] = _field(
        ANALYSTS,
        min_length=1,
        max_length=len(ANALYSTS),
        description=f"Which of {','.join(ANALYSTS)} to ask.",
    )
    holdings: tuple[Holding, ...] = _field(
        (),
        max_length=MOST_HOLDINGS,
        description="What is held: on the command line a CSV or JSON file, or a holding in short, "
        "with the price paid for one. Repeatable.",
    )
    cash: Cash | None = field(
        default=None,
        metadata={"description": "Cash that may be spent, such as 10000USD; sizes respect it."},
    )
    past_decisions: bool = _field(
        False,
        description="Tell the judge the last decisions on the symbol from before the date, with "
        "what the price did since.",
    )
    analyst_turns: int = _field(
        2, ge=2, le=8, description="LLM turns of an analyst; in the last the tools are withheld."
    )
    debate: Literal["parallel", "serial"] = _field(
        "parallel", description="Both sides of a round at once, or taking turns."
    )
    debate_rounds: int = _field(1, ge=1, le=5, description="Rounds of bull and bear.")
    risk_rounds: int = _field(1, ge=1, le=5, description="Rounds of the risk team.")
    dispatch: Literal["parallel", "sequential"] = _field(
        "parallel", description="`sequential` visits one agent after the other, on purpose."
    )
    tools: Literal["parallel", "sequential"] = _field(
        "parallel", description="`sequential` runs one tool call after the other, on purpose."
    )
    agent_budget: float = _field(
        300.0,
        ge=1,
        le=3600,
        description="Seconds of one agent, its retries included; waiting while the model's service "
        "answers other agents does not count.",
    )
    prefetch: bool = _field(
        False,
        description="Fetch what the analysts will ask for while they are in their first turn.",
    )
    language: str | None = _field(
        None,
        max_length=MAX_LENGTH,
        examples=["German"],
        description="Language that a real model writes its reports in: an English name or a BCP 47 "
        "tag, such as German or pt-BR. Default: the model's choice, mostly English.",
    )
    max_seconds: float | None = _field(
        None,
        gt=0,
        description="Budget of the whole run in seconds: then no more is asked, and the decision "
        "is a marked HOLD. Default: TRADING_GRAPH_MAX_SECONDS, else none.",
    )
    max_calls: int | None = _field(
        None,
        ge=1,
        description="Budget of LLM calls, each retry counted; ends likewise. Default: "
        "TRADING_GRAPH_MAX_CALLS, else none.",
    )
    max_tokens: int | None = _field(
        None,
        ge=1,
        description="Budget of tokens, in and out; calls under way may exceed it. Default: "
        "TRADING_GRAPH_MAX_TOKENS, else none.",
    )

    @property
    def budget(self) -> Budget:
        """What the whole run may spend."""
        return Budget(self.max_seconds, self.max_calls, self.max_tokens)

    def with_budget(self, budget: Budget) -> Self:
        """The same request with another budget."""
        return replace(
            self,
            max_seconds=budget.seconds,
            max_calls=budget.llm_calls,
            max_tokens=budget.tokens,
        )

    def options(self, default_date: str) -> Options:
        """The options of the graph.

        Raises BadSymbolError, BadDateError, BadHoldingsError or BadLanguageError.
        """
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
            holdings=Holdings.of(self.holdings, self.cash),
            language=parse_language(self.language) if self.language else None,
        )

    def resolve(self, default_date: str) -> Self:
        """The request that asks for the same on any day, its symbols as they are listed.

        Raises BadSymbolError, BadDateError, BadHoldingsError or BadLanguageError.
        """
        options = self.options(default_date)
        return replace(
            self,
            symbol=options.symbol,
            date=str(options.as_of),
            holdings=options.holdings.positions,
            language=options.language.tag if options.language else None,
        )


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


class LanguageType(click.ParamType[str]):
    """A language by its name or tag, as its tag."""

    name = "name"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check the language."""
        try:
            return parse_language(str(value)).tag
        except BadLanguageError as error:
            self.fail(str(error), param, ctx)


_METAVARS: Mapping[str, str] = {
    "date": "YYYY-MM-DD",
    "holdings": "FILE|SYMBOL=QTY@PRICE",
    "cash": "AMOUNT[CUR]",
    "agent_budget": "SECONDS",
    "language": "NAME",
    "max_seconds": "SECONDS",
    "max_calls": "N",
    "max_tokens": "N",
}


_TYPES: Mapping[str, click.ParamType[Any]] = {
    "analysts": AnalystList(),
    "holdings": HoldingsType(),
    "cash": CashType(),
    "language": LanguageType(),
}
"""The types of options that are more than a text, a number or a choice."""


def request_options() -> Iterator[click.Parameter]:
    """The options of the command line: one for each field but the symbol, an argument."""
    for each in fields(RunRequest):
        if each.name == "symbol":
            continue
        yield click.Option(
            [f"--{each.name.replace('_', '-')}"],
            type=_type(each),
            default=each.default,
            is_flag=each.type is bool,
            multiple=each.name == "holdings",
            show_default="all"
            if each.name == "analysts"
            else each.default not in (None, False, ()),
            metavar=_METAVARS.get(each.name),
            help=each.metadata["description"],
        )


def _type(field: Field[Any]) -> click.ParamType[Any] | None:
    """The type of an option; it has the bounds of its field."""
    if field.name in _TYPES:
        return _TYPES[field.name]
    kind = field.type
    if get_origin(kind) in (Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind not in (int, float):
        return None
    bounds = field.metadata
    span = click.IntRange if kind is int else click.FloatRange
    return span(bounds.get("ge", bounds.get("gt")), bounds.get("le"), min_open="gt" in bounds)
