"""The Responses API: its requests read as those of `chat/completions`, and its events."""

import json
from typing import Any

from tests.model_service.framings import THOUGHT, Framing, Written, split, wire_text

Json = dict[str, Any]


def chat_body(body: Json) -> Json:
    """The request as one of `chat/completions`."""
    chat: Json = {"model": body["model"], "stream": body.get("stream"), "messages": []}
    messages: list[Json] = chat["messages"]
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        match item.get("type", "message"):
            case "function_call":
                function = {"name": item["name"], "arguments": item["arguments"]}
                call = {"id": item["call_id"], "type": "function", "function": function}
                if messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": "", "tool_calls": []})
                messages[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                output = {"tool_call_id": item["call_id"], "content": item["output"]}
                messages.append({"role": "tool", **output})
            case "message":
                messages.append({"role": item["role"], "content": item["content"]})
    if body.get("tools"):
        chat["tools"] = [{"type": "function", "function": tool} for tool in body["tools"]]
    choice = body.get("tool_choice")
    if choice is not None:
        named = isinstance(choice, dict)
        chat["tool_choice"] = {"function": {"name": choice["name"]}} if named else choice
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type", "text") != "text":
        chat["response_format"] = form
    return chat


def response_events(
    written: Written, framings: frozenset[Framing], request: Json, incomplete: bool = False
) -> list[bytes]:
    """The events of the answer; `incomplete` ends it at the limit of tokens."""
    created = _response(written, request, "in_progress", [])
    events: list[Json] = [
        {"type": "response.created", "response": created},
        {"type": "response.in_progress", "response": created},
    ]
    items = _items(written, framings)
    for index, item in enumerate(items):
        events += _item_events(index, item)
    end = "incomplete" if incomplete else "completed"
    events.append({"type": f"response.{end}", "response": _response(written, request, end, items)})
    return [
        f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': n})}\n\n".encode()
        for n, event in enumerate(events)
    ]


def response_object(written: Written, framings: frozenset[Framing], request: Json) -> Json:
    """The answer as one object, without a stream."""
    return _response(written, request, "completed", _items(written, framings))


def reasoning_item_id(written: Written) -> str:
    """The id of the item that holds the answer's thinking."""
    return f"rs_{written.id}"


def _items(written: Written, framings: frozenset[Framing]) -> list[Json]:
    items: list[Json] = []
    if written.reasoning:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        sealed = {"encrypted_content": f"sealed-{written.id}"}
        items.append(
            {"type": "reasoning", "id": reasoning_item_id(written), "summary": summary, **sealed}
        )
    if text := wire_text(written.answer, framings):
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{written.id}", "role": "assistant"}
        items.append({**message, "status": "completed", "content": [part]})
    for call in written.answer.tool_calls:
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{call.id}",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items


def _item_events(index: int, item: Json) -> list[Json]:
    place: Json = {"output_index": index}
    within = place | {"item_id": item["id"]}
    done = {"type": "response.output_item.done", **place, "item": item}
    match item["type"]:
        case "message":
            empty = item | {"content": [], "status": "in_progress"}
            (part,) = item["content"]
            within |= {"content_index": 0}
            text = part["text"]
            begin = {"type": "response.content_part.added", **within, "part": part | {"text": ""}}
            return [
                {"type": "response.output_item.added", **place, "item": empty},
                begin,
                *(
                    {"type": "response.output_text.delta", **within, "delta": x, "logprobs": []}
                    for x in split(text)
                ),
                {"type": "response.output_text.done", **within, "text": text, "logprobs": []},
                {"type": "response.content_part.done", **within, "part": part},
                done,
            ]
        case "function_call":
            empty = item | {"arguments": "", "status": "in_progress"}
            kind = "response.function_call_arguments"
            arguments = item["arguments"]
            return [
                {"type": "response.output_item.added", **place, "item": empty},
                *({"type": f"{kind}.delta", **within, "delta": x} for x in split(arguments)),
                {"type": f"{kind}.done", **within, "name": item["name"], "arguments": arguments},
                done,
            ]
        case _:
            empty = item | {"summary": []}
            within |= {"summary_index": 0}
            part = item["summary"][0]
            kind = "response.reasoning_summary"
            return [
                {"type": "response.output_item.added", **place, "item": empty},
                {"type": f"{kind}_part.added", **within, "part": part | {"text": ""}},
                {"type": f"{kind}_text.delta", **within, "delta": part["text"]},
                {"type": f"{kind}_text.done", **within, "text": part["text"]},
                {"type": f"{kind}_part.done", **within, "part": part},
                done,
            ]


def _response(written: Written, request: Json, status: str, items: list[Json]) -> Json:
    over = status != "in_progress"
    tokens = written.tokens
    usage = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": len(written.reasoning) // 4},
        "total_tokens": tokens.prompt + tokens.completion,
    }
    reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": f"resp_{written.id}",
        "object": "response",
        "created_at": 1763136000,
        "status": status,
        "error": None,
        "incomplete_details": reason,
        "instructions": None,
        "metadata": {},
        "model": written.model,
        "output": items,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools", []),
        "top_p": 1.0,
        "usage": usage if over else None,
    }
