"""What a span is and says, in the vocabularies that instrumentations use; one module for each.

A vocabulary is known by its documented attributes alone: no name of a span, of its scope or of a
framework counts. Every function here is pure over the attributes of one span, quick where the
vocabulary is absent, and accepts whatever values a foreign trace holds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trading_graph.otel.vocabularies import (
    langfuse,
    langgraph,
    logfire,
    openinference,
    openllmetry,
    trading,
    witness,
)
from trading_graph.otel.vocabularies.agentops import AGENTOPS
from trading_graph.otel.vocabularies.langfuse import LANGFUSE
from trading_graph.otel.vocabularies.langgraph import GraphTask, graph_task
from trading_graph.otel.vocabularies.langsmith import LANGSMITH
from trading_graph.otel.vocabularies.language import Language, language
from trading_graph.otel.vocabularies.logfire import LOGFIRE
from trading_graph.otel.vocabularies.messages import Calls, read_calls
from trading_graph.otel.vocabularies.mlflow import MLFLOW
from trading_graph.otel.vocabularies.openinference import OPENINFERENCE
from trading_graph.otel.vocabularies.openllmetry import OPENLLMETRY
from trading_graph.otel.vocabularies.sampling import is_sampled
from trading_graph.otel.vocabularies.semantic_conventions import (
    DATABASES,
    GENAI,
    HTTP,
    MCP,
    MESSAGING,
    RPC,
    http_status,
    resend_count,
)
from trading_graph.otel.vocabularies.trading import TRADING
from trading_graph.otel.vocabularies.values import (
    Attributes,
    canonical,
    finite,
    first_number,
    first_text,
    first_whole,
)
from trading_graph.otel.vocabularies.vercel_ai import VERCEL_AI
from trading_graph.otel.vocabularies.vocabulary import Figure, Reader, Role, RoleReader, Vocabulary

__all__ = [
    "Answer",
    "Attributes",
    "Figure",
    "GraphTask",
    "Language",
    "Reader",
    "Role",
    "ToolCall",
    "ToolRequests",
    "Usage",
    "agent_name",
    "answer",
    "arguments",
    "call_id",
    "finite",
    "graph_task",
    "http_status",
    "is_sampled",
    "language",
    "resend_count",
    "role",
    "roles",
    "session",
    "tokens",
    "tool_call",
    "tool_requests",
    "usage",
    "witness",
]


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool: its name, the id that the LLM gave it, and its arguments.

    Equal arguments are equal texts: JSON with sorted keys, or a hash where only that is recorded.
    """

    name: str | None
    id: str | None
    arguments: str | None


class ToolRequests(msgspec.Struct, frozen=True):
    """The tool calls that an LLM's answer asks for: their ids where it gives them, their number.

    The number is None where the answer's content is not recorded.
    """

    ids: tuple[str, ...]
    count: int | None


class Answer(msgspec.Struct, frozen=True):
    """What is recorded of an LLM's answer.

    `call_ids` are the ids of the tool calls that it asks for, `call_count` is their number: None
    where the answer's content is not recorded. `is_given` says that there is any sign of an
    answer: tokens, the id or model of a response, a reason to finish, or messages.
    """

    call_ids: tuple[str, ...]
    call_count: int | None
    is_given: bool


class Usage(msgspec.Struct, frozen=True):
    """What a call of a model took; None for what is not recorded.

    `first_token_s` is the time to the first token in seconds. Where its moment is recorded
    instead, `first_token_ns` is that, in nanoseconds since the epoch.
    """

    input_tokens: int | None
    output_tokens: int | None
    model: str | None
    first_token_s: float | None
    first_token_ns: int | None


# An earlier vocabulary counts where two describe one span. Those that say what a span is by its
# attribute's value stand before signs. OpenLLMetry calls a workflow invoke_agent in GenAI's words;
# our own agents are chains in LangSmith's. A query of a database may be a call over RPC or HTTP.
_VOCABULARIES = (
    TRADING,
    VERCEL_AI,
    OPENINFERENCE,
    OPENLLMETRY,
    GENAI,
    MCP,
    LANGSMITH,
    LANGFUSE,
    MLFLOW,
    LOGFIRE,
    AGENTOPS,
    DATABASES,
    MESSAGING,
    RPC,
    HTTP,
)


def _keys(of: Callable[[Vocabulary], Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for each in _VOCABULARIES for key in of(each)))


_ROLES: Sequence[tuple[str, RoleReader]] = [
    *(item for each in _VOCABULARIES for item in each.kinds.items()),
    *(item for each in _VOCABULARIES for item in each.signs.items()),
]
_AGENT_NAMES = tuple(
    # GenAI's name of an agent is its name alone; others may give an id.
    dict.fromkeys((*GENAI.agent_names, *_keys(lambda each: each.agent_names)))
)
_TOOL_NAMES = _keys(lambda each: each.tool_names)
_CALL_IDS = _keys(lambda each: each.call_ids)
_ARGUMENTS = _keys(lambda each: each.arguments)
_ANSWERS = _keys(lambda each: each.answers)
_ANSWER_SIGNS = frozenset(_keys(lambda each: each.answer_signs))
_INPUT_TOKENS = _keys(lambda each: each.input_tokens)
_OUTPUT_TOKENS = _keys(lambda each: each.output_tokens)
_MODELS = _keys(lambda each: each.models)
_FIRST_TOKEN_S = _keys(lambda each: each.first_token_s)
_FIRST_TOKEN_MS = _keys(lambda each: each.first_token_ms)
_SESSIONS = _keys(lambda each: each.sessions)


