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
from trading_graph.toolkit.errors import BadRequestError, DataError, NoDataError
from trading_graph.toolkit.market_data import AsyncToolkit
from trading_graph.toolkit.tools import Arguments, SymbolArguments, Tool


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
) -> list[ToolMessage]:
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
) -> ToolMessage:
    try:
        with spans.tool(
            call.name or "unnamed", call_id=call.id, args_hash=call.args_hash, turn=turn
        ) as span:
            _record_content(
                span, semconv.TOOL_CALL_ARGUMENTS, json.dumps(call.arguments, default=str)
            )
            tool, arguments = _resolve(call, tools)
            try:
                result = await tool.run(toolkit, as_of, arguments)
            except NoDataError as answer:
                span.set_attribute(data_attributes.DATA_OUTCOME, data_attributes.NOTHING)
                return ToolMessage(f"no data: {answer}", tool_call_id=call.id, name=call.name)
            content = json.dumps(result, separators=(",", ":"))
            _record_content(span, semconv.TOOL_CALL_RESULT, content)
    except (ToolCallError, DataError) as error:
        if isinstance(error, BadRequestError) and _is_about(arguments, symbol):
            raise
        return ToolMessage(f"error: {error}", tool_call_id=call.id, name=call.name, status="error")
    if tool.untrusted:
        content = untrusted_block(call.name, content)
    return ToolMessage(content, tool_call_id=call.id, name=call.name)


def _record_content(span: Span, key: str, content: str) -> None:
    if spans.content_is_captured():
        span.set_attribute(key, content)


def _is_about(arguments: Arguments, symbol: str) -> bool:
    return isinstance(arguments, SymbolArguments) and arguments.symbol == symbol


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
