"""Asking a deciding agent for a structured answer, and asking once more when it cannot be used.

By function calling, which every OpenAI-compatible service has; its streamed `json_schema` mode
imports hundreds of modules on the event loop at first use (390-625 ms measured).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pydantic
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from trading_graph.graph import prompts
from trading_graph.graph.chat import converse
from trading_graph.graph.context import RunContext
from trading_graph.graph.errors import BadModelAnswer
from trading_graph.graph.models import function_schema, with_tools
from trading_graph.graph.tool_calls import problems, requested

AnswerT = TypeVar("AnswerT", bound=pydantic.BaseModel)

ASKS = 2
"""How often a deciding agent is asked at most."""


@dataclass(frozen=True, slots=True)
class Decided(Generic[AnswerT]):
    """A structured answer; `objection` is what is still wrong with it, if anything."""

    answer: AnswerT
    objection: str | None


async def decide(
    agent: str,
    schema: type[AnswerT],
    blocks: Sequence[str],
    context: RunContext,
    check: Callable[[AnswerT], str | None] = lambda _: None,
) -> Decided[AnswerT]:
    """Ask for an answer in the schema's form.

    `check` says what is wrong with a well-formed answer, or None. An answer that is refused twice
    is returned with its objection if it is well-formed, and raises BadModelAnswer if it is not.
    """
    service = context.models.service
    function = function_schema(schema.__name__, schema.__doc__ or "", schema)
    model = with_tools(context.models.deep, [function], choice=schema.__name__)
    messages = prompts.decision_messages(agent, context.options, blocks)
    answer: AnswerT | None = None
    objection: str | None = None
    for turn in range(1, ASKS + 1):
        replied = await converse(
            model,
            messages,
            name=service.deep,
            service=service,
            agent=agent,
            turn=turn,
            spending=context.spending,
        )
        parsed, objection = _parse(replied, schema)
        if parsed is not None:
            answer, objection = parsed, check(parsed)
        if objection is None:
            break
        messages = [*messages, *_refused(replied, objection)]
    if answer is None:
        raise BadModelAnswer(
            f"{agent}: model {service.deep} did not give a usable {schema.__name__} in {ASKS} "
            f"attempts ({objection}); run it again or set TRADING_GRAPH_DEEP_MODEL to a model that "
            "follows schemas."
        )
    return Decided(answer, objection)


def _parse(message: AIMessage, schema: type[AnswerT]) -> tuple[AnswerT | None, str | None]:
    calls = [call for call in requested(message) if call.name == schema.__name__]
    if not calls:
        return None, f"the answer does not call {schema.__name__}"
    arguments = calls[0].arguments
    if isinstance(arguments, str):
        return None, "the arguments are not valid JSON"
    try:
        # Lax on purpose: models write 30.0 for 30 and "BUY" for the enum.
        return schema.model_validate(arguments), None
    except pydantic.ValidationError as error:
        return None, problems(error)


def _refused(message: AIMessage, objection: str) -> list[BaseMessage]:
    # Services refuse a conversation in which a tool call has no answer.
    answers = [
        ToolMessage("refused", tool_call_id=call.id, name=call.name, status="error")
        for call in requested(message)
    ]
    return [message, *answers, prompts.problem(objection)]
