"""Whole runs against services that fail, limit or refuse: the run goes on, or says why it ended."""

import pytest

from tests.model_service import (
    Demand,
    Failing,
    Failure,
    Framing,
    LoopbackService,
    Pace,
    RateLimit,
)
from tests.model_service.reading import prompt_characters
from tests.model_service.runs import CALLS, DEEP, KEY, QUICK, Runs, name
from trading_graph.graph.backend_choice import TimeLimits
from trading_graph.graph.decisions import Action
from trading_graph.graph.errors import ModelRefusalError
from trading_graph.graph.options import ANALYSTS

ALWAYS = None

WAITS = [
    Failure.RATE_SECONDS,
    Failure.RATE_DATE,
    Failure.RATE_MS,
    Failure.RATE_RESET,
    Failure.RATE_BARE,
    Failure.RATE_BODY,
    Failure.OVERLOADED,
    Failure.SERVER_ERROR,
    Failure.BAD_GATEWAY,
]


@pytest.mark.parametrize("failure", WAITS, ids=name)
async def test_a_service_that_wants_us_to_wait_is_waited_for(runs: Runs, failure: Failure) -> None:
    ran = await runs(LoopbackService(failings=[Failing(failure, "trader", wait_s=0.3)]))
    assert ran.is_sound, ran.words
    assert [each.status for each in ran.record.of("trader")][1:] == [200]
    assert not any(each.early for each in ran.record)
    assert ran.counts_requests


async def test_a_free_tier_serves_a_whole_run(runs: Runs) -> None:
    ran = await runs(LoopbackService(limit=RateLimit(5, 0.8)))
    assert ran.is_sound, ran.words
    assert len(ran.record.served) == CALLS
    assert not any(each.early for each in ran.record)


async def test_a_wait_that_is_longer_than_the_budget_is_told_and_not_waited_for(
    runs: Runs,
) -> None:
    failing = Failing(Failure.RATE_SECONDS, times=ALWAYS, wait_s=3600)
    ran = await runs(LoopbackService(failings=[failing]))
    assert ran.error is not None
    assert "Rate limit reached" in ran.words
    assert ran.says_one_sentence
    assert len(ran.record) <= len(ANALYSTS)


TOLD = {
    Failure.QUOTA: "exceeded your current quota",
    Failure.BALANCE: "Insufficient Balance",
    Failure.UNKNOWN_MODEL: "does not exist or you do not have access",
    Failure.WRONG_KEY: "Incorrect API key provided",
    Failure.NO_ACCESS: "does not have access to model",
    Failure.REGION: "Country, region, or territory not supported",
}


@pytest.mark.parametrize("failure", TOLD, ids=name)
async def test_a_refusal_for_good_is_told_in_the_services_words(
    runs: Runs, failure: Failure
) -> None:
    ran = await runs(LoopbackService(failings=[Failing(failure, times=ALWAYS)]))
    assert isinstance(ran.error, ModelRefusalError)
    assert TOLD[failure] in ran.words
    assert KEY not in ran.words
    assert ran.says_one_sentence
    assert QUICK in ran.words
    assert len(ran.record) <= len(ANALYSTS), "it is not asked again"


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand.NO_TOOLS, "does not support tools"),
        (Demand.NO_AUTO_CHOICE, "requires --enable-auto-tool-choice"),
    ],
    ids=["no_tools", "no_auto_choice"],
)
async def test_a_model_without_tools_says_so(runs: Runs, demand: Demand, words: str) -> None:
    ran = await runs(LoopbackService(demand))
    assert words in ran.words
    assert len(ran.record) <= 2 * len(ANALYSTS)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(each, marks=() if each is Failure.BALANCE else pytest.mark.full, id=name(each))
        for each in TOLD
    ],
)
async def test_a_refusal_in_the_middle_keeps_the_reports(runs: Runs, failure: Failure) -> None:
    failing = Failing(failure, "research_manager", times=ALWAYS)
    ran = await runs(LoopbackService(failings=[failing]))
    said = ran.words
    assert TOLD[failure] in said
    assert KEY not in said
    assert DEEP in said
    assert "Score:" in ran.report
    assert len(ran.record.of("research_manager")) == 1


LOST = [
    Failure.CUT,
    Failure.HALF,
    Failure.ERROR_IN_STREAM,
    Failure.EMPTY,
    Failure.PLAIN_TEXT,
    Failure.EMPTY_BODY,
    Failure.ERROR_WITH_200,
]
IN_TURN = [
    (failure, ("news_analyst", "risk_judge", "bull_researcher")[n % 3])
    for n, failure in enumerate(LOST)
]


@pytest.mark.parametrize(("failure", "agent"), IN_TURN, ids=[name(each) for each in LOST])
async def test_a_broken_answer_is_asked_for_again(runs: Runs, failure: Failure, agent: str) -> None:
    ran = await runs(LoopbackService(failings=[Failing(failure, agent)]))
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS + 1
    assert ran.counts_requests


