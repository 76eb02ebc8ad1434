"""Conversations as services want them: the whole of what was said, in the form that they accept.

What a service sent along with a message goes back with it: reasoning, signatures, ids. An
instruction never stands right after a tool's answer, where some services refuse it, but at its end.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from trading_graph.graph.chat.capabilities import (
    REASONING_FIELDS,
    Api,
    Capabilities,
    Forcing,
    SystemRole,
    Withholding,
)
from trading_graph.graph.chat.completions_api import calls_of
from trading_graph.graph.chat.responses_api import OUTPUT_ITEMS

Json = dict[str, Any]


class Use(StrEnum):
    """What a call makes use of; a service may accept one and refuse another."""

    TEXT = "text"
    TOOLS = "tools"
    WITHHELD = "withheld tools"
    ANSWER = "structured answer"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a call offers to the model: tools, in OpenAI's format, or one function to answer with.

    `withheld` says that the tools of earlier turns must not be called in this one.
    """

    tools: Sequence[Json] = ()
    answer: Json | None = None
    withheld: bool = False

    def use(self, messages: Sequence[BaseMessage]) -> Use:
        """What the call makes use of."""
        if self.answer is not None:
            return Use.ANSWER
        if not self.tools:
            return Use.TEXT
        if not self.withheld:
            return Use.TOOLS
        return Use.WITHHELD if _has_calls(messages) else Use.TEXT


NOTHING = Offer()


def parameters(offer: Offer, messages: Sequence[BaseMessage], now: Capabilities) -> Json:
    """The parameters of a request, beside its messages."""
    match offer.use(messages):
        case Use.TEXT:
            sent: Json = {}
        case Use.TOOLS:
            sent = {"tools": list(offer.tools)}
            if now.parallel_tool_calls:
                sent["parallel_tool_calls"] = True
        case Use.WITHHELD if now.withholding is Withholding.DROPPED:
            sent = {}
        case Use.WITHHELD:
            sent = {"tools": list(offer.tools)}
            if now.withholding is Withholding.NONE:
                sent["tool_choice"] = "none"
        case Use.ANSWER:
            assert offer.answer is not None
            sent = _answer_parameters(offer.answer, now)
    if not now.full_schemas and "tools" in sent:
        sent["tools"] = [_plain_tool(json.dumps(tool)) for tool in sent["tools"]]
    if now.reasoning_effort:
        sent["reasoning_effort"] = now.reasoning_effort
    return sent


def _answer_parameters(function: Json, now: Capabilities) -> Json:
    name, schema = function["function"]["name"], function["function"]["parameters"]
    match now.forcing:
        case Forcing.NAMED:
            choice = {"type": "function", "function": {"name": name}}
            return {"tools": [function], "tool_choice": choice}
        case Forcing.REQUIRED:
            return {"tools": [function], "tool_choice": "required"}
        case Forcing.AUTO:
            return {"tools": [function]}
        case Forcing.JSON_SCHEMA:
            schema = schema if now.full_schemas else plain_schema(schema)
            form = {"name": name, "schema": schema}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        case Forcing.JSON_TEXT:
            return {}


def instruction(offer: Offer, messages: Sequence[BaseMessage], now: Capabilities) -> str:
    """What the prompt has to say because the parameters cannot; mostly nothing."""
    if offer.use(messages) is Use.WITHHELD and now.withholding is Withholding.OFFERED:
        return "Call no further tool: write your report now."
    if offer.answer is None:
        return ""
    function = offer.answer["function"]
    match now.forcing:
        case Forcing.NAMED | Forcing.REQUIRED:
            return ""
        case Forcing.AUTO:
            return f"Answer only by calling the function {function['name']}."
        case Forcing.JSON_SCHEMA | Forcing.JSON_TEXT:
            return (
                f"There is no function to call: answer with one JSON object, a "
                f"{function['name']}, and nothing else. It has to fit this schema:\n"
                f"{json.dumps(plain_schema(function['parameters']), separators=(',', ':'))}"
            )


def with_instruction(messages: Sequence[BaseMessage], text: str) -> Sequence[BaseMessage]:
    """The conversation with an instruction at its end."""
    if not text:
        return messages
    *earlier, last = messages
    return [*earlier, last.model_copy(update={"content": f"{last.text}\n\n{text}"})]


