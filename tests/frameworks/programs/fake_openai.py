"""A model service on loopback that speaks OpenAI's protocols and answers by script.

The name of the model is the script: which tool calls it asks for in which turn. How far a
conversation has come is told by the ids of calls that the request carries, so that every
framework's way of repeating them will do. The server remembers when it worked, which is the truth
about the model calls of a program.
"""

import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CALL_S = 0.3
ANSWER = "It is sunny in all of them."
FINAL = "final_answer"
SCRIPTS: dict[str, list[list[str]]] = {
    "plain": [],
    "one": [["named"]],
    "two": [["named"], ["named"]],
    "par3": [["Oslo", "Rome", "Lima"]],
    "par4": [["Oslo", "Rome", "Lima", "Quito"]],
    "turns": [["Oslo"], ["Rome"], ["Lima"]],
    "mixed": [["Oslo"], ["Rome"], ["Lima", "Quito", "Cairo"]],
    "twice": [["Oslo", "Rome", "Lima"], ["Quito", "Cairo", "Accra"]],
}
CITIES = sorted(
    {city for script in SCRIPTS.values() for turn in script for city in turn} - {"named"}
)
CALL_ID = re.compile(r"call_[0-9a-f]{12}")
CITY = re.compile(r"\b(?:" + "|".join(CITIES) + r")\b")


def cities_to_ask(model: str, request: str) -> list[str]:
    """Return the cities of the turn that comes next, or none when the script is at its end.

    "named" is the city that stands in the question: the first in the first turn, and so on.
    """
    known = len(set(CALL_ID.findall(request)))
    for number, turn in enumerate(SCRIPTS[model]):
        if known <= 0:
            named = list(dict.fromkeys(CITY.findall(request)))
            return [named[number]] if turn == ["named"] else turn
        known -= len(turn)
    return []


def tool_calls(model: str, body: dict[str, Any], request: str) -> list[dict[str, str]]:
    """Return the calls to answer with: id, name and arguments as JSON text."""
    offered = [tool.get("function", tool) for tool in body.get("tools") or []]
    tools = [tool for tool in offered if tool["name"] != FINAL]
    wanted = [{"city": city} for city in cities_to_ask(model, request)] if tools else []
    name = tools[0]["name"] if tools else ""
    if not wanted and len(tools) < len(offered):
        wanted, name = [{"answer": ANSWER}], FINAL
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:12]}",
            "name": name,
            "arguments": json.dumps(arguments),
        }
        for arguments in wanted
    ]


def completion(model: str, calls: list[dict[str, str]]) -> dict[str, Any]:
    """Build an answer of the chat completions protocol."""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else ANSWER}
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]
    reason = "tool_calls" if calls else "stop"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:12]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 20, "total_tokens": 70},
    }


def chunks(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a completion into the chunks of a streamed one; the last has the tokens."""
    choice = answer["choices"][0]
    message = choice["message"]
    words = (message["content"] or "").split(" ")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if "tool_calls" in message:
        deltas += [
            {"tool_calls": [{"index": i, **call}]} for i, call in enumerate(message["tool_calls"])
        ]
    else:
        deltas += [{"content": word + " "} for word in words]
    frame = {key: answer[key] for key in ("id", "created", "model")}
    frame["object"] = "chat.completion.chunk"
    made = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    return [
        *made,
        {**frame, "choices": [end]},
        {**frame, "choices": [], "usage": answer["usage"]},
    ]


def response(model: str, calls: list[dict[str, str]]) -> dict[str, Any]:
    """Build an answer of the Responses protocol."""
    text = {"type": "output_text", "text": ANSWER, "annotations": []}
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{uuid.uuid4().hex[:12]}",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": call["arguments"],
            "status": "completed",
        }
        for call in calls
    ] or [
        {
            "type": "message",
            "id": f"msg_{uuid.uuid4().hex[:12]}",
            "role": "assistant",
            "status": "completed",
            "content": [text],
        }
    ]
    return {
        "id": f"resp_{uuid.uuid4().hex[:12]}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 50,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 70,
        },
    }


class FakeOpenAI:
    """The service, in threads of its own; `calls` are its times of work on the monotonic clock."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float]] = []
        self.call_s = CALL_S
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                service.answer(self)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def base_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, after the time that a model call takes."""
        begin = time.monotonic()
        request = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        body = json.loads(request)
        model = body["model"].rpartition("/")[2]
        calls = tool_calls(model, body, request)
        if handler.path.endswith("/responses"):
            time.sleep(self.call_s)
            self.send_whole(handler, response(model, calls))
        elif body.get("stream"):
            self.send_stream(handler, chunks(completion(model, calls)))
        else:
            time.sleep(self.call_s)
            self.send_whole(handler, completion(model, calls))
        self.calls.append((begin, time.monotonic()))

    def send_whole(self, handler: BaseHTTPRequestHandler, answer: dict[str, Any]) -> None:
        """Send an answer at once."""
        data = json.dumps(answer).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def send_stream(self, handler: BaseHTTPRequestHandler, parts: list[dict[str, Any]]) -> None:
        """Send an answer in pieces: the first after half of the time."""
        time.sleep(self.call_s / 2)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        for part in parts:
            handler.wfile.write(b"data: " + json.dumps(part).encode() + b"\n\n")
            handler.wfile.flush()
            time.sleep(self.call_s / 2 / len(parts))
        handler.wfile.write(b"data: [DONE]\n\n")