async def test_usage_at_the_front_makes_no_half_answer_whole(runs: Runs) -> None:
    failing = Failing(Failure.HALF, "bull_researcher")
    ran = await runs(LoopbackService(Framing.CHOICES_EMPTY_FIRST, failings=[failing]))
    assert len(ran.record.of("bull_researcher")) == 2
    ran = await runs(LoopbackService(Framing.CUMULATIVE_USAGE, failings=[failing]))
    assert len(ran.record.of("bull_researcher")) == 2


async def test_an_answer_cut_at_the_limit_of_tokens_is_said(runs: Runs) -> None:
    failing = Failing(Failure.LENGTH, "news_analyst", times=ALWAYS)
    ran = await runs(LoopbackService(failings=[failing]))
    assert ran.made.decision.missing_reports == ["news_analyst"]
    assert "limit of tokens" in ran.words
    assert len(ran.record.of("news_analyst")) == 1, "it would be cut off again"
    failing = Failing(Failure.LENGTH, "research_manager", times=ALWAYS)
    ran = await runs(LoopbackService(Demand.RESPONSES_ONLY, failings=[failing]))
    assert "limit of tokens" in ran.words
    assert len([each for each in ran.record.of("research_manager") if each.served]) <= 1


NO_ANSWER = [Failure.HTML, Failure.NULLS, Failure.EMPTY_BODY, Failure.ERROR_WITH_200]


@pytest.mark.parametrize("failure", NO_ANSWER, ids=name)
async def test_what_is_no_answer_is_one_sentence(runs: Runs, failure: Failure) -> None:
    ran = await runs(LoopbackService(failings=[Failing(failure, times=ALWAYS)]))
    assert ran.error is not None
    assert "<html" not in ran.words.lower()
    assert ("Worker limit reached" in ran.words) is (failure is Failure.ERROR_WITH_200)
    assert ran.says_one_sentence
    assert "NoneType" not in ran.words


@pytest.mark.parametrize("failure", [Failure.CONTEXT, Failure.TOO_LARGE], ids=name)
async def test_a_prompt_that_is_too_long_is_shortened_once(runs: Runs, failure: Failure) -> None:
    plain = await runs(LoopbackService())
    (asked,) = plain.record.of("research_manager")
    limit = round(prompt_characters(asked.body) * 0.8)
    failing = Failing(failure, "research_manager", times=ALWAYS, limit=limit)
    ran = await runs(LoopbackService(failings=[failing]))
    assert ran.action is not Action.SELL
    assert [each.served for each in ran.record.of("research_manager")] == [False, True]
    assert "shorten" in ran.words.lower()


async def test_a_prompt_that_cannot_be_short_enough_ends_with_the_services_words(
    runs: Runs,
) -> None:
    failing = Failing(Failure.CONTEXT, "research_manager", times=ALWAYS, limit=200)
    ran = await runs(LoopbackService(failings=[failing]))
    assert "maximum context length" in ran.words
    assert len(ran.record.of("research_manager")) == 2


@pytest.mark.parametrize("base", ["", "/", "/v1/", "/v1/chat/completions"])
async def test_an_address_is_understood_or_named(runs: Runs, base: str) -> None:
    ran = await runs(LoopbackService(), base=base)
    assert ran.is_sound, ran.words


async def test_an_address_that_is_none_is_named(runs: Runs) -> None:
    ran = await runs(LoopbackService(prefix="/api/v3"))
    assert ran.error is not None
    assert "OPENAI_BASE_URL" in ran.words
    assert ran.says_one_sentence


CALL_S = 0.28
"""25 s to 90 s, the default budget of an agent, is as this to 1 s."""


async def test_a_slow_model_that_serves_one_at_a_time_serves_all(runs: Runs) -> None:
    pace = Pace(first_byte_s=CALL_S, alone=True)
    limits = TimeLimits(first_byte_s=2.0, between_bytes_s=1.33)  # The defaults to the same scale.
    ran = await runs(LoopbackService(pace=pace), limits=limits, agent_budget=1.0)
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS


@pytest.mark.parametrize(
    "pace", [Pace(first_byte_s=0.6, comment_s=0.1), Pace(think_s=0.6)], ids=["comments", "thoughts"]
)
async def test_comments_and_thoughts_are_life(runs: Runs, pace: Pace) -> None:
    limits = TimeLimits(first_byte_s=0.4, between_bytes_s=0.4)
    ran = await runs(LoopbackService(pace=pace), limits=limits)
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS
    assert not any("deliberating" in text for text in (*ran.texts, *ran.prompts))


async def test_a_silence_is_cut_and_the_answer_asked_for_again(runs: Runs) -> None:
    pace = Pace(stall_s=30, stalling=("trader", "bear_researcher"))
    limits = TimeLimits(first_byte_s=5, between_bytes_s=0.4)
    ran = await runs(LoopbackService(pace=pace), limits=limits)
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS + 2
    assert ran.counts_requests


async def test_a_service_that_changes_its_api_for_one_model_is_asked_both_ways(
    runs: Runs,
) -> None:
    failing = Failing(Failure.CUT, "news_analyst")
    ran = await runs(LoopbackService(Demand.RESPONSES_ONLY, failings=[failing]))
    assert ran.is_sound, ran.words
    assert {each.path for each in ran.record.served} == {"responses"}
