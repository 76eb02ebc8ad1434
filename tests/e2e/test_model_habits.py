"""Whole runs against services with habits: each ends with the known decision, or says why not.

The service answers as the offline model does, so NVDA as of 2025-11-14 is a BUY. What the service
was asked shows that a habit was met in the richest way, and that nothing was paid for in vain.
"""

from collections.abc import Collection
from typing import Any

import pytest

from tests.model_service import Demand, Framing, Later, LoopbackService, Only, Wording
from tests.model_service.framings import ACCENT, THOUGHT
from tests.model_service.runs import CALLS, DEEP, Runs, name, run_once
from trading_graph.graph.decisions import Action, FinalDecision
from trading_graph.graph.options import ANALYSTS, DECIDERS

WITHOUT_COUNT = {Framing.NO_USAGE, Framing.NULL_USAGE, Demand.NO_STREAM_OPTIONS}
"""Services that do not tell how many tokens they charge for."""


def in_table_first(
    habits: type[Framing] | type[Demand], last: Framing | Demand, without: Collection[object] = ()
) -> list[Any]:
    """The habits; those after the last one of the table of facts belong to the long part."""
    known = list(habits)
    beyond = known[known.index(last) + 1 :]
    return [
        pytest.param(each, marks=pytest.mark.full if each in beyond else (), id=name(each))
        for each in known
        if each not in without
    ]


@pytest.mark.parametrize("framing", in_table_first(Framing, Framing.KEEP_ALIVES))
async def test_the_form_of_answers_changes_nothing(runs: Runs, framing: Framing) -> None:
    ran = await runs(LoopbackService(framing))
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS, "nothing was asked twice"
    assert ran.counts_tokens is (framing not in WITHOUT_COUNT)
    assert not any(THOUGHT in text or "think>" in text for text in ran.texts)
    assert not any(THOUGHT in text or "think>" in text for text in ran.prompts)


async def test_characters_of_many_bytes_survive_any_packets(runs: Runs) -> None:
    ran = await runs(LoopbackService(Framing.ACCENTS, Framing.SPLIT_BYTES))
    assert all(ACCENT in text for text in ran.texts)


IDS = [Framing.NO_IDS, Framing.EMPTY_IDS, Framing.SAME_IDS]


@pytest.mark.parametrize("framing", IDS, ids=name)
async def test_ids_are_made_up_where_the_service_has_none(runs: Runs, framing: Framing) -> None:
    own = Demand.OWN_IDS if framing is Framing.SAME_IDS else Demand.SHORT_IDS
    ran = await runs(LoopbackService(framing, Demand.OWN_IDS, own))
    assert ran.is_sound, ran.words
    assert not ran.record.refusals


@pytest.mark.parametrize(
    "framing", [Framing.OBJECT_ARGUMENTS, Framing.DOUBLE_ENCODED, Framing.PLACEHOLDER], ids=name
)
async def test_arguments_go_back_as_the_text_of_an_object(runs: Runs, framing: Framing) -> None:
    ran = await runs(LoopbackService(framing, Demand.TEXT_ARGUMENTS))
    assert ran.is_sound, ran.words
    assert not ran.record.refusals


RICHEST = {
    Demand.NO_NAMED_CHOICE: "required",
    Demand.NO_OBJECT_CHOICE: "required",
    Demand.NO_FORCED_CHOICE: "auto",
}
"""How a decision is asked for after the refusal."""

AT_ONCE = len(ANALYSTS)
"""So many requests are under way before the first refusal can teach anything."""


UNMET = {Demand.NO_TOOLS, Demand.NO_AUTO_CHOICE}
"""No analyst can work without tools that it may call: `test_model_failures.py` has these."""


@pytest.mark.parametrize("demand", in_table_first(Demand, Demand.TEXT_ARGUMENTS, UNMET))
async def test_what_a_service_wants_it_gets(runs: Runs, demand: Demand) -> None:
    ran = await runs(LoopbackService(demand))
    assert ran.is_sound, ran.words
    assert {each.habit for each in ran.record.refusals} <= {demand}
    assert len(ran.record.served) == CALLS
    assert ran.record.paid == CALLS
    assert ran.counts_tokens is (demand not in WITHOUT_COUNT)
    assert ran.counts_requests
    if demand in RICHEST:
        assert len(ran.record.refusals) == 1 + (demand is Demand.NO_FORCED_CHOICE)
        served = [each for each in ran.record.of(DECIDERS) if each.served]
        assert {each.choice for each in served} == {RICHEST[demand]}
    else:
        assert len(ran.record.refusals) <= AT_ONCE


