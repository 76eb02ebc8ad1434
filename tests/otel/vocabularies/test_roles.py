"""What a span is, from the attributes that each vocabulary documents and from recorded spans."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_graph.otel.trace import SpanValues, TraceBuilder
from trading_graph.otel.vocabularies import Role, agent_name, role

RECORDED: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("recorded.json").read_text("utf-8")
)
"""Spans of programs under their own instrumentations, without long texts."""

NAMED = [
    # OpenTelemetry's generative AI
    ({"gen_ai.operation.name": "invoke_workflow"}, Role.RUN),
    ({"gen_ai.operation.name": "invoke_agent"}, Role.AGENT),
    ({"gen_ai.operation.name": "create_agent", "gen_ai.request.model": "m"}, Role.OTHER),
    ({"gen_ai.operation.name": "generate_content"}, Role.LLM),
    ({"gen_ai.operation.name": "execute_tool"}, Role.TOOL),
    ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"}, Role.RETRIEVAL),
    ({"gen_ai.system": "openai", "gen_ai.request.model": "m"}, Role.LLM),
    ({"gen_ai.tool.name": "weather"}, Role.TOOL),
    # MCP
    ({"mcp.method.name": "tools/call", "rpc.system": "jsonrpc"}, Role.TOOL),
    ({"mcp.method.name": "tools/list"}, Role.RPC),
    # OpenInference
    ({"openinference.span.kind": "CHAIN"}, Role.CHAIN),
    ({"openinference.span.kind": "RERANKER"}, Role.RETRIEVAL),
    ({"openinference.span.kind": "GUARDRAIL"}, Role.CHAIN),
    ({"openinference.span.kind": "UNKNOWN"}, Role.OTHER),
    ({"openinference.span.kind": "UNKNOWN", "llm.model_name": "m"}, Role.LLM),
    # OpenLLMetry
    ({"traceloop.span.kind": "workflow", "gen_ai.operation.name": "invoke_agent"}, Role.RUN),
    ({"traceloop.span.kind": "workflow", "traceloop.entity.path": "outer"}, Role.CHAIN),
    ({"traceloop.span.kind": "workflow", "traceloop.entity.path": ""}, Role.RUN),
    ({"traceloop.span.kind": "task"}, Role.CHAIN),
    ({"llm.request.type": "chat"}, Role.LLM),
    ({"llm.request.type": "embedding"}, Role.RETRIEVAL),
    # LangSmith
    ({"langsmith.span.kind": "llm"}, Role.LLM),
    ({"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain"}, Role.CHAIN),
    ({"langsmith.span.kind": "parser"}, Role.CHAIN),
    ({"langsmith.span.kind": "chain", "gen_ai.operation.name": "invoke_agent"}, Role.AGENT),
    # Langfuse
    ({"langfuse.observation.type": "agent"}, Role.AGENT),
    ({"langfuse.observation.type": "generation"}, Role.LLM),
    ({"langfuse.observation.type": "evaluator"}, Role.CHAIN),
    ({"langfuse.observation.type": "span"}, Role.CHAIN),
    ({"langfuse.observation.type": "span", "gen_ai.operation.name": "chat"}, Role.LLM),
    ({"langfuse.observation.type": "event"}, Role.OTHER),
    ({"langfuse.observation.model.name": "m"}, Role.LLM),
    # Vercel AI SDK
    ({"ai.operationId": "ai.streamText"}, Role.AGENT),
    ({"ai.operationId": "ai.streamText.doStream", "gen_ai.request.model": "m"}, Role.LLM),
    ({"ai.operationId": "ai.generateObject.doGenerate"}, Role.LLM),
    ({"ai.operationId": "ai.toolCall"}, Role.TOOL),
    ({"ai.operationId": "ai.embedMany.doEmbed"}, Role.RETRIEVAL),
    # logfire: the OpenAI Agents SDK, and pydantic-ai before it named operations
    ({"logfire.span_type": "span", "sdk_span_type": "turn", "usage": "{}"}, Role.CHAIN),
    ({"logfire.span_type": "span", "handoffs": "[]", "output_type": "str"}, Role.AGENT),
    ({"logfire.span_type": "span", "name": "f", "mcp_data": "null"}, Role.TOOL),
    ({"logfire.span_type": "span", "from_agent": "a", "to_agent": "b"}, Role.CHAIN),
    ({"logfire.span_type": "span", "agent_name": "a", "model_name": "m"}, Role.AGENT),
    ({"logfire.span_type": "span", "http.request.method": "GET"}, Role.HTTP),
    ({"mcp_data": "null", "name": "f"}, Role.OTHER),
    # Calls of other services
    ({"http.request.method": "GET"}, Role.HTTP),
    ({"http.method": "GET"}, Role.HTTP),
    ({"rpc.system": "grpc"}, Role.RPC),
    ({"rpc.system.name": "grpc"}, Role.RPC),
    ({"db.system": "mysql"}, Role.DATABASE),
    ({"db.system.name": "postgresql"}, Role.DATABASE),
    ({"db.system": "dynamodb", "rpc.system": "aws-api", "http.method": "POST"}, Role.DATABASE),
    ({"messaging.system": "aws_sqs", "rpc.system": "aws-api"}, Role.MESSAGING),
    ({"rpc.system": "aws-api", "gen_ai.operation.name": "chat"}, Role.LLM),
    # This project's own
    ({"trading.operation": "dispatch", "langsmith.span.kind": "chain"}, Role.DISPATCH),
    ({"trading.operation": "fetch", "langsmith.span.kind": "retriever"}, Role.FETCH),
    ({"trading.operation": "detached"}, Role.OTHER),
    # Nothing, and nonsense
    ({}, Role.OTHER),
    ({"name": "execute_tool weather", "span.kind": "LLM"}, Role.OTHER),
    ({"gen_ai.operation.name": ["chat"], "openinference.span.kind": 7}, Role.OTHER),
]


@pytest.mark.parametrize(("attributes", "expected"), NAMED, ids=str)
def test_documented_attributes_say_what_a_span_is(
    attributes: dict[str, Any], expected: Role
) -> None:
    assert role(attributes) is expected
    # The order in which an exporter writes attributes says nothing.
    assert role(dict(reversed(attributes.items()))) is expected


def test_recorded_spans_have_their_roles() -> None:
    found = {(each["case"], each["name"]): role(each["attributes"]).value for each in RECORDED}
    assert found == {(each["case"], each["name"]): each["role"] for each in RECORDED}


def test_names_and_scopes_change_no_role() -> None:
    def roles(name: str, scope: str) -> list[Role]:
        builder = TraceBuilder("t")
        for number, each in enumerate(RECORDED):
            attributes = each["attributes"] | {"otel.scope.name": scope}
            span = f"{number:016x}"
            builder.add(SpanValues(span, "", name, 1, number + 1, number + 2, 0, attributes.copy))
        return list(builder.build().roles)

    assert roles("chat gpt", "openinference.instrumentation.langchain") == roles("x", "y")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"gen_ai.agent.name": "a", "graph.node.id": "b"}, "a"),
        ({"agent.name": "a", "graph.node.id": "548ee7b0"}, "a"),
        ({"graph.node.id": "Oslo reporter"}, "Oslo reporter"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "a"}, "a"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "t"}, None),
        ({"ai.telemetry.functionId": "weather-agent"}, "weather-agent"),
        (
            {
                "logfire.span_type": "span",
                "name": "a",
                "handoffs": "[]",
                "output_type": "str",
            },
            "a",
        ),
        ({"logfire.span_type": "span", "agent_name": "a", "name": "turn"}, "a"),
        ({"metadata": '{"langgraph_node": "n"}'}, "n"),
        ({"gen_ai.agent.name": "", "langsmith.metadata.langgraph_node": "n"}, "n"),
        ({"gen_ai.agent.name": 3}, None),
    ],
)
def test_agents_have_names(attributes: dict[str, Any], name: str | None) -> None:
    assert agent_name(attributes) == name
