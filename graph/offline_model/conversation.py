"""Reading a request: which agent asks, about what, with which tool results, texts, and answers.

The prompts have a fixed form: the system message's first line is `Agent: <name>`; there are lines
`Symbol:` and `As of:`, and blocks such as `<report agent="...">...</report>`. Everything is read
with plain string searches in time linear in the length of the request. The text of a block is
escaped as in HTML, except where it is JSON. The JSON of tool results is of unknown quality, so its
readers return None or nothing for what does not fit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from trading_graph.graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.protocol import ChatRequest, Message
from trading_graph.graph.options import ANALYSTS, DEBATERS, DECIDERS, RISK_ANALYSTS

AGENTS = (*ANALYSTS, *DEBATERS, *RISK_ANALYSTS, *DECIDERS)

SCHEMAS: Mapping[str, str] = {
    "research_manager": ResearchPlan.__name__,
    "trader": TradeProposal.__name__,
    "risk_judge": FinalDecision.__name__,
}
"""The schema of each decider's answer."""

_LARGEST = 1e18
_SchemaT = TypeVar("_SchemaT", bound=BaseModel)


class BadConversationError(Exception):
    """No agent sends such a request; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of one tool call: its JSON object as `data`, or why there is none as `problem`."""

    tool: str
    symbol: str
    data: Mapping[str, Any]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Passage:
    """A marked passage of the prompt, such as a report or a statement."""

    attributes: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Conversation:
    """What one request asks for, and what it brings along."""

    agent: str
    symbol: str
    as_of: str
    tools: tuple[str, ...]
    results: tuple[ToolResult, ...]
    prompt: str

    @cached_property
    def problem(self) -> str | None:
        """Why the last structured answer was refused, when this request asks again."""
        problems = [one_line(block.text) for block in self.blocks("problem")]
        return problems[-1] if problems else None

    def blocks(self, tag: str) -> list[Passage]:
        """All passages with the tag, in order, without any that never closes."""
        return [
            Passage(block.attributes, unescape(block.text)) for block in _blocks(self.prompt, tag)
        ]

    def json_block(self, tag: str) -> bytes:
        """The text of the last passage with the tag; raises BadConversationError without one."""
        blocks = list(_blocks(self.prompt, tag))
        if not blocks:
            raise BadConversationError(
                f"The request of {self.agent} has no <{tag}> block; send one in a user message."
            )
        return blocks[-1].text.encode()

    def records(self, tool: str, symbol: str | None = None) -> list[Mapping[str, Any]]:
        """The JSON objects among the tool's results, for one symbol or for all."""
        return [
            result.data
            for result in self.results
            if result.tool == tool
            and result.problem is None
            and (symbol is None or result.symbol == symbol)
        ]

    def record(self, tool: str, symbol: str) -> Mapping[str, Any]:
        """The tool's last JSON object for the symbol; empty when there is none."""
        records = self.records(tool, symbol)
        return records[-1] if records else {}


def read_conversation(request: ChatRequest) -> Conversation:
    """Read the request; raises BadConversationError with one sentence."""
    system = "\n".join(m.text for m in request.messages if m.role in ("system", "developer"))
    prompt = "\n".join(m.text for m in request.messages if m.role == "user")
    agent = _agent(system)
    tools = () if request.tool_choice == "none" else request.tool_names
    symbol, as_of = _line(prompt, "Symbol:"), _line(prompt, "As of:")
    if agent in ANALYSTS and not (symbol and as_of):
        raise BadConversationError(
            f"The request of {agent} lacks the line 'Symbol:' or 'As of:'; put both in a user "
            "message."
        )
    if agent in SCHEMAS and SCHEMAS[agent] != request.forced_tool:
        raise BadConversationError(
            f"The request of {agent} does not ask for a {SCHEMAS[agent]}; offer a tool of that "
            "name and force it by tool_choice."
        )
    return Conversation(
        agent=agent,
        symbol=symbol,
        as_of=as_of,
        tools=tools,
        results=tuple(_results(request.messages)),
        prompt=prompt,
    )


def _agent(system: str) -> str:
    first = system.split("\n", 1)[0]
    name = first.removeprefix("Agent:").strip() if first.startswith("Agent:") else ""
    if name not in AGENTS:
        raise BadConversationError(
            "The offline model plays the agents of Trading Graph only; the system message's first "
            f"line must be 'Agent: <name>' with one of {', '.join(AGENTS)}."
        )
    return name


def _line(text: str, label: str) -> str:
    for line in text.splitlines():
        if line.startswith(label):
            return one_line(line[len(label) :], 40)
    return ""


def _results(messages: list[Message]) -> Iterator[ToolResult]:
    calls: dict[str, tuple[str, str]] = {}
    for message in messages:
        for call in message.tool_calls or ():
            arguments = _object(call.function.arguments) or {}
            calls[call.id] = (call.function.name, str(arguments.get("symbol", "")))
        if message.role == "tool":
            tool, symbol = calls.get(message.tool_call_id or "", (message.name or "tool", ""))
            yield _result(tool, symbol, message.text)


