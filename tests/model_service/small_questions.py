"""Answers to questions that no agent asks: the smallest that fits, so that a probe gets one."""

import json
from typing import Any

from trading_graph.graph.offline_model.protocol import ModelAnswer, OutgoingCall

Json = dict[str, Any]


def answer_small_question(body: Json) -> ModelAnswer:
    """A call of the tool that is asked for, JSON in the form that is asked for, or one word."""
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    if tools and choice != "none" and body["messages"][-1]["role"] != "tool":
        name = choice["function"]["name"] if isinstance(choice, dict) else None
        functions = [tool["function"] for tool in tools]
        function = next((each for each in functions if each["name"] == name), functions[0])
        arguments = json.dumps(_example(function.get("parameters") or {}))
        return ModelAnswer(tool_calls=(OutgoingCall("call_small", function["name"], arguments),))
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form.get("schema") or form.get("json_schema", {}).get("schema") or {}
        return ModelAnswer(json.dumps(_example(schema)))
    return ModelAnswer("OK")


def _example(schema: Json) -> Any:
    """The smallest value of the schema."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "string":
            return "OK"
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return []
        case _:
            properties = schema.get("properties") or {}
            return {name: _example(each) for name, each in properties.items()}
