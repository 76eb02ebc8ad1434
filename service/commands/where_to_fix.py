"""Where in this program each kind of finding is fixed; only for the program's own runs."""

import re
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from trading_graph.otel.diagnosis import Diagnosis, FindingKind
from trading_graph.toolkit.data_attributes import AS_OF, SYMBOL

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
    FindingKind.QUEUE: "the limits are in toolkit/pool.py and toolkit/rate_limits.py.",
    FindingKind.COLD_CONNECTIONS: "toolkit/pool.py keeps one session for a run unless --no-pool "
    "asks it not to.",
    FindingKind.TURNS: "--analyst-turns 2 is the least, and the default.",
    FindingKind.RETRIES: "graph/chat.py says which errors are retried and how often.",
    FindingKind.TOKENS: "prompts are in graph/prompts.py.",
}


def with_places(diagnosis: Diagnosis) -> Diagnosis:
    """The diagnosis with what only this program knows of its own runs.

    Its title, the place of each change, and the commands that watch the next runs.
    """
    attributes = diagnosis.run.attributes
    symbol, as_of = attributes.get(SYMBOL), attributes.get(AS_OF)
    if symbol is None:
        return diagnosis
    return replace(
        diagnosis,
        title=f"{symbol} as of {as_of}",
        findings=tuple(
            msgspec.structs.replace(each, here=PLACES.get(each.kind, ""))
            for each in diagnosis.findings
        ),
        commands=_commands(diagnosis),
    )


def _commands(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Shell lines for the log and the next run."""
    # The id stands between quotes of a shell line, so only plain characters may stay.
    trace_id = re.sub(r"[^\w.:-]", "", diagnosis.trace.id)
    return (
        "# Watch for parallel execution patterns",
        'grep "⏱️" logs/trading_graph.log | tail -20',
        "",
        "# Check analyst start times",
        "grep \"START\" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'",
        "",
        "# Monitor total runtime",
        'grep "Total execution time" logs/trading_graph.log',
        "",
        "# What the log says of this run",
        f'grep "{trace_id}" logs/trading_graph.log',
        "",
        "# Judge and diagnose the next run",
        "trading-graph verify last",
        f"trading-graph diagnose last --target {diagnosis.target.limit_s:g}",
    )
