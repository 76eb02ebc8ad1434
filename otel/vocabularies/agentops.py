"""AgentOps' attributes on spans.

https://docs.agentops.ai/v2/concepts/spans
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_value

_KINDS = {
    "agent": Role.AGENT,
    "workflow": Role.CHAIN,
    "task": Role.CHAIN,
    "operation": Role.CHAIN,
    "chain": Role.CHAIN,
    "guardrail": Role.CHAIN,
    "llm": Role.LLM,
    "tool": Role.TOOL,
}

AGENTOPS = Vocabulary(
    kinds=by_value("agentops.span.kind", _KINDS),
    agent_names=("agentops.agent.name",),
    tool_names=("agentops.tool.name",),
)
