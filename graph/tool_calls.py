"""The tool calls of one LLM turn, all at once.

A call that fails (unknown tool, wrong arguments, a source that is down) is answered by a message
that says so, and its span shows the error. That a source has nothing is an answer, and no error.
Only an error that every analyst would meet alike ends the run: no source knows the run's symbol, or
the data begins after its date.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pydantic
from langchain_core.messages import AIMessage, ToolMessage
from opentelemetry.trace import Span

from trading_graph.graph.options import Order
from trading_graph.graph.prompts import untrusted_block
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit import data_attributes
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    BadRequestError,
    BadSymbolError,
    DataError,
    NoDataError,
    NotApplicableError,
    SourceUnavailableError,
)
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.source_use import SourceUse, collect_uses
from trading_graph.toolkit.symbols import parse_symbol
from trading_graph.toolkit.tools import Arguments, SymbolArguments, Tool
from trading_graph.toolkit.tools.tool import Answer


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it; `arguments` is raw text where that is not a JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any] | str

    @property
    def args_hash(self) -> str:
        """A short hash of the arguments: shows duplicates without exporting the arguments."""
        canonical = json.dumps(self.arguments, sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Outcome(StrEnum):
    """What a tool call brought."""

    DATA = "data"
    NOTHING = "nothing"
    NOT_APPLICABLE = "not_applicable"
    """Nothing, because by nature nobody has it."""
    FAILED = "failed"
    """A source that is down."""
    MISTAKE = "mistake"
    """The model's own: an unknown tool, or arguments that do not fit."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool call is answered, and what the run must know of it beside the model.

    `problem` is the sentence where no data came; `warnings` are the tool's, with their symbol;
    `stands_in` says why another source served than the preferred one; `age` that the data is older
    than it should be; `sources` are those that gave the data.
    """

    message: ToolMessage
    tool: str
    outcome: Outcome
    about_symbol: bool
    problem: str = ""
    warnings: tuple[str, ...] = ()
    stands_in: str = ""
    age: str = ""
    sources: tuple[SourceUse, ...] = ()


class ToolCallError(Exception):
    """A tool call that the model got wrong."""


spans.register_own_errors(ToolCallError)


def tool_calls_of(message: AIMessage) -> list[ToolCall]:
    """The tool calls of an answer, including malformed ones."""
    calls = [ToolCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls]
    calls += [
        ToolCall(call.get("id") or "", call.get("name") or "", call.get("args") or "")
        for call in message.invalid_tool_calls
    ]
    return calls


async def run_tool_calls(
    calls: Sequence[ToolCall],
    tools: Mapping[str, Tool],
    *,
    toolkit: AsyncToolkit,
    symbol: str,
    as_of: AsOf,
    turn: int,
    order: Order,
) -> list[ToolAnswer]:
    """Run the calls of one turn; the answers come in the order of the calls."""
    if order is Order.SEQUENTIAL:
        return [await _run(call, tools, toolkit, symbol, as_of, turn) for call in calls]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_run(call, tools, toolkit, symbol, as_of, turn)) for call in calls
            ]
    except BaseExceptionGroup as group_error:
        # Only errors that end the run get here, and all calls share them.
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


async def _run(
    call: ToolCall,
    tools: Mapping[str, Tool],
    toolkit: AsyncToolkit,
    symbol: str,
    as_of: AsOf,
    turn: int,
) -> ToolAnswer:
    arguments: Arguments = Arguments()
    try:
        with spans.tool(
            call.name or "unnamed", call_id=call.id, args_hash=call.args_hash, turn=turn
        ) as span:
            _record_content(
                span, semconv.TOOL_CALL_ARGUMENTS, json.dumps(call.arguments, default=str)
            )
            tool, arguments = _resolve(call, tools)
            try:
                with collect_uses() as uses:
                    result = await tool.run(toolkit, as_of, arguments)
            except NoDataError as answer:
                span.set_attribute(data_attributes.DATA_OUTCOME, data_attributes.NOTHING)
                message = ToolMessage(f"no data: {answer}", tool_call_id=call.id, name=call.name)
                by_nature = isinstance(answer, NotApplicableError)
                outcome = Outcome.NOT_APPLICABLE if by_nature else Outcome.NOTHING
                about = _is_about(arguments, symbol)
                return ToolAnswer(message, call.name, outcome, about, str(answer))
            content = json.dumps(result, separators=(",", ":"))
            _record_content(span, semconv.TOOL_CALL_RESULT, content)
    except (ToolCallError, DataError) as error:
        if isinstance(error, BadRequestError) and _is_about(arguments, symbol):
            raise
        message = ToolMessage(
            f"error: {error}", tool_call_id=call.id, name=call.name, status="error"
        )
        failed = isinstance(error, SourceUnavailableError)
        outcome = Outcome.FAILED if failed else Outcome.MISTAKE
        return ToolAnswer(message, call.name, outcome, _is_about(arguments, symbol), str(error))
    if tool.untrusted:
        content = untrusted_block(call.name, content)
    # A list with nothing in it is an answer too, on which no report can stand.
    is_empty = result.get("count") == 0
    return ToolAnswer(
        ToolMessage(content, tool_call_id=call.id, name=call.name),
        call.name,
        Outcome.NOTHING if is_empty else Outcome.DATA,
        _is_about(arguments, symbol),
        warnings=_warnings(result),
        stands_in=result.get("stands_in", ""),
        age=result.get("age", ""),
        sources=() if is_empty else tuple(uses),
    )


def _warnings(result: Answer) -> tuple[str, ...]:
    prefix = f"{result['symbol']}: " if "symbol" in result else ""
    return tuple(f"{prefix}{warning}" for warning in result.get("warnings", ()))


def _record_content(span: Span, key: str, content: str) -> None:
    if spans.content_is_captured():
        span.set_attribute(key, content)


def _is_about(arguments: Arguments, symbol: str) -> bool:
    if not isinstance(arguments, SymbolArguments):
        return False
    try:
        return parse_symbol(arguments.symbol) == parse_symbol(symbol)
    except BadSymbolError:
        return arguments.symbol == symbol


def _resolve(call: ToolCall, tools: Mapping[str, Tool]) -> tuple[Tool, Any]:
    tool = tools.get(call.name)
    if tool is None:
        raise ToolCallError(
            f"the model asked for the unknown tool {call.name!r}; it may call {', '.join(tools)}."
        )
    if isinstance(call.arguments, str):
        raise ToolCallError(
            f"the model's arguments for {call.name} are not valid JSON; they must be one object."
        )
    try:
        return tool, tool.arguments.model_validate(call.arguments)
    except pydantic.ValidationError as error:
        raise ToolCallError(
            f"the model's arguments for {call.name} do not fit: {problems(error)}; correct them."
        ) from error


def problems(error: pydantic.ValidationError) -> str:
    """The complaints of a validation error in one line, without the offending input."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'the whole'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    )
