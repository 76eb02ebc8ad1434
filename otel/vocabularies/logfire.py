"""logfire's spans of the OpenAI Agents SDK, and of pydantic-ai before it named its operations.

No attribute names the role: each span holds the fields of the SDK's span data, and these tell the
kinds apart. https://openai.github.io/openai-agents-python/ref/tracing/span_data/
"""

from trading_graph.otel.vocabularies.values import Attributes, document
from trading_graph.otel.vocabularies.vocabulary import Role, RoleReader, Vocabulary

SIGN = "logfire.span_type"


def _role(attributes: Attributes) -> Role | None:
    if "sdk_span_type" in attributes:  # the SDK's own task and turn
        return Role.CHAIN
    if "gen_ai.request.model" in attributes:  # GenerationSpanData, ResponseSpanData
        return Role.LLM
    if "handoffs" in attributes and "output_type" in attributes:  # AgentSpanData
        return Role.AGENT
    if "mcp_data" in attributes or "tool_arguments" in attributes:  # FunctionSpanData
        return Role.TOOL
    if "agent_trace_id" in attributes:  # Trace: one whole workflow
        return Role.RUN
    if "agent_name" in attributes and "model_name" in attributes:  # a run of pydantic-ai
        return Role.AGENT
    if "from_agent" in attributes or "triggered" in attributes:  # HandoffSpanData, Guardrail...
        return Role.CHAIN
    return None


_SIGN_READERS: dict[str, RoleReader] = {SIGN: _role}

LOGFIRE = Vocabulary(
    signs=_SIGN_READERS,
    arguments=("tool_arguments",),
    models=("model_name",),
)


def agent_name(attributes: Attributes) -> str | None:
    """The name of the agent that a span is, or belongs to."""
    if SIGN not in attributes:
        return None
    key = "name" if "handoffs" in attributes and "output_type" in attributes else "agent_name"
    name = attributes.get(key)
    return name if isinstance(name, str) and name else None


def tool_fields(attributes: Attributes) -> tuple[str | None, object]:
    """The name and the input of a function span; None where they are not recorded."""
    if SIGN not in attributes or "mcp_data" not in attributes:
        return None, None
    name = attributes.get("name")
    return (name if isinstance(name, str) and name else None), attributes.get("input")


def answer_of(attributes: Attributes) -> object:
    """The answer of an LLM span: its output, or the choices among its events; None without one."""
    if SIGN not in attributes:
        return None
    if "output" in attributes:
        return attributes["output"]
    # The other events of a call repeat what was asked.
    events = document(attributes.get("events"))
    return [
        each
        for each in (events if isinstance(events, list) else ())
        if isinstance(each, dict) and each.get("event.name") == "gen_ai.choice"
    ] or None


def session(attributes: Attributes) -> str | None:
    """The group of traces to which a trace of the OpenAI Agents SDK belongs."""
    group = attributes.get("group_id") if SIGN in attributes else None
    # logfire writes a missing value as JSON.
    return group if isinstance(group, str) and group not in ("", "null") else None