def _result(tool: str, symbol: str, content: str) -> ToolResult:
    text = content.strip()
    untrusted = next(_blocks(text, "untrusted"), None) if text.startswith("<untrusted") else None
    text = untrusted.text if untrusted else text
    for prefix in ("no data:", "error:"):
        if text[: len(prefix)].lower() == prefix:
            reason = one_line(text[len(prefix) :]) or "the tool gave no reason"
            return ToolResult(tool, symbol, {}, reason)
    data = _object(text)
    if data is None:
        return ToolResult(tool, symbol, {}, "the tool's answer is not a JSON object")
    own_symbol = data.get("symbol")
    return ToolResult(tool, own_symbol if isinstance(own_symbol, str) else symbol, data, None)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return value if isinstance(value, dict) else None


def _blocks(text: str, tag: str) -> Iterator[Passage]:
    opening, closing = f"<{tag}", f"</{tag}>"
    position = 0
    while (start := text.find(opening, position)) >= 0:
        position = start + len(opening)
        if text[position : position + 1] not in (" ", ">"):
            continue  # A longer tag begins alike.
        head_end = text.find(">", position)
        end = text.find(closing, head_end)
        if head_end < 0 or end < 0:
            return
        yield Passage(_attributes(text[position:head_end]), text[head_end + 1 : end].strip())
        position = end + len(closing)


def _attributes(head: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in head.split())
    return {name: value.strip('"') for name, _, value in pairs if value}


class PromptLevels(msgspec.Struct):
    """The prompt's `<price_levels>`; only the close is indispensable."""

    close: float
    atr_14: float | None = None
    session: str | None = None

    @property
    def atr(self) -> float:
        """The average true range; a published share of the close where it is missing or tiny."""
        atr = as_number(self.atr_14)
        if atr is None or atr <= 0:
            return rules.FALLBACK_ATR_SHARE * self.close
        return max(atr, rules.LEAST_ATR_SHARE * self.close)


class PromptHolding(msgspec.Struct):
    """The prompt's `<holding>`: the quantity that is held, 0 for none, and its share and gain."""

    quantity: float
    share_of_portfolio_pct: float | None = None
    gain_pct: float | None = None


def read_holding(conversation: Conversation) -> PromptHolding | None:
    """What is held; None where nobody said. Raises BadConversationError."""
    if not conversation.blocks("holding"):
        return None
    try:
        return msgspec.json.decode(conversation.json_block("holding"), type=PromptHolding)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadConversationError(
            f"The <holding> block of {conversation.agent} cannot be read: {error}; send an object "
            "with a quantity."
        ) from error


class PromptPastDecision(msgspec.Struct):
    """One of the prompt's `<past_decisions>`."""

    as_of: str
    action: str
    confidence: float
    price_since: str


def read_past_decisions(conversation: Conversation) -> list[PromptPastDecision]:
    """Earlier decisions, the newest last; raises BadConversationError."""
    if not conversation.blocks("past_decisions"):
        return []
    text = conversation.json_block("past_decisions")
    try:
        return msgspec.json.decode(text, type=list[PromptPastDecision])
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadConversationError(
            f"The <past_decisions> block of {conversation.agent} cannot be read: {error}; send a "
            "list of decisions."
        ) from error


def read_plan(conversation: Conversation) -> ResearchPlan:
    """The research manager's plan; raises BadConversationError."""
    return _read(conversation, "plan", ResearchPlan)


def read_proposal(conversation: Conversation) -> TradeProposal:
    """The trader's proposal; raises BadConversationError."""
    return _read(conversation, "proposal", TradeProposal)


def read_price_levels(conversation: Conversation) -> PromptLevels:
    """The price levels of the prompt; raises BadConversationError."""
    text = conversation.json_block("price_levels")
    try:
        levels = msgspec.json.decode(text, type=PromptLevels)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadConversationError(
            f"The <price_levels> block of {conversation.agent} cannot be read: {error}; send an "
            "object with a close."
        ) from error
    if not 0 < levels.close < 1e15:
        raise BadConversationError(
            f"The close {levels.close} in the <price_levels> block of {conversation.agent} is no "
            "price; send a positive one."
        )
    return levels


def _read(conversation: Conversation, tag: str, schema: type[_SchemaT]) -> _SchemaT:
    text = conversation.json_block(tag)
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadConversationError(
            f"The <{tag}> block of {conversation.agent} is no {schema.__name__}: {where}: "
            f"{first['msg']}; send that agent's answer as it was."
        ) from error


def as_number(value: object) -> float | None:
    """The value as a finite float, or None; a bool is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_LARGEST < value < _LARGEST:  # Also False for NaN, and safe for an int of any size.
        return None
    return float(value)


def number(record: Mapping[str, Any], name: str) -> float | None:
    """The field as a number, or None."""
    return as_number(record.get(name))


def section(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object; empty when it is missing."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def rows(record: Mapping[str, Any], name: str) -> list[Any]:
    """A nested list; empty when it is missing."""
    value = record.get(name)
    return value if isinstance(value, list) else []


def one_line(text: str, longest: int = 400) -> str:
    """The text on one line, cut to a length that suits a report."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."