def role(attributes: Attributes) -> Role:
    """The role of a span with these attributes; OTHER where they do not say."""
    return _role(attributes, [read for key, read in _ROLES if key in attributes])


def roles(
    spans: Sequence[Attributes], alike: Mapping[tuple[str, ...], Sequence[int]]
) -> tuple[Role, ...]:
    """The role of each of many spans; `alike` has the rows of those with the same attributes."""
    role_of = [Role.OTHER] * len(spans)
    keys = set[str]().union(*alike)
    known = [(key, read) for key, read in _ROLES if key in keys]
    for names, rows in alike.items():
        if readers := [read for key, read in known if key in names]:
            for row in rows:
                role_of[row] = _role(spans[row], readers)
    return tuple(role_of)


def _role(attributes: Attributes, readers: Sequence[RoleReader]) -> Role:
    for read in readers:
        if (role := read(attributes)) is not None:
            return role
    return Role.OTHER


def agent_name(attributes: Attributes) -> str | None:
    """The name of the agent that a span belongs to, or None."""
    if name := first_text(attributes, _AGENT_NAMES):
        return name
    if name := openllmetry.agent_name(attributes) or logfire.agent_name(attributes):
        return name
    task = graph_task(attributes)
    return task.node if task else None


def tool_call(attributes: Attributes) -> ToolCall:
    """What a tool's span says of the call."""
    name = first_text(attributes, _TOOL_NAMES) or logfire.tool_fields(attributes)[0]
    return ToolCall(name, call_id(attributes), arguments(attributes))


def _arguments(attributes: Attributes) -> str | None:
    text, _ = openllmetry.tool_input(attributes)
    if text is not None:
        return text
    for key in _ARGUMENTS:
        if key in attributes and (text := canonical(attributes[key])) is not None:
            return text
    _, fields = logfire.tool_fields(attributes)
    return canonical(fields) or first_text(attributes, (trading.TOOL_ARGS_HASH,))


arguments = Reader(
    _arguments, {*_ARGUMENTS, openllmetry.INPUT, logfire.SIGN, trading.TOOL_ARGS_HASH}, None
)
"""The arguments of a tool call as text; None where they are not recorded."""


def _call_id(attributes: Attributes) -> str | None:
    return (
        first_text(attributes, _CALL_IDS)
        or openllmetry.tool_input(attributes)[1]
        or openinference.call_id(attributes)
    )


call_id = Reader(_call_id, {*_CALL_IDS, openllmetry.INPUT, openinference.OUTPUT}, None)
"""The id that the LLM gave to a tool call, or None."""


def _answer(attributes: Attributes) -> Answer:
    requests = tool_requests(attributes)
    is_given = requests.count is not None or any(
        _says(attributes[key]) for key in _ANSWER_SIGNS.intersection(attributes)
    )
    return Answer(requests.ids, requests.count, is_given)


def _tool_requests(attributes: Attributes) -> ToolRequests:
    calls = Calls()
    is_read = openinference.MESSAGES.read_calls(
        attributes, calls
    ) | openllmetry.MESSAGES.read_calls(attributes, calls)
    for key in _ANSWERS:
        if key in attributes:
            is_read |= read_calls(attributes[key], calls)
    is_read |= read_calls(logfire.answer_of(attributes), calls)
    return ToolRequests(calls.ids, calls.count if is_read else None)


_ANSWER_CONTENT = frozenset(
    {*openinference.MESSAGES.first, *openllmetry.MESSAGES.first, *_ANSWERS, logfire.SIGN}
)


tool_requests = Reader(_tool_requests, _ANSWER_CONTENT, ToolRequests((), None))
"""The tool calls that an LLM's answer asks for."""

answer = Reader(_answer, _ANSWER_CONTENT | _ANSWER_SIGNS, Answer((), None, False))
"""What an LLM's span says of the answer."""


def _says(value: object) -> bool:
    """Whether a value is no zero and not empty."""
    return value not in (None, "", 0, "0", [], ())


def usage(attributes: Attributes) -> Usage:
    """What a span says of the model, its tokens and the first of them."""
    model = first_text(attributes, _MODELS)
    return Usage(*tokens(attributes), model, *first_token(attributes))


def _first_token(attributes: Attributes) -> tuple[float | None, int | None]:
    first_token_s = first_number(attributes, _FIRST_TOKEN_S)
    if first_token_s is None:
        milliseconds = first_number(attributes, _FIRST_TOKEN_MS)
        first_token_s = None if milliseconds is None else milliseconds / 1e3
    return first_token_s, langfuse.first_token_ns(attributes)


first_token = Reader[tuple[float | None, int | None]](
    _first_token, {*_FIRST_TOKEN_S, *_FIRST_TOKEN_MS, langfuse.FIRST_TOKEN}, (None, None)
)
"""When an answer's first token came: seconds after the start, and nanoseconds since the epoch."""


def tokens(attributes: Attributes) -> tuple[int | None, int | None]:
    """The tokens that a span says a model read and wrote."""
    tokens_in = first_whole(attributes, _INPUT_TOKENS)
    tokens_out = first_whole(attributes, _OUTPUT_TOKENS)
    if tokens_in is None and tokens_out is None:
        return langfuse.tokens(attributes)
    return tokens_in, tokens_out


def session(attributes: Attributes) -> str | None:
    """The session, thread or conversation that a span belongs to, or None."""
    return (
        first_text(attributes, _SESSIONS)
        or langgraph.thread(attributes)
        or logfire.session(attributes)
    )
