"""Reading a request, in whatever of its forms it comes, as a conversation of the offline model.

The offline model wants a function that is forced by name. A request may ask otherwise: a function
that the model may call, a JSON schema for the text, or a prompt that describes the JSON. The model
answers in the form that is asked for, and in prose where nothing tells it what form that is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel

from trading_graph.graph.decisions import FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.offline_model.conversation import (
    AGENTS,
    SCHEMAS,
    Conversation,
    read_conversation,
)
from trading_graph.graph.offline_model.protocol import ChatRequest

Json = dict[str, Any]

_FIELDS: dict[str, type[BaseModel]] = {
    each.__name__: each for each in (ResearchPlan, TradeProposal, FinalDecision)
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks: by which agent, and in which form a decision has to come."""

    conversation: Conversation
    schema: str
    offered: bool
    described: bool


def agent_of(body: Json) -> str:
    """The agent that asks; empty where no agent of ours does."""
    for message in body.get("messages", ()):
        first = text_of(message).partition("\n")[0]
        if first.startswith("Agent:") and (name := first[6:].strip()) in AGENTS:
            return name
    return ""


def text_of(message: Json) -> str:
    """A message's text, whichever form its content has."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""


def read_question(body: Json) -> Question:
    """Read a request of `chat/completions`; raises BadConversationError."""
    agent = agent_of(body)
    schema = SCHEMAS.get(agent, "")
    prompt = "\n".join(text_of(message) for message in body["messages"])
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    offered = schema in names and body.get("tool_choice") != "none"
    described = bool(schema) and (
        "response_format" in body or all(name in prompt for name in _FIELDS[schema].model_fields)
    )
    request: Json = {"model": body["model"], "messages": _messages(body["messages"])}
    if schema:
        request["tool_choice"] = {"function": {"name": schema}}
    else:
        request |= {"tools": body.get("tools"), "tool_choice": _choice(body)}
    chat = msgspec.convert(request, ChatRequest)
    return Question(read_conversation(chat), schema, offered, described)


def prompt_characters(body: Mapping[str, Any]) -> int:
    """The characters that the service charges for."""
    return len(json.dumps(body.get("messages") or body.get("input") or ""))


def _choice(body: Json) -> Any:
    choice = body.get("tool_choice")
    return {"function": choice["function"]} if isinstance(choice, dict) else choice


def _messages(messages: list[Json]) -> list[Json]:
    """The messages as the offline model wants them: a system message first, arguments as text."""
    plain: list[Json] = []
    if messages and messages[0]["role"] == "user":
        # The prompt of a service without a system role begins with what the role would have said.
        first_line = text_of(messages[0]).partition("\n")[0]
        plain.append({"role": "system", "content": first_line})
    for message in messages:
        calls = [
            {
                "id": str(call.get("id")),
                "function": {
                    "name": call["function"]["name"],
                    "arguments": _as_text(call["function"].get("arguments")),
                },
            }
            for call in message.get("tool_calls") or ()
        ]
        plain.append(
            {
                "role": message["role"],
                "content": _data_of(message) if message["role"] == "tool" else text_of(message),
                "tool_call_id": message.get("tool_call_id"),
                "tool_calls": calls or None,
            }
        )
    return plain


def _data_of(message: Json) -> str:
    """The JSON of a tool's answer, without the words behind it that a model reads as well."""
    text = text_of(message)
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return text
    return text[:end]


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})
