"""Why an agent's result is missing, in words that are true."""

from trading_graph.graph.degrade import reason_of
from trading_graph.toolkit.errors import SourceTimeoutError


def test_an_agents_own_budget_and_a_slow_source_are_told_apart() -> None:
    assert "raise --agent-budget" in reason_of("news_analyst", TimeoutError())
    told = reason_of(
        "news_analyst", SourceTimeoutError("a.example/v8 fell silent for 10 s: try later.")
    )
    assert told == "news_analyst: a.example/v8 fell silent for 10 s: try later."