DEEP_ONLY: dict[str, tuple[tuple[Demand, ...], set[str]]] = {
    "no tools": ((Demand.NO_TOOLS,), {"json_schema"}),
    "no tools, no schema": ((Demand.NO_TOOLS, Demand.NO_RESPONSE_FORMAT), {""}),
    "no tools, roles that alternate": (
        (Demand.NO_TOOLS, Demand.NO_RESPONSE_FORMAT, Demand.ALTERNATING, Demand.NO_SYSTEM_ROLE),
        {""},
    ),
    "no choice": ((Demand.NO_FORCED_CHOICE, Demand.NO_AUTO_CHOICE), {"json_schema", ""}),
}


@pytest.mark.parametrize("case", DEEP_ONLY)
async def test_a_deep_model_without_tools_decides_in_text(runs: Runs, case: str) -> None:
    demands, ways = DEEP_ONLY[case]
    ran = await runs(LoopbackService(*(Only(demand, DEEP) for demand in demands)))
    assert ran.is_sound, ran.words
    served = [each for each in ran.record.of(DECIDERS) if each.served]
    assert {each.choice for each in served} <= ways
    assert len(ran.record.refusals) <= 4, "it was learned"


async def test_no_step_is_taken_down_without_a_refusal(runs: Runs) -> None:
    ran = await runs(LoopbackService())
    assert not ran.record.refusals
    assert {each.choice for each in ran.record.of(DECIDERS)} == {"named"}
    assert all("stream_options" in each.body for each in ran.record)


async def test_a_second_run_knows_what_the_first_has_learned(runs: Runs) -> None:
    service = LoopbackService(Demand.NO_NAMED_CHOICE, Demand.NO_STREAM_OPTIONS)
    async with runs.engine(service) as engine:
        first = await run_once(engine, service)
        learned = len(service.record.refusals)
        second = await run_once(engine, service)
    assert first.is_sound, first.words
    assert second.is_sound, second.words
    assert 2 <= learned == len(service.record.refusals)


async def test_a_service_that_changes_its_mind_in_the_middle_is_followed(runs: Runs) -> None:
    ran = await runs(LoopbackService(Later(Demand.NO_STREAM_OPTIONS, 6)))
    assert ran.is_sound, ran.words
    ran = await runs(LoopbackService(Later(Demand.NO_NAMED_CHOICE, CALLS)))
    assert ran.is_sound, ran.words
    assert [each.choice for each in ran.record.of("risk_judge")] == ["named", "required"]
    assert [each.choice for each in ran.record.of("trader")] == ["named"]
    ran = await runs(LoopbackService(Later(Framing.NO_INDEX, 3), Later(Framing.NO_FINISH, 9)))
    assert ran.is_sound, ran.words


SERVICES: dict[str, tuple[Demand | Framing, ...]] = {
    "DeepSeek": (Demand.NO_NAMED_CHOICE, Demand.REASONING_BACK, Framing.REASONING),
    "DeepSeek, thinking only": (Demand.NO_FORCED_CHOICE, Demand.REASONING_BACK),
    "Mistral": (
        Demand.NO_USER_AFTER_TOOL,
        Demand.FORBIDDEN_STREAM_OPTIONS,
        Demand.SHORT_IDS,
        Framing.CONTENT_PARTS,
    ),
    "Gemini": (
        Demand.SIGNATURE_BACK,
        Framing.NO_INDEX,
        Framing.FINISH_STOP,
    ),
    "Gemini behind a gateway": (
        Demand.SIGNATURE_BACK,
        Demand.NO_SCHEMA_KEYWORDS,
        Framing.PLACEHOLDER,
        Framing.FINISH_UPPER,
        Framing.NO_FINISH,
    ),
    "LM Studio": (Demand.NO_OBJECT_CHOICE, Framing.THINK),
    "Qwen behind LM Studio": (
        Demand.NO_OBJECT_CHOICE,
        Framing.CALLS_AS_TEXT,
        Framing.THINK,
        Framing.PREAMBLE,
    ),
    "Bedrock behind LiteLLM": (Demand.TOOLS_WITH_CALLS, Framing.MODEL_PREFIX),
    "Bedrock": (Demand.TOOLS_WITH_CALLS, Demand.NO_CHOICE_NONE, Demand.NO_EMPTY_CONTENT),
    "Claude behind OpenRouter": (Demand.DETAILS_BACK, Framing.PREAMBLE, Framing.KEEP_ALIVES),
    "Databricks": (Demand.NO_STREAM_OPTIONS, Framing.NO_DONE),
    "Ollama": (
        Demand.NO_REASONING_BACK,
        Framing.REASONING_SHORT,
        Framing.CUMULATIVE_USAGE,
        Framing.FINISH_STOP,
    ),
    "vLLM": (Framing.CUMULATIVE_USAGE, Framing.NO_FINISH, Framing.THINK_UNOPENED),
    "llama.cpp": (Framing.OBJECT_ARGUMENTS, Framing.NO_IDS, Demand.OWN_IDS, Framing.REASONING),
    "Groq": (Demand.NO_REASONING_BACK, Framing.REASONING_SHORT),
    "OpenAI, pro": (Demand.RESPONSES_ONLY, Demand.REASONING_ITEM_BACK),
    "OpenAI, gpt-5.6": (Demand.TOOLS_WITHOUT_EFFORT, Demand.NO_TEMPERATURE),
    "OpenRouter": (Framing.KEEP_ALIVES, Framing.REASONING_SHORT, Framing.CHOICES_EMPTY_FIRST),
    "Azure": (Framing.CHOICES_EMPTY_FIRST, Framing.NO_DELTA),
    "SGLang": (Framing.NULL_FIELDS, Framing.FINISH_STOP, Framing.SPLIT_BYTES),
    "a strict gateway": (
        Demand.NO_UNKNOWN_FIELDS,
        Demand.NO_STREAM_OPTIONS,
        Demand.OWN_IDS,
        Demand.TEXT_ARGUMENTS,
    ),
}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_with_several_habits_serves(runs: Runs, service: str) -> None:
    ran = await runs(LoopbackService(*SERVICES[service]))
    assert ran.is_sound, ran.words
    assert ran.record.paid == len(ran.record.served) == CALLS
    assert ran.counts_tokens is WITHOUT_COUNT.isdisjoint(SERVICES[service])
    assert not any(THOUGHT in text for text in (*ran.texts, *ran.prompts))


