"""What `doctor` says of the models: which profile serves, what was learned, and what they can do.

With `--model` each model is asked three small questions, as the agents ask: for a text; for a call
of a tool, whose answer goes back to it; and for a structured answer. They cost what four short
requests cost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from opentelemetry.trace import INVALID_SPAN
from pydantic import BaseModel, Field

from trading_graph.graph.backend_choice import ModelService
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.capabilities import Api, Forcing
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.memory import Memory
from trading_graph.graph.chat.models import Model, build_models, function_schema
from trading_graph.graph.chat.profiles import profile_for
from trading_graph.graph.errors import AnalysisError
from trading_graph.graph.options import Budget
from trading_graph.service.commands.doctor_document import SetupFinding, SetupState
from trading_graph.toolkit.errors import BadRequestError


class _Place(BaseModel):
    place: str = Field(description="The name of a town.")


class Weather(BaseModel):
    """Your answer: the weather in one word."""

    word: str = Field(description="One word.")


_TOOL = function_schema("get_weather", "The weather at a place.", _Place)
_SYSTEM = SystemMessage("You answer in as few words as you can.")
_WAYS = {
    Forcing.NAMED: "by a tool that is named",
    Forcing.REQUIRED: "by a tool that is required",
    Forcing.AUTO: "by a tool that the prompt asks for",
    Forcing.JSON_SCHEMA: "as JSON by a schema",
    Forcing.JSON_TEXT: "as JSON in the text",
}


def names(service: ModelService) -> list[str]:
    """The models of a service, each once."""
    return list(dict.fromkeys((service.quick, service.deep)))


def profile_findings(service: ModelService) -> Iterator[SetupFinding]:
    """What is known of the models without asking them."""
    for name in names(service):
        profile = profile_for(service.base_url, name)
        page = f", {profile.page} as of {profile.read_on}" if profile.page else ""
        yield _ok(f"profile of {name}", f"{profile.name}{page}")
        lesson = Memory(service.memory).recall(service.address, name)
        if lesson is None or not lesson.changes:
            yield SetupFinding(
                check=f"learned of {name}", state=SetupState.OFF, found="nothing was refused yet"
            )
        else:
            day = time.strftime("%Y-%m-%d", time.localtime(lesson.learned))
            yield _ok(f"learned of {name}", f"{'; '.join(lesson.reasons)} ({day})")


def forget(service: ModelService) -> Iterator[SetupFinding]:
    """Forget what was learned of the models."""
    memory = Memory(service.memory)
    for name in names(service):
        is_gone = memory.forget(service.address, name)
        yield _ok(f"learned of {name}", "forgotten" if is_gone else "there was nothing to forget")


def ask(service: ModelService) -> list[SetupFinding]:
    """Ask each model the three questions; blocks."""
    return asyncio.run(_ask(service))


async def _ask(service: ModelService) -> list[SetupFinding]:
    try:
        models = await asyncio.to_thread(build_models, service)
    except BadRequestError as error:
        return [_red("model", error)]
    try:
        each = dict.fromkeys((models.quick, models.deep))
        return [finding for model in each for finding in await _questions(model)]
    finally:
        await models.aclose()


async def _questions(model: Model) -> list[SetupFinding]:
    questions: tuple[tuple[str, Callable[[Model], Awaitable[str]]], ...] = (
        ("text", _text),
        ("tool call", _tool_call),
        ("structured answer", _structured_answer),
    )
    findings = []
    for name, question in questions:
        try:
            findings.append(_ok(f"{model.name}: {name}", await question(model)))
        except AnalysisError as error:
            findings.append(_red(f"{model.name}: {name}", error))
    findings += [_ok(f"{model.name}: refused", reason) for reason in model.learning.reasons]
    return findings


async def _text(model: Model) -> str:
    start = time.monotonic()
    answer = await _call(model, [_SYSTEM, HumanMessage("Say: ready")], Offer())
    tokens = answer.usage_metadata
    count = f"{tokens['total_tokens']} tokens" if tokens else "no tokens reported"
    now = model.learning.current
    api = "Responses API" if now.api is Api.RESPONSES else "chat/completions"
    streamed = "streamed" if now.stream else "not streamed"
    return f"answers by {api}, {streamed}, in {time.monotonic() - start:.1f} s, {count}"


async def _tool_call(model: Model) -> str:
    request = HumanMessage("What is the weather in Oslo? Call get_weather first.")
    messages: list[BaseMessage] = [_SYSTEM, request]
    first = await _call(model, messages, Offer([_TOOL]))
    if not first.tool_calls:
        return "answers without calling the tool that it was told to call: analysts need it"
    answers = [ToolMessage("rain", tool_call_id=call["id"] or "") for call in first.tool_calls]
    await _call(model, [*messages, first, *answers], Offer([_TOOL], withheld=True))
    back = sorted(name for name in first.additional_kwargs if name != "refusal")
    also = f", and {', '.join(back)} with them" if back else ""
    return f"calls tools, and takes their answers back{also}"


async def _structured_answer(model: Model) -> str:
    function = function_schema(Weather.__name__, Weather.__doc__ or "", Weather)
    messages = [_SYSTEM, HumanMessage("It rains. What is the weather?")]
    answer = await _call(model, messages, Offer(answer=function))
    way = _WAYS[model.learning.current.forcing]
    called = any(call["name"] == Weather.__name__ for call in answer.tool_calls)
    return f"given {way}" if called else f"asked for {way}, and given as text"


async def _call(model: Model, messages: list[Any], offer: Offer) -> Any:
    spending = Spending(Budget(), INVALID_SPAN)
    return await converse(model, messages, agent="doctor", turn=1, spending=spending, offer=offer)


def _ok(check: str, found: str) -> SetupFinding:
    return SetupFinding(check=check, state=SetupState.OK, found=found)


def _red(check: str, error: Exception) -> SetupFinding:
    # Every sentence of ours ends with what to do.
    found, _, advice = str(error).removeprefix("doctor: ").rstrip(".").rpartition("; ")
    return SetupFinding(
        check=check, state=SetupState.RED, found=found or advice, advice=advice if found else None
    )
