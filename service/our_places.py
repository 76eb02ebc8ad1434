"""Where in this program each kind of finding is mended."""

from collections.abc import Mapping

from trading_graph.otel.diagnosis import Kind

PLACES: Mapping[Kind, str] = {
    Kind.SERIAL_FAN_OUT: "graph/dispatcher.py sends all at once unless --dispatch sequential asks "
    "it not to.",
    Kind.SERIAL_TOOLS: "graph/tool_calls.py runs them at once unless --tools sequential asks it "
    "not to.",
    Kind.SERIAL_CALLS: "a tool in toolkit/tools/ can ask toolkit/market_data.py for all at once.",
    Kind.BLOCKED_LOOP: "tools are in toolkit/tools/; CPU work belongs into asyncio.to_thread.",
    Kind.DUPLICATES: "toolkit/cache.py caches and shares requests unless --no-cache asks it not "
    "to.",
    Kind.QUEUE: "the limits are in toolkit/pool.py.",
    Kind.COLD_CONNECTIONS: "toolkit/pool.py keeps one session for a run unless --no-pool "
    "asks it not to.",
    Kind.TURNS: "--analyst-turns 2 is the least, and the default.",
    Kind.RETRIES: "graph/chat.py says which errors are retried and how often.",
    Kind.TOKENS: "prompts are in graph/prompts.py.",
}
