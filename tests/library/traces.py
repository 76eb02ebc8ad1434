"""Small traces as OTLP JSON: agents at once or in a row, each with a call that does the work."""

import json
from pathlib import Path
from typing import Any

MS = 1_000_000
BEGIN = 1_763_100_000 * 10**9


def trace_json(
    *,
    serial: bool = False,
    trace_id: str = "a" * 32,
    call_ms: int = 100,
    failed: bool = False,
) -> bytes:
    """A run with three agents, at once or one after the other, each asking a model.

    With `failed` the last call fails.
    """
    spans = [_span(trace_id, 1, 0, "answer", 0, (call_ms + 10) * (3 if serial else 1) + 10, "run")]
    for number in range(3):
        start = 5 + number * (call_ms + 10) * serial
        agent = 2 + 2 * number
        spans += [
            _span(trace_id, agent, 1, f"agent {number}", start, start + call_ms, "agent"),
            _span(trace_id, agent + 1, agent, "chat", start + 1, start + call_ms - 1, "llm"),
        ]
    if failed:
        spans[-1]["status"] = {"code": 2}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def trace_file(folder: Path, name: str = "trace.json", **more: Any) -> Path:
    """The same in a file."""
    path = folder / name
    path.write_bytes(trace_json(**more))
    return path


_OPERATIONS = {"run": "invoke_workflow", "agent": "invoke_agent", "llm": "chat"}


def _span(
    trace_id: str, number: int, parent: int, name: str, start_ms: int, end_ms: int, role: str
) -> dict[str, Any]:
    operation = {"key": "gen_ai.operation.name", "value": {"stringValue": _OPERATIONS[role]}}
    return {
        "traceId": trace_id,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(BEGIN + start_ms * MS),
        "endTimeUnixNano": str(BEGIN + end_ms * MS),
        "attributes": [operation],
    }


def without_first_span(log: Path) -> str:
    """The log of a run without the line of the span that ended first."""
    lines = log.read_text(encoding="utf-8").splitlines()
    ended = [line for line in lines if line.startswith('{"resourceSpans":[{')]
    return "\n".join(line for line in lines if line != ended[0])
