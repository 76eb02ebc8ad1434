"""A chat-completions request, read: which agent asks, about what, with which results and texts.

The prompts carry it in an agreed form: the system message's first line is `Agent: <name>`; lines
`Symbol:` and `As of:`; blocks such as `<report agent="...">...</report>`. Everything is read with
plain string searches in time linear in the length of the request. The text of a block is escaped as
in HTML, except where it is JSON.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from typing import Any

import msgspec

from trading_graph.graph.offline_model.figures import one_line
from trading_graph.graph.offline_model.protocol import ChatRequest, Message

DECIDERS: Mapping[str, str] = {
    "research_manager": "ResearchPlan",
    "trader": "TradeProposal",
    "risk_judge": "FinalDecision",
}
ANALYSTS = ("market_analyst", "social_analyst", "news_analyst", "fundamentals_analyst")
RESEARCHERS = ("bull_researcher", "bear_researcher")
RISK_TEAM = ("aggressive_risk_analyst", "neutral_risk_analyst", "conservative_risk_analyst")
AGENTS = (*ANALYSTS, *RESEARCHERS, *RISK_TEAM, *DECIDERS)


class BadConversation(Exception):
    """The request is not one that the agents send; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One answered tool call: `data` is its JSON object, or `problem` says why there is none."""

    tool: str
    symbol: str
    data: Mapping[str, Any]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Block:
    """A marked passage of the prompt, such as a report or a statement."""

    attributes: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Conversation:
    """What one request asks for."""

    agent: str
    symbol: str
    as_of: str
    offered: tuple[str, ...]
    forced: str | None
    schema: str | None
    results: tuple[ToolResult, ...]
    prompt: str

    @cached_property
    def problem(self) -> str | None:
        """Why the last structured answer was refused, when this request asks again."""
        found = [one_line(block.text) for block in self.blocks("problem")]
        return found[-1] if found else None

    def blocks(self, tag: str) -> list[Block]:
        """All passages marked with the tag, in order; a passage that never closes is left out."""
        raw = _blocks(self.prompt, tag)
        return [Block(block.attributes, unescape(block.text)) for block in raw]

    def json_block(self, tag: str) -> bytes:
        """The text of the last passage with the tag, which the agent cannot do without."""
        found = list(_blocks(self.prompt, tag))
        if not found:
            raise BadConversation(
                f"The request of {self.agent} has no <{tag}> block; send one in a user message."
            )
        return found[-1].text.encode()

    def records(self, tool: str, symbol: str | None = None) -> list[Mapping[str, Any]]:
        """The JSON objects that the tool answered, of one symbol or of all."""
        return [
            result.data
            for result in self.results
            if result.tool == tool
            and result.problem is None
            and (symbol is None or result.symbol == symbol)
        ]

    def record(self, tool: str, symbol: str) -> Mapping[str, Any]:
        """The tool's last answer for the symbol, empty when there is none."""
        found = self.records(tool, symbol)
        return found[-1] if found else {}


def read_conversation(request: ChatRequest) -> Conversation:
    """Read the request, or raise BadConversation with one sentence."""
    system = "\n".join(m.text for m in request.messages if m.role in ("system", "developer"))
    prompt = "\n".join(m.text for m in request.messages if m.role == "user")
    agent = _agent(system)
    offered = () if request.tool_choice == "none" else request.tool_names
    symbol, as_of = _line(prompt, "Symbol:"), _line(prompt, "As of:")
    if agent in ANALYSTS and not (symbol and as_of):
        raise BadConversation(
            f"The request of {agent} lacks the line 'Symbol:' or 'As of:'; put both in a user "
            "message."
        )
    schema = request.response_schema
    forced = request.forced_tool
    if agent in DECIDERS and DECIDERS[agent] not in (schema, forced):
        raise BadConversation(
            f"The request of {agent} does not ask for a {DECIDERS[agent]}; offer a tool of that "
            "name and force it by tool_choice."
        )
    return Conversation(
        agent=agent,
        symbol=symbol,
        as_of=as_of,
        offered=offered,
        forced=forced,
        schema=schema,
        results=tuple(_results(request.messages)),
        prompt=prompt,
    )


def _agent(system: str) -> str:
    first = system.split("\n", 1)[0]
    name = first.removeprefix("Agent:").strip() if first.startswith("Agent:") else ""
    if name not in AGENTS:
        raise BadConversation(
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
    asked: dict[str, tuple[str, str]] = {}
    for message in messages:
        for call in message.tool_calls or ():
            arguments = _object(call.function.arguments) or {}
            asked[call.id] = (call.function.name, str(arguments.get("symbol", "")))
        if message.role == "tool":
            tool, symbol = asked.get(message.tool_call_id or "", (message.name or "tool", ""))
            yield _result(tool, symbol, message.text)


def _result(tool: str, symbol: str, content: str) -> ToolResult:
    text = content.strip()
    fenced = next(_blocks(text, "untrusted"), None) if text.startswith("<untrusted") else None
    text = fenced.text if fenced else text
    for prefix in ("no data:", "error:"):
        if text[: len(prefix)].lower() == prefix:
            reason = one_line(text[len(prefix) :]) or "the tool gave no reason"
            return ToolResult(tool, symbol, {}, reason)
    data = _object(text)
    if data is None:
        return ToolResult(tool, symbol, {}, "the tool's answer is not a JSON object")
    named = data.get("symbol")
    return ToolResult(tool, named if isinstance(named, str) else symbol, data, None)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return value if isinstance(value, dict) else None


def _blocks(text: str, tag: str) -> Iterator[Block]:
    opening, closing = f"<{tag}", f"</{tag}>"
    position = 0
    while (start := text.find(opening, position)) >= 0:
        position = start + len(opening)
        if text[position : position + 1] not in (" ", ">"):
            continue  # a longer tag that begins alike
        head_end = text.find(">", position)
        end = text.find(closing, head_end)
        if head_end < 0 or end < 0:
            return
        yield Block(_attributes(text[position:head_end]), text[head_end + 1 : end].strip())
        position = end + len(closing)


def _attributes(head: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in head.split())
    return {name: value.strip('"') for name, _, value in pairs if value}
