"""Where in this program each kind of finding is fixed; only for the program's own runs."""

from collections.abc import Mapping
from dataclasses import replace

from trading_graph.otel.diagnosis import Diagnosis, FindingKind
from trading_graph.otel.trace import semconv

PLACES: Mapping[FindingKind, str] = {
    FindingKind.SERIAL_FAN_OUT: "graph/dispatcher.py sends all at once unless --dispatch "
    "sequential asks it not to.",
    FindingKind.SERIAL_TOOLS: "graph/tool_calls.py runs them at once unless --tools sequential "
    "asks it not to.",
    FindingKind.SERIAL_CALLS: "a tool in toolkit/tools/ can ask toolkit/market_data.py for all at "
    "once.",
    FindingKind.BLOCKED_LOOP: "tools are in toolkit/tools/; CPU work belongs into "
    "asyncio.to_thread.",
    FindingKind.DUPLICATES: "toolkit/cache.py caches and shares requests unless --no-cache asks "
    "it not to.",
    FindingKind.QUEUE: "the limits are in toolkit/pool.py.",
    FindingKind.COLD_CONNECTIONS: "toolkit/pool.py keeps one session for a run unless --no-pool "
    "asks it not to.",
    FindingKind.TURNS: "--analyst-turns 2 is the least, and the default.",
    FindingKind.RETRIES: "graph/chat.py says which errors are retried and how often.",
    FindingKind.TOKENS: "prompts are in graph/prompts.py.",
}


def with_places(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with the place of each fix, if this program recorded the run."""
    if semconv.SYMBOL not in diagnosis.run.attributes:
        return diagnosis
    findings = [replace(each, here=PLACES.get(each.kind, "")) for each in diagnosis.findings]
    return replace(diagnosis, findings=tuple(findings))
