"""The answers of `chat/completions`: their events gathered into one message.

Services differ in what they leave out and in what they add. Whatever they add to a message or to a
tool call is kept, because it may have to go back. An answer is whole when the service says why it
ended, when it sends `[DONE]`, or when its last event has no choices and tells the usage.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from langchain_core.messages import AIMessageChunk

from trading_graph.graph.chat.answer import call_chunks
from trading_graph.graph.chat.capabilities import REASONING_FIELDS
from trading_graph.graph.chat.usage import later_report, usage_metadata

CALL_FIELDS = "tool_call_fields"
"""Under this name a message keeps what a service added to its tool calls, by their ids."""

_OWN_CALL_FIELDS = frozenset(("index", "id", "type", "function"))


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are one whole object with something in it."""
        try:
            return bool(msgspec.json.decode(self.arguments))
        except msgspec.DecodeError:
            return False


class CompletionReader:
    """Gathers the events of one completion."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._fields: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._id: str | None = None
        self._usage: Mapping[str, Any] | None = None
        self._ended_by_usage = False
        self._refusal = ""

    def add(self, event: object) -> str:
        """Take a chunk of the completion, or the whole of it; returns the text that it adds."""
        if not isinstance(event, dict):
            return ""
        self._describe(event)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        if reason := choice.get("finish_reason"):
            self._facts["finish_reason"] = str(reason)
        delta = choice.get("delta") or choice.get("message")
        return self._take(delta) if isinstance(delta, dict) else _text(choice.get("text"))

    def last(self, done: bool) -> AIMessageChunk:
        """Everything but the text: tool calls, what has to go back, tokens, how it ended."""
        calls = [(call.id, call.name, call.arguments) for call in self._calls]
        chunks = call_chunks(calls)
        kept = dict(self._fields)
        if any(call.fields for call in self._calls):
            kept[CALL_FIELDS] = {
                chunk["id"]: call.fields
                for chunk, call in zip(chunks, self._calls, strict=True)
                if call.fields
            }
        if self._refusal:
            kept["refusal"] = self._refusal
        if done or self._ended_by_usage:
            self._facts.setdefault("finish_reason", "tool_calls" if chunks else "stop")
        return AIMessageChunk(
            content="",
            id=self._id,
            tool_call_chunks=chunks,
            additional_kwargs=kept,
            usage_metadata=usage_metadata(self._usage),
            response_metadata={**self._facts, "model_provider": "openai"},
        )

    def _describe(self, event: Mapping[str, Any]) -> None:
        if isinstance(event.get("id"), str):
            self._id = event["id"] or self._id
        for name, fact in (("model", "model_name"), ("system_fingerprint", "system_fingerprint")):
            if value := event.get(name):
                self._facts[fact] = str(value)
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage")
        # Usage in every chunk is cumulative: the last one counts.
        if isinstance(usage, dict) and usage_metadata(usage):
            self._usage = later_report(self._usage, usage)
        self._ended_by_usage = bool(usage) and not event.get("choices")

    def _take(self, delta: Mapping[str, Any]) -> str:
        text = ""
        for name, value in delta.items():
            match name:
                case "content":
                    text = _text(value)
                case "tool_calls":
                    self._take_calls(value)
                case "function_call" if isinstance(value, dict):
                    self._take_calls([{"index": 0, "function": value}])
                case "refusal":
                    self._refusal += _text(value)
                case _ if name in REASONING_FIELDS and value:
                    self._fields[name] = _joined(self._fields.get(name), value)
        return text

    def _take_calls(self, deltas: object) -> None:
        earlier = len(self._calls)
        for delta in deltas if isinstance(deltas, list) else [deltas]:
            if isinstance(delta, dict):
                self._take_call(delta, earlier)

    def _take_call(self, delta: Mapping[str, Any], earlier: int) -> None:
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        id_, name = _text(delta.get("id")), _text(function.get("name"))
        index = delta.get("index")
        call = self._continued(index if isinstance(index, int) else None, id_, name, earlier)
        if call is None:
            call = _Call(index if isinstance(index, int) else None)
            self._calls.append(call)
        call.id, call.name = call.id or id_, call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments += arguments
        elif arguments is not None:
            call.arguments = msgspec.json.encode(arguments).decode()
        for field_name, value in delta.items():
            if field_name not in _OWN_CALL_FIELDS and value is not None:
                call.fields[field_name] = _joined(call.fields.get(field_name), value)

    def _continued(self, index: int | None, id_: str, name: str, earlier: int) -> _Call | None:
        """The call that a delta continues; None for one that begins a call.

        `earlier` is how many calls there were before the event: two deltas of one event without an
        index are two calls.
        """
        same = [call for call in self._calls if call.index == index]
        if not same:
            return None
        call = same[-1]
        if id_ and call.id and id_ != call.id:
            return None
        # All calls may share an index or an id, so a name after a whole call begins the next one.
        if name and (call.is_complete or (index is None and call in self._calls[earlier:])):
            return None
        return None if name and index is None and call.name and not id_ else call


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case list():
            return "".join(map(_part, value))
        case _:
            return ""


def _part(part: object) -> str:
    match part:
        case str():
            return part
        case {"type": "text" | "output_text", "text": str() as text}:
            return text
        case _:
            return ""


def _joined(earlier: Any, later: Any) -> Any:
    """Two pieces of a field as one: texts and lists grow, and pieces of one item become one."""
    match earlier, later:
        case str(), str():
            return earlier + later
        case dict(), dict():
            joined = {name: _joined(earlier.get(name), each) for name, each in later.items()}
            return {**earlier, **joined}
        case list(), list():
            items = list(earlier)
            for item in later:
                _join_item(items, item)
            return items
        case _:
            return earlier if later is None else later


_GROWING = frozenset(("text", "thinking", "summary", "data", "signature"))


def _join_item(items: list[Any], item: Any) -> None:
    last = items[-1] if items else None
    if isinstance(last, dict) and isinstance(item, dict) and _is_continued(last, item):
        joined = {name: _joined(last.get(name), item[name]) for name in item.keys() & _GROWING}
        items[-1] = {**last, **item, **joined}
    else:
        items.append(item)


def _is_continued(last: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether an item of a list is a further piece of the last one."""
    if any(last.get(name) != item.get(name) for name in ("index", "type")):
        return False
    return "index" in item or any(name in last and name in item for name in ("text", "thinking"))


def calls_of(fields: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What a service added to its tool calls, by their ids."""
    kept = fields.get(CALL_FIELDS)
    yield from kept.items() if isinstance(kept, dict) else ()
