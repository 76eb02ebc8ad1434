"""A conversation that is too long loses most where it is longest, once, and says so."""

import random

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from opentelemetry.trace import INVALID_SPAN

from tests.graph.chat.scripted_service import Answer, Json, ask, refuse, serving, text
from trading_graph.graph.budget import Spending
from trading_graph.graph.chat.shortening import shorten
from trading_graph.graph.errors import ModelRefusalError
from trading_graph.graph.options import Budget


def report(agent: str, length: int) -> str:
    return f'<report agent="{agent}">{"x" * length}</report>'


def test_the_longest_passages_are_cut_and_nothing_else() -> None:
    head = "Symbol: NVDA\n\n"
    messages = [
        SystemMessage("s" * 900),
        HumanMessage(head + report("a", 5000) + "\n" + report("b", 300) + "\n" + report("c", 4000)),
        AIMessage("t" * 500),
        ToolMessage("r" * 6000, tool_call_id="1"),
    ]
    shorter = shorten(messages)
    assert shorter is not None
    assert shorter.passages == 3
    assert [shorter.messages[0], shorter.messages[2]] == [messages[0], messages[2]]
    body = shorter.messages[1].text
    assert body.startswith(head)
    assert report("b", 300) in body
    assert body.count("[shortened]</report>") == 2
    assert shorter.messages[3].text.endswith("[shortened]")


@pytest.mark.parametrize("seed", range(20))
def test_about_half_is_left_if_passages_are_long(seed: int) -> None:
    chance = random.Random(seed)
    lengths = [chance.randint(1, 20_000) for _ in range(chance.randint(1, 9))]
    message = HumanMessage("".join(report(str(i), each) for i, each in enumerate(lengths)))
    shorter = shorten([message])
    if shorter is None:
        assert max(lengths) <= 200
        return
    left = len(shorter.messages[0].text)
    assert left <= max(len(message.text) * 0.6, 300 * len(lengths))


def test_what_has_no_passages_stays() -> None:
    assert shorten([SystemMessage("s" * 9000), HumanMessage("u" * 9000)]) is None
    assert shorten([HumanMessage(report("a", 10))]) is None


async def test_it_is_done_once_and_said() -> None:
    def script(path: str, body: Json) -> Answer:
        if len(body["messages"][0]["content"]) > limit:
            return refuse("This model's maximum context length is 8192 tokens.")
        return text()

    conversation = [HumanMessage(report("a", 9000))]
    spending = Spending(Budget(), INVALID_SPAN)
    async with serving(script) as (service, models):
        limit = 6000
        await ask(models, conversation, spending=spending)
        (note,) = spending.claim_notes("trader")
        assert "its 1 longest passage was shortened" in note
        limit = 100
        with pytest.raises(ModelRefusalError, match="maximum context length"):
            await ask(models, conversation, spending=spending)
    assert len(service.requests) == 4
