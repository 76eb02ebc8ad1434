"""Spans of the traces that the benchmarks read, as OTLP JSON."""

TRACE_ID = "019a9b1c2d3e7f40a1b2c3d4e5f60718"
START_NS = 1_763_100_000 * 10**9
MS = 10**6

MEASURED: dict[str, object] = {
    "witness.cpu.over_wall": 0.05,
    "witness.loop.lag_max_ms": 1.2,
    "thread.id": 1234,
}
RUN: dict[str, object] = {"gen_ai.operation.name": "invoke_workflow", **MEASURED}
AGENT: dict[str, object] = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "a",
    "trading.langgraph.step": 2,
    **MEASURED,
}
CHAT: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "model",
    "gen_ai.usage.input_tokens": 812,
    **MEASURED,
}
TOOL: dict[str, object] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "t",
    "trading.turn.index": 0,
    **MEASURED,
}
FETCH: dict[str, object] = {"trading.operation": "fetch", "trading.cache": "miss", **MEASURED}


def span(
    number: int,
    parent: int,
    name: str,
    start_ms: int,
    end_ms: int,
    attributes: dict[str, object] | None = None,
    links: tuple[int, ...] = (),
    retry_at_ms: int | None = None,
) -> dict[str, object]:
    return {
        "traceId": TRACE_ID,
        "spanId": f"{number:016x}",
        **({"parentSpanId": f"{parent:016x}"} if parent else {}),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(START_NS + start_ms * MS),
        "endTimeUnixNano": str(START_NS + end_ms * MS),
        "attributes": [
            {"key": key, "value": _value(value)} for key, value in (attributes or {}).items()
        ],
        "status": {},
        **(
            {"links": [{"traceId": TRACE_ID, "spanId": f"{each:016x}"} for each in links]}
            if links
            else {}
        ),
        **(
            {"events": [{"name": "retry", "timeUnixNano": str(START_NS + retry_at_ms * MS)}]}
            if retry_at_ms
            else {}
        ),
    }


def _value(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"intValue": str(value)}
