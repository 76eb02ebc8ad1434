"""One run of an agent, which the other modules write in every form that is read.

An agent asks a model, calls the two tools that it names at once, and asks the model again.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TRACE_ID = "5f29ab21dddddddddddddddddddddd01"


UUID = "5f29ab21-dddd-dddd-dddd-dddddddddd01"


START_MS = 1_763_100_000_000


OPERATION = "gen_ai.operation.name"


CALLS = [{"id": "call_1", "name": "search"}, {"id": "call_2", "name": "prices"}]


ANSWER = {"generations": [[{"message": {"kwargs": {"content": "", "tool_calls": CALLS}}}]]}


@dataclass(frozen=True)
class Part:
    """A span: its number, that of its parent (0 without), and its times in ms after the start."""

    number: int
    parent: int
    name: str
    role: str
    start_ms: int
    end_ms: int
    call: str = ""

    @property
    def id(self) -> str:
        return f"{0xA0 + self.number:016x}"

    @property
    def parent_id(self) -> str:
        return f"{0xA0 + self.parent:016x}" if self.parent else ""

    @property
    def ms(self) -> tuple[int, int]:
        return START_MS + self.start_ms, START_MS + self.end_ms

    @property
    def iso(self) -> tuple[str, str]:
        first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in self.ms)
        return first, last


RUN = (
    Part(1, 0, "researcher", "agent", 0, 5000),
    Part(2, 1, "ask", "llm", 100, 1000),
    Part(3, 1, "search", "tool", 1100, 2100, "call_1"),
    Part(4, 1, "prices", "tool", 1100, 2000, "call_2"),
    Part(5, 1, "answer", "llm", 2200, 4800),
)


def genai(part: Part) -> dict[str, Any]:
    """The attributes of a span as OpenTelemetry's conventions have them."""
    if part.role == "agent":
        return {OPERATION: "invoke_agent"}
    if part.role == "tool":
        return {
            OPERATION: "execute_tool",
            "gen_ai.tool.name": part.name,
            "gen_ai.tool.call.id": part.call,
        }
    answer = {"role": "assistant", "tool_calls": CALLS if part.name == "ask" else []}
    return {OPERATION: "chat", "gen_ai.output.messages": json.dumps([answer])}


def openinference(part: Part) -> dict[str, Any]:
    if part.role == "tool":
        return {"tool.name": part.name, "tool_call.id": part.call}
    if part.role != "llm":
        return {}
    calls = CALLS if part.name == "ask" else []
    return {
        "llm.output_messages": [
            {
                "message.role": "assistant",
                "message.tool_calls": [
                    {"tool_call.id": each["id"], "tool_call.function.name": each["name"]}
                    for each in calls
                ],
            }
        ]
    }


def otlp_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": each}} for key, each in attributes.items()]


def base64_of(id: str) -> str:
    return base64.b64encode(bytes.fromhex(id)).decode()


def uuid(number: int) -> str:
    return f"{UUID[:-2]}{number:02d}"


def nested(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with the parts of their names inside each other."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        *above, last = name.split(".")
        node = tree
        for each in above:
            node = node.setdefault(each, {})
        node[last] = value
    return tree


def lines(rows: list[Any]) -> bytes:
    return "\n".join(json.dumps(each) for each in rows).encode()


def rows(write: Callable[[Part], Any]) -> list[Any]:
    return [write(each) for each in RUN]


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()
