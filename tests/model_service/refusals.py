"""How a service refuses a request that breaks one of its rules: in its own words and form."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.model_service.demands import Demand, Issues, Json, Refusal

Check = Callable[[Json, Issues], Refusal | None]


def refusal(demand: Demand, body: Json, issues: Issues, path: str) -> Refusal | None:
    """Why the service refuses the request, or None; `path` is the last part of the address."""
    if demand is Demand.RESPONSES_ONLY:
        if path == "responses":
            return None
        return _openai(
            "This model is only supported in v1/responses and not in v1/chat/completions.",
            param="model",
            status=404,
        )
    if path == "responses" and demand is not Demand.REASONING_ITEM_BACK:
        return None
    return _CHECKS[demand](body, issues)


def _openai(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400
) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(status, {"error": error})


def _mistral(message: str, kind: str, code: str, status: int = 400) -> Refusal:
    return Refusal(
        status, {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    )


def _pydantic(place: list[str | int], status: int = 422) -> Refusal:
    detail = {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}
    message = {"detail": [detail]}
    return Refusal(status, {"object": "error", "message": message, "type": "invalid_request_error"})


def _vllm(message: str) -> Refusal:
    error = {"object": "error", "message": message, "type": "BadRequestError"}
    return Refusal(400, {**error, "param": None, "code": 400})


def _assistants(body: Json) -> Iterator[tuple[int, Json]]:
    """The assistant messages with tool calls, and their places."""
    for place, message in enumerate(body.get("messages", ())):
        if message.get("role") == "assistant" and message.get("tool_calls"):
            yield place, message


def _no_named_choice(body: Json, issues: Issues) -> Refusal | None:
    if not isinstance(body.get("tool_choice"), dict):
        return None
    return _openai(
        f"{body['model']} does not support this tool_choice", code="invalid_request_error"
    )


def _no_object_choice(body: Json, issues: Issues) -> Refusal | None:
    if not isinstance(body.get("tool_choice"), dict):
        return None
    words = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
    return Refusal(400, {"error": words})


def _no_forced_choice(body: Json, issues: Issues) -> Refusal | None:
    if body.get("tool_choice") in (None, "none", "auto"):
        return None
    return _openai("Thinking mode does not support this tool_choice", code="invalid_request_error")


def _no_tools(body: Json, issues: Issues) -> Refusal | None:
    if not body.get("tools"):
        return None
    error = {
        "message": f"registry.ollama.ai/library/{body['model']}:latest does not support tools",
        "type": "api_error",
        "param": None,
        "code": None,
    }
    return Refusal(400, {"error": error})


def _no_stream_options(body: Json, issues: Issues) -> Refusal | None:
    if "stream_options" not in body:
        return None
    message = 'Invalid request: json: unknown field "stream_options"'
    return Refusal(400, {"error_code": "BAD_REQUEST", "message": message})


def _forbidden_stream_options(body: Json, issues: Issues) -> Refusal | None:
    return _pydantic(["body", "stream_options"]) if "stream_options" in body else None


def _no_user_after_tool(body: Json, issues: Issues) -> Refusal | None:
    roles = [message.get("role") for message in body["messages"]]
    if ("tool", "user") not in itertools.pairwise(roles):
        return None
    words = "Unexpected role 'user' after role 'tool'"
    return _mistral(words, "invalid_request_message_order", "3230")


def _reasoning_back(body: Json, issues: Issues) -> Refusal | None:
    for _place, message in _assistants(body):
        expected = {issues.reasoning.get(str(call.get("id"))) for call in message["tool_calls"]}
        if expected != {message.get("reasoning_content")}:
            return _openai(
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                code="invalid_request_error",
            )
    return None


def _signature_back(body: Json, issues: Issues) -> Refusal | None:
    for place, message in _assistants(body):
        call = message["tool_calls"][0]
        google = (call.get("extra_content") or {}).get("google") or {}
        expected = issues.signatures.get(str(call.get("id")))
        if expected is None or google.get("thought_signature") != expected:
            words = (
                "Function call is missing a thought_signature in functionCall parts. This is "
                "required for tools to work correctly. Additional data, function call "
                f"`default_api:{call['function']['name']}`, position {place}."
            )
            error = {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}
            return Refusal(400, [{"error": error}])
    return None


def _tools_with_calls(body: Json, issues: Issues) -> Refusal | None:
    if body.get("tools") or not any(_assistants(body)):
        return None
    words = (
        "litellm.UnsupportedParamsError: Bedrock doesn't support tool calling without `tools=` "
        "param specified. Pass `tools=` param OR set `litellm.modify_params = True`."
    )
    error = {"message": words, "type": "None", "param": "None", "code": "400"}
    return Refusal(400, {"error": error})


def _tools_without_effort(body: Json, issues: Issues) -> Refusal | None:
    if not body.get("tools") or body.get("reasoning_effort") == "none":
        return None
    return _openai(
        f"Function tools with reasoning_effort are not supported for {body['model']} in "
        "/v1/chat/completions. Please use /v1/responses instead.",
        param="reasoning_effort",
    )


def _own_ids(body: Json, issues: Issues) -> Refusal | None:
    for place, message in _assistants(body):
        ids = [call.get("id") for call in message["tool_calls"]]
        if not all(isinstance(each, str) and each for each in ids):
            return _openai(
                f"Invalid type for 'messages[{place}].tool_calls[0].id': expected a string, but "
                "got null instead.",
                param=f"messages[{place}].tool_calls[0].id",
                code="invalid_type",
            )
        answers = []
        for later in body["messages"][place + 1 :]:
            if later.get("role") != "tool":
                break
            answers.append(later.get("tool_call_id"))
        if len(set(ids)) < len(ids) or sorted(map(str, answers)) != sorted(ids):
            return _openai(
                "An assistant message with 'tool_calls' must be followed by tool messages "
                "responding to each 'tool_call_id'.",
                param=f"messages[{place}]",
            )
    return None


def _text_arguments(body: Json, issues: Issues) -> Refusal | None:
    for _place, message in _assistants(body):
        for call in message["tool_calls"]:
            arguments = call["function"].get("arguments")
            if not isinstance(arguments, str) or not arguments.lstrip().startswith("{"):
                return _openai(
                    '<400> InternalError.Algo.InvalidParameter: The "function.arguments" '
                    "parameter of the code model must be in JSON format.",
                    code="invalid_parameter_error",
                )
    return None


_REFUSED_KEYWORDS = ("additionalProperties", "$ref", "$defs", "exclusiveMinimum", "const")


def _no_schema_keywords(body: Json, issues: Issues) -> Refusal | None:
    for number, tool in enumerate(body.get("tools") or ()):
        for keyword in _REFUSED_KEYWORDS:
            if _mentions(tool["function"].get("parameters"), keyword):
                words = (
                    f'Invalid JSON payload received. Unknown name "{keyword}" at '
                    f"'tools[{number}].function_declarations[0].parameters': Cannot find field."
                )
                error = {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}
                return Refusal(400, [{"error": error}])
    return None


def _mentions(schema: Any, keyword: str) -> bool:
    if isinstance(schema, dict):
        return keyword in schema or any(_mentions(each, keyword) for each in schema.values())
    return isinstance(schema, list) and any(_mentions(each, keyword) for each in schema)


def _no_parallel_field(body: Json, issues: Issues) -> Refusal | None:
    if "parallel_tool_calls" not in body:
        return None
    return _openai(
        "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
        param="parallel_tool_calls",
        code="unsupported_parameter",
    )


def _no_null_content(body: Json, issues: Issues) -> Refusal | None:
    for place, message in enumerate(body["messages"]):
        if message.get("content") is None:
            detail = {
                "type": "string_type",
                "loc": ["body", "messages", place, "content"],
                "msg": "Input should be a valid string",
            }
            return Refusal(422, {"detail": [detail]})
    return None


def _no_system_role(body: Json, issues: Issues) -> Refusal | None:
    if body["messages"][0].get("role") not in ("system", "developer"):
        return None
    return _vllm("System role not supported")


def _no_developer_role(body: Json, issues: Issues) -> Refusal | None:
    if all(message.get("role") != "developer" for message in body["messages"]):
        return None
    return _openai(
        "developer is not one of ['system', 'assistant', 'user', 'tool', 'function'] - "
        "'messages.['0].role'"
    )


def _short_ids(body: Json, issues: Issues) -> Refusal | None:
    for _place, message in _assistants(body):
        for call in message["tool_calls"]:
            if not re.fullmatch(r"[a-zA-Z0-9]{9}", str(call.get("id"))):
                words = (
                    f"Tool call id was {call.get('id')} but must be a-z, A-Z, 0-9, with a length "
                    "of 9."
                )
                return _mistral(words, "invalid_function_call", "3280")
    return None


def _no_reasoning_back(body: Json, issues: Issues) -> Refusal | None:
    for place, message in enumerate(body["messages"]):
        for name in ("reasoning_content", "reasoning", "reasoning_details"):
            if name in message:
                return _openai(
                    f"'messages.{place}' : for 'role:assistant' the following must be satisfied"
                    f"[('messages.{place}' : property '{name}' is unsupported)]"
                )
    return None


_FIELDS = {
    "model", "messages", "tools", "tool_choice", "stream", "stream_options", "response_format",
    "max_tokens", "max_completion_tokens", "temperature", "reasoning_effort",
}  # fmt: skip
_MESSAGE_FIELDS = {"role", "content", "name", "tool_calls", "tool_call_id"}


def _no_unknown_fields(body: Json, issues: Issues) -> Refusal | None:
    for name in body:
        if name not in _FIELDS:
            return _pydantic(["body", name])
    for place, message in enumerate(body["messages"]):
        for name in message:
            if name not in _MESSAGE_FIELDS:
                return _pydantic(["body", "messages", place, name])
    return None


def _no_choice_none(body: Json, issues: Issues) -> Refusal | None:
    if body.get("tool_choice") != "none":
        return None
    words = (
        'Parameter validation failed: Unknown parameter in toolConfig.toolChoice: "none", must be '
        "one of: auto, any, tool"
    )
    error = {"message": words, "type": "None", "param": "None", "code": "400"}
    return Refusal(400, {"error": error})


def _no_auto_choice(body: Json, issues: Issues) -> Refusal | None:
    if not body.get("tools") or body.get("tool_choice") not in (None, "auto"):
        return None
    words = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    return _vllm(words)


def _no_response_format(body: Json, issues: Issues) -> Refusal | None:
    if "response_format" not in body:
        return None
    return _openai("This response_format type is unavailable now", code="invalid_request_error")


def _no_empty_content(body: Json, issues: Issues) -> Refusal | None:
    for place, message in _assistants(body):
        if message.get("content") == "":
            words = (
                "bedrock error: The content field in the Message object at "
                f"messages.{place} is empty. Add a ContentBlock object to the content field."
            )
            error = {"message": words, "type": None, "param": None, "code": None}
            return Refusal(400, {"error": error, "provider": "bedrock"})
    return None


def _alternating(body: Json, issues: Issues) -> Refusal | None:
    roles = [message.get("role") for message in body["messages"]]
    if ("user", "user") not in itertools.pairwise(roles):
        return None
    words = (
        "After the optional system message, conversation roles must alternate "
        "user/assistant/user/assistant/..."
    )
    return _vllm(words)


def _details_back(body: Json, issues: Issues) -> Refusal | None:
    for place, message in _assistants(body):
        expected = issues.details.get(str(message["tool_calls"][0].get("id")))
        if message.get("reasoning_details") != expected:
            return _openai(f"messages.{place}.content.0: Invalid `signature` in `thinking` block")
    return None


def _no_temperature(body: Json, issues: Issues) -> Refusal | None:
    if body.get("temperature") in (None, 1):
        return None
    return _openai(
        f"Unsupported value: 'temperature' does not support {body['temperature']} with this "
        "model. Only the default (1) value is supported.",
        param="temperature",
        code="unsupported_value",
    )


def _reasoning_item_back(body: Json, issues: Issues) -> Refusal | None:
    items = [item for item in body.get("input", ()) if isinstance(item, dict)]
    present = {item.get("id") for item in items if item.get("type") == "reasoning"}
    for item in items:
        needed = issues.items.get(str(item.get("call_id")))
        if item.get("type") == "function_call" and needed is not None and needed not in present:
            return _openai(
                f"Item '{item.get('id')}' of type 'function_call' was provided without its "
                f"required 'reasoning' item: '{needed}'.",
                param="input",
            )
    return None


_CHECKS: Mapping[Demand, Check] = {
    Demand.NO_NAMED_CHOICE: _no_named_choice,
    Demand.NO_OBJECT_CHOICE: _no_object_choice,
    Demand.NO_FORCED_CHOICE: _no_forced_choice,
    Demand.NO_TOOLS: _no_tools,
    Demand.NO_STREAM_OPTIONS: _no_stream_options,
    Demand.FORBIDDEN_STREAM_OPTIONS: _forbidden_stream_options,
    Demand.NO_USER_AFTER_TOOL: _no_user_after_tool,
    Demand.REASONING_BACK: _reasoning_back,
    Demand.SIGNATURE_BACK: _signature_back,
    Demand.TOOLS_WITH_CALLS: _tools_with_calls,
    Demand.TOOLS_WITHOUT_EFFORT: _tools_without_effort,
    Demand.OWN_IDS: _own_ids,
    Demand.TEXT_ARGUMENTS: _text_arguments,
    Demand.NO_SCHEMA_KEYWORDS: _no_schema_keywords,
    Demand.NO_PARALLEL_FIELD: _no_parallel_field,
    Demand.NO_NULL_CONTENT: _no_null_content,
    Demand.NO_SYSTEM_ROLE: _no_system_role,
    Demand.NO_DEVELOPER_ROLE: _no_developer_role,
    Demand.SHORT_IDS: _short_ids,
    Demand.NO_REASONING_BACK: _no_reasoning_back,
    Demand.NO_UNKNOWN_FIELDS: _no_unknown_fields,
    Demand.NO_CHOICE_NONE: _no_choice_none,
    Demand.NO_AUTO_CHOICE: _no_auto_choice,
    Demand.NO_RESPONSE_FORMAT: _no_response_format,
    Demand.NO_EMPTY_CONTENT: _no_empty_content,
    Demand.ALTERNATING: _alternating,
    Demand.DETAILS_BACK: _details_back,
    Demand.NO_TEMPERATURE: _no_temperature,
    Demand.REASONING_ITEM_BACK: _reasoning_item_back,
}
