"""Whole runs at a model that limits the rate: they wait and go on, and the judge names the wait."""

from tests.analysis_runner import Runner
from tests.faulty_model import Fault
from trading_graph.otel.diagnosis import FindingKind, rank
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies import witness

ASKED_S = 1.5


async def test_a_run_waits_as_long_as_it_is_asked_to_and_its_trace_says_so(
    run_analysis: Runner,
) -> None:
    refusal = Fault("trader", "status", value=429, times=2, retry_after_s=ASKED_S)
    ran = await run_analysis(faults=(refusal,))
    assert not ran.made.decision.degraded
    assert ran.requests["trader"] == 3
    (agent,) = ran.trace.rows("invoke_agent trader")
    (chat,) = ran.trace.children(agent)
    attributes = ran.trace.attributes(chat)
    assert attributes[witness.WAIT_KIND] == witness.Wait.RATE_LIMIT
    assert attributes[witness.WAIT_MS] >= 2 * ASKED_S * 1000
    retries = [each for each in ran.trace.events(chat) if each.name == "retry"]
    assert [each.attributes[semconv.WAIT_REASON] for each in retries] == ["rate_limit"] * 2
    assert all(each.attributes[semconv.WAIT_S] >= ASKED_S for each in retries)
    (used,) = [each for each in ran.made.usage if each.agent == "trader"]
    assert (used.requests, used.uncounted) == (3, 0)


async def test_the_diagnosis_names_the_limit(run_analysis: Runner) -> None:
    refusal = Fault("trader", "status", value=429, retry_after_s=ASKED_S)
    ran = await run_analysis(faults=(refusal,))
    ranking = rank(ran.trace, ran.trace.roots[0])
    found = {each.candidate.kind: each.candidate.evidence for each in ranking.candidates}
    assert "pauses for a rate limit" in found[FindingKind.RETRIES]
    assert "waited" in found[FindingKind.QUEUE]
    assert "for a rate limit" in found[FindingKind.QUEUE]