def chat_messages(messages: Sequence[BaseMessage], now: Capabilities) -> list[Json]:
    """The conversation for `chat/completions`."""
    sent: list[Json] = []
    head = ""
    for message in messages:
        text = message.text
        match message:
            case SystemMessage() if now.system_role is SystemRole.USER:
                head = f"{text}\n\n"
            case SystemMessage():
                sent.append({"role": str(now.system_role), "content": text})
            case ToolMessage():
                answer = {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
                sent.append(answer)
            case AIMessage():
                sent.append(_assistant(message, now))
            case HumanMessage() if sent and sent[-1]["role"] == "tool":
                sent[-1]["content"] += f"\n\n{text}"
            case _:
                sent.append({"role": "user", "content": head + text})
                head = ""
    return sent


def _assistant(message: AIMessage, now: Capabilities) -> Json:
    sent: Json = {"role": "assistant", "content": message.text}
    fields = message.additional_kwargs
    if now.reasoning_field is None:
        sent |= {name: fields[name] for name in REASONING_FIELDS if name in fields}
    elif now.reasoning_field and (value := _reasoning(fields, now.reasoning_field)) is not None:
        sent[now.reasoning_field] = value
    added = dict(calls_of(fields))
    calls = [
        {
            "id": id_,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
            **added.get(id_, {}),
        }
        for id_, name, arguments in _calls(message)
    ]
    if calls:
        sent["tool_calls"] = calls
        if now.null_content and not message.text.strip():
            sent["content"] = None
    return sent


def _reasoning(fields: Mapping[str, Any], name: str) -> Any:
    """What goes back under a name: what came under it, else the text that came under another."""
    if name in fields:
        return fields[name]
    texts = [fields[each] for each in REASONING_FIELDS if isinstance(fields.get(each), str)]
    return texts[0] if texts else None


def _calls(message: AIMessage) -> Iterable[tuple[str, str, str]]:
    """The tool calls as ids, names and arguments, which are always the text of an object."""
    for call in message.tool_calls:
        yield call["id"] or "", call["name"], json.dumps(call["args"])
    for broken in message.invalid_tool_calls:
        malformed = json.dumps({"malformed": broken.get("args") or ""})
        yield broken.get("id") or "", broken.get("name") or "unnamed", malformed


def response_input(messages: Sequence[BaseMessage], now: Capabilities) -> list[Json]:
    """The conversation for the Responses API."""
    sent: list[Json] = []
    for message in messages:
        match message:
            case SystemMessage():
                sent.append({"role": str(now.system_role), "content": message.text})
            case ToolMessage():
                sent.append(
                    {
                        "type": "function_call_output",
                        "call_id": message.tool_call_id,
                        "output": message.text,
                    }
                )
            case AIMessage():
                items = message.additional_kwargs.get(OUTPUT_ITEMS)
                if items is None and message.text:
                    items = [{"role": "assistant", "content": message.text}]
                sent += items or []
                # A call that stood in the text is no item of the service's.
                own = {item.get("call_id") for item in items or ()}
                sent += [
                    {"type": "function_call", "call_id": id_, "name": name, "arguments": arguments}
                    for id_, name, arguments in _calls(message)
                    if id_ not in own
                ]
            case _:
                sent.append({"role": "user", "content": message.text})
    return sent


def request_body(
    model: str, messages: Sequence[BaseMessage], sent: Mapping[str, Any], now: Capabilities
) -> Json:
    """The body of a request; `sent` are its parameters as `parameters` gives them."""
    if now.api is Api.RESPONSES:
        body = {
            "model": model,
            "input": response_input(messages, now),
            **_response_parameters(sent),
        }
    else:
        body = {"model": model, "messages": chat_messages(messages, now), **sent}
        if now.stream and now.stream_options:
            body["stream_options"] = {"include_usage": True}
    if now.stream:
        body["stream"] = True
    return body


def _response_parameters(sent: Mapping[str, Any]) -> Json:
    """The parameters in the form of the Responses API."""
    changed: Json = {}
    for name, value in sent.items():
        match name:
            case "tools":
                # Without a word on it, this API makes every schema strict.
                changed[name] = [
                    {"type": "function", **tool["function"], "strict": False} for tool in value
                ]
            case "tool_choice" if isinstance(value, dict):
                changed[name] = {"type": "function", **value["function"]}
            case "response_format":
                form = {"type": "json_schema", **value["json_schema"], "strict": False}
                changed["text"] = {"format": form}
            case "reasoning_effort":
                changed["reasoning"] = {"effort": value}
            case _:
                changed[name] = value
    return changed


_PLAIN = ("type", "description", "enum", "items", "properties", "required")
"""The keywords of a schema that every service takes."""


def plain_schema(schema: Mapping[str, Any]) -> Json:
    """A schema without references and without the keywords that some services refuse."""
    definitions = schema.get("$defs", {})

    def plain(part: Mapping[str, Any]) -> Json:
        if "$ref" in part:
            whole = definitions[part["$ref"].rpartition("/")[2]]
            return plain({**whole, **{name: part[name] for name in part if name != "$ref"}})
        for alternative in part.get("anyOf", part.get("allOf", ())):
            if alternative.get("type") != "null":
                about = {"description": part["description"]} if "description" in part else {}
                return plain({**alternative, **about})
        kept = {name: part[name] for name in _PLAIN if name in part}
        if "const" in part:
            kept["enum"] = [part["const"]]
        if "properties" in kept:
            fields = kept["properties"].items()
            kept["properties"] = {name: plain(each) for name, each in fields}
        if isinstance(kept.get("items"), Mapping):
            kept["items"] = plain(kept["items"])
        return kept

    return plain(schema)


@functools.cache
def _plain_tool(text: str) -> Json:
    tool: Json = json.loads(text)
    tool["function"]["parameters"] = plain_schema(tool["function"]["parameters"])
    return tool


def _has_calls(messages: Sequence[BaseMessage]) -> bool:
    return any(
        isinstance(each, AIMessage) and bool(each.tool_calls or each.invalid_tool_calls)
        for each in messages
    )