READABLE = [
    Wording.TITLE_CASE,
    Wording.SPACED,
    Wording.EXTRA_FIELD,
    Wording.PERCENT_TEXT,
    Wording.PERCENT_NUMBER,
    Wording.CURRENCY,
    Wording.LIST_AS_TEXT,
    Wording.LIST_AS_LINES,
    Wording.NO_EVIDENCE,
    Wording.FENCED,
    Wording.BARE,
    Wording.TOOL_CALL_TEXT,
    Wording.PREFIXED_NAME,
]


PLAIN: list[FinalDecision] = []
"""The decision as it is read when it is written plainly, once one was made."""


@pytest.mark.parametrize("wording", READABLE, ids=name)
async def test_a_decision_is_read_however_it_is_written(runs: Runs, wording: Wording) -> None:
    ran = await runs(LoopbackService(wording))
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS, "nothing was asked twice"
    if not PLAIN:
        PLAIN.append((await runs(LoopbackService())).made.decision.decision)
    mine, theirs = ran.made.decision.decision, PLAIN[0]
    assert mine.confidence == pytest.approx(theirs.confidence, abs=0.005)
    assert (mine.entry, mine.stop, mine.target) == pytest.approx(
        (theirs.entry, theirs.stop, theirs.target), abs=0.01
    )


async def test_a_hold_needs_no_levels(runs: Runs) -> None:
    ran = await runs(LoopbackService(Wording.HOLD_WITHOUT_LEVELS))
    assert ran.action is Action.HOLD
    assert not ran.made.decision.degraded, ran.words
    assert ran.made.decision.decision.confidence > 0, "the model's own"
    assert len(ran.record) == CALLS


async def test_a_decision_is_asked_for_once_more(runs: Runs) -> None:
    ran = await runs(LoopbackService(Wording.PROSE_ONCE))
    assert ran.is_sound, ran.words
    assert [len(ran.record.of(agent)) for agent in DECIDERS] == [2, 2, 2]
    assert ran.counts_tokens


@pytest.mark.parametrize(
    "wording",
    [
        Wording.PROSE,
        Wording.NONSENSE,
        Wording.UNDECIDED,
        Wording.NEGATED,
        Wording.FOREIGN_ACTION,
        Wording.NOT_A_NUMBER,
    ],
    ids=name,
)
async def test_what_nobody_can_read_is_a_marked_hold(runs: Runs, wording: Wording) -> None:
    ran = await runs(LoopbackService(wording))
    decision = ran.made.decision
    assert ran.action is Action.HOLD
    assert decision.degraded
    assert decision.warnings
    assert not any(report.missing for report in ran.made.reports)
    assert all(len(ran.record.of(agent)) <= 2 for agent in DECIDERS)
    assert ran.counts_tokens, "what was refused was paid for"
    assert ran.report.count("Score:") >= len(ANALYSTS)
