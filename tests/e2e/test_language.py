"""A real model that writes in another language: texts follow, numbers and actions stay."""

from tests.model_service import Framing, LoopbackService, Wording
from tests.model_service.framings import ACCENT
from tests.model_service.runs import CALLS, Runs
from tests.model_service.wordings import GERMAN
from trading_graph.graph.options import DECIDERS


async def test_texts_are_in_the_language_and_the_decision_is_the_same(runs: Runs) -> None:
    service = LoopbackService(Framing.ACCENTS, Wording.FOREIGN_TEXTS)
    ran = await runs(service, language="Deutsch")
    assert ran.is_sound, ran.words
    assert len(ran.record) == CALLS, "nothing was asked twice"
    decision = ran.made.decision
    assert decision.language == "de"
    assert all("no source of this run has any" in note for note in decision.notes)
    final = decision.decision
    assert final.rationale == GERMAN
    assert final.entry == 190.17, "no price is read from a text"
    for text in (GERMAN, ACCENT):
        assert text in ran.report
    instructions = {each for each in ran.prompts if each.startswith("Agent:")}
    assert len(instructions) == CALLS - 4, "of each agent one"
    assert all("in German" in each for each in instructions)


async def test_an_action_in_that_language_is_asked_for_once_more(runs: Runs) -> None:
    service = LoopbackService(Wording.FOREIGN_TEXTS, Wording.FOREIGN_ACTION_ONCE)
    ran = await runs(service, language="de")
    assert ran.is_sound, ran.words
    assert [len(ran.record.of(agent)) for agent in DECIDERS] == [2, 2, 2]
