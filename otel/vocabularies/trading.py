"""This project's own attributes, for what no vocabulary has a name for."""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_value

OPERATION = "trading.operation"
"""What a span is, where GenAI has no name for it: dispatch, join, fetch, prefetch, interruption or
detached."""
INTERRUPTION = "interruption"
"""The time between the last sign of life of one process and the start of the next."""
NODE = "trading.langgraph.node"
STEP = "trading.langgraph.step"
TOOL_ARGS_HASH = "trading.tool.args_hash"

_OPERATIONS = {
    "dispatch": Role.DISPATCH,
    "join": Role.JOIN,
    "fetch": Role.FETCH,
    "prefetch": Role.PREFETCH,
    INTERRUPTION: Role.INTERRUPTION,
}

TRADING = Vocabulary(kinds=by_value(OPERATION, _OPERATIONS))
