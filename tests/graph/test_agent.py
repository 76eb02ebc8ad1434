"""What all agents share."""

from trading_graph.graph.agent import failure_reason
from trading_graph.toolkit.errors import SourceTimeoutError


def test_an_agents_own_budget_and_a_slow_source_are_told_apart() -> None:
    assert "raise --agent-budget" in failure_reason("news_analyst", TimeoutError())
    told = failure_reason(
        "news_analyst", SourceTimeoutError("a.example/v8 fell silent for 10 s: try later.")
    )
    assert told == "news_analyst: a.example/v8 fell silent for 10 s: try later."
