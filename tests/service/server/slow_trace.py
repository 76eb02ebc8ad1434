"""A slow trace in the folder of a service: tools in a row, a wait, an error, and hostile words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.spans import AGENT, CHAT, FETCH, RUN, TOOL, TRACE_ID, span

EVIL = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>'
SLOW, QUICK, FAILING, HOSTILE = 4, 5, 6, 7
"""The numbers of some spans; `id_of` makes them ids."""


def id_of(number: int) -> str:
    """The id of the span with a number."""
    return f"{number:016x}"


def slow_spans() -> list[dict[str, Any]]:
    """A run with one agent whose three tools ran one after the other, and a hostile span."""
    calls = [{**TOOL, "gen_ai.tool.call.id": f"call_{number}"} for number in range(3)]
    waiting = {"witness.wait_ms": 400.0, "witness.wait.kind": "semaphore"}
    spans: list[dict[str, Any]] = [
        span(1, 0, "invoke_workflow slow", 0, 6000, {**RUN, "witness.spans_started": 9}),
        span(2, 1, "invoke_agent researcher", 10, 5990, AGENT),
        span(3, 2, "chat model", 20, 1000, CHAT),
        span(SLOW, 2, "execute_tool get_filings", 1010, 3500, {**calls[0], **waiting}),
        span(QUICK, 2, "execute_tool get_prices", 3510, 4000, calls[1], links=(3,)),
        span(FAILING, 2, "execute_tool get_news", 4010, 4500, calls[2], retry_at_ms=4200),
        span(HOSTILE, 6, f"fetch {EVIL}", 4020, 4490, {**FETCH, EVIL: EVIL, "url.full": EVIL}),
        span(8, 2, "chat model", 4510, 5900, CHAT),
        span(9, 4, "GET", 1100, 3490, FETCH),
    ]
    spans[FAILING - 1]["status"] = {"code": 2}
    return spans


def many_spans(count: int) -> list[dict[str, Any]]:
    """A run of so many spans: agents of a hundred calls each, in a row."""
    spans: list[dict[str, Any]] = []
    number, at = 1, 0
    while number < count:
        agent, begin = number + 1, at
        calls = min(100, count - agent)
        for call in range(calls):
            kind, name = (CHAT, "chat model") if call % 4 == 0 else (TOOL, f"execute_tool t{call}")
            spans.append(span(agent + 1 + call, agent, name, at, at + 9, kind))
            at += 10
        spans.append(span(agent, 1, f"invoke_agent a{agent}", begin, max(at, begin + 1), AGENT))
        number = agent + calls
    run = {**RUN, "witness.spans_started": len(spans) + 1}
    return [span(1, 0, "invoke_workflow many", 0, at + 1, run), *spans]


def write_trace(runs: Path, spans: Sequence[dict[str, Any]], trace_id: str = TRACE_ID) -> str:
    """Write the trace as a run's folder holds it; gives the address of its page."""
    folder = runs / trace_id
    folder.mkdir(parents=True)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": EVIL}}]}
    scope = {"spans": [{**each, "traceId": trace_id} for each in spans]}
    line = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})
    (folder / "trace.jsonl").write_text(line + "\n", "utf-8")
    return f"/traces/{trace_id}"
