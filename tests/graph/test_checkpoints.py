"""The state in a checkpoint: everything comes back as it was, and nothing foreign is made."""

import asyncio
import datetime
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from opentelemetry.trace import NoOpTracerProvider

from tests.analysis_runner import CHOICE, OPTIONS
from trading_graph.graph import checkpoints as checkpoints_module
from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backends import open_backends
from trading_graph.graph.checkpoints import Checkpoints, delete_checkpoints, open_checkpoints
from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.holdings import SizeLimit, Unvalued, Valuation
from trading_graph.graph.state import Evidence, Report, State, Statement, Usage
from trading_graph.toolkit.chart_bars import ChartBars
from trading_graph.toolkit.market_data import PriceLevels
from trading_graph.toolkit.source_use import DataKind, SourceUse

TRADE: dict[str, Any] = {
    "action": Action.SELL,
    "confidence": 0.5,
    "horizon_days": 30,
    "entry": 100.5,
    "stop": 110.0,
    "target": 90.0,
    "position_pct": None,
    "sell_pct": 40.0,
    "rationale": "Falling.",
    "evidence": ["rsi_14 71.2 (get_indicators)"],
}
WHOLE: State = {
    "dispatcher": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "reports": [Report("news_analyst", "Nothing.", missing=True, evidence=Evidence.NONE)],
    "debate_round": 2,
    "statements": [Statement("bull_researcher", 1, "Up.")],
    "plan": ResearchPlan(
        action=Action.HOLD,
        confidence=0.25,
        summary="Both.",
        bull_points=["a"],
        bear_points=[],
        evidence=["b"],
    ),
    "levels": PriceLevels(
        datetime.date(2025, 11, 14),
        101.0,
        95.0,
        105.0,
        None,
        history=ChartBars(
            ["2025-11-14"], [101.0], [102.0], [100.0], [101.0], [0.0], [None], [99.5]
        ),
    ),
    "valuation": Valuation(None, [Unvalued("VOW3.DE", SizeLimit.OTHER_CURRENCY, "EUR")]),
    "proposal": TradeProposal(**TRADE),
    "risk_round": 1,
    "opinions": [Statement("neutral_risk_analyst", 1, "Less.")],
    "decision": FinalDecision(**TRADE, risks=["gap"]),
    "undecided": ["trader"],
    "warnings": ["news_analyst: late"],
    "gaps": ["news_analyst read no news: no source of this run has any for 2025-11-14."],
    "substitutes": ["news_analyst: another source stands in for get_insiders: late"],
    "sources": [
        SourceUse(
            data=DataKind.PRICES,
            subject="NVDA",
            source="Yahoo chart",
            newest=datetime.date(2025, 11, 14),
            newest_is="last bar",
            retrieved=datetime.datetime(2025, 11, 15, 9, 30, 1, tzinfo=datetime.UTC),
            stands_in="SEC was down.",
        )
    ],
    "usage": [Usage("trader", "m", 10, 20, 1.5, requests=2)],
    "budget_reached": "tokens",
}


@dataclass
class Foreign:
    """Something that no state of ours holds."""

    name: str


def graph_that_brings(update: object) -> Any:
    graph = StateGraph(State)
    graph.add_node("all", lambda state: update)
    graph.add_edge(START, "all")
    graph.add_edge("all", END)
    return graph.compile()


async def state_after(path: Path, update: object) -> dict[str, Any]:
    """What another process finds of a state."""
    config = {"configurable": {"thread_id": "1"}}
    async with open_checkpoints(path) as checkpoints:
        graph = graph_that_brings(update).copy({"checkpointer": checkpoints})
        await graph.ainvoke(State(), config, durability="async")
    async with open_checkpoints(path) as checkpoints:
        graph = graph_that_brings(update).copy({"checkpointer": checkpoints})
        values: dict[str, Any] = (await graph.aget_state(config)).values
        return values


async def test_a_state_comes_back_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await state_after(tmp_path / "c.sqlite", WHOLE) == WHOLE
    assert not caplog.records
    assert set(WHOLE) == set(State.__annotations__)


async def test_nothing_foreign_is_made_from_a_checkpoint(tmp_path: Path) -> None:
    """A file that somebody has tampered with can name any class."""
    values = await state_after(tmp_path / "c.sqlite", {"warnings": ["late", Foreign("x")]})
    assert values["warnings"][0] == "late"
    assert not any(isinstance(each, Foreign) for each in values["warnings"])


def test_deleted_checkpoints_leave_nothing(tmp_path: Path) -> None:
    asyncio.run(state_after(tmp_path / "c.sqlite", WHOLE))
    delete_checkpoints(tmp_path / "c.sqlite")
    assert not list(tmp_path.iterdir())
    delete_checkpoints(tmp_path / "c.sqlite")


class WithoutCheckpoints(Checkpoints):
    """Keeps what nodes bring, and after a number of steps no checkpoint that holds it."""

    steps = 2

    async def aput(self, *arguments: Any) -> Any:
        self.steps -= 1
        return arguments[0] if self.steps < 0 else await super().aput(*arguments)


async def test_a_step_that_has_all_it_brings_and_no_checkpoint_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process can be killed there: then nothing of the step is left to be done, but the rest."""
    monkeypatch.setattr(checkpoints_module, "Checkpoints", WithoutCheckpoints)
    run_id = uuid.uuid4()
    async with (
        open_backends(CHOICE) as backends,
        open_checkpoints(tmp_path / "c.sqlite") as broken,
        record_run(OPTIONS, backends, NoOpTracerProvider(), run_id=run_id) as run,
    ):
        whole = await analyse(OPTIONS, backends, run, checkpoints=broken)
    monkeypatch.undo()
    async with (
        open_backends(CHOICE) as backends,
        open_checkpoints(tmp_path / "c.sqlite") as checkpoints,
        record_run(OPTIONS, backends, NoOpTracerProvider(), run_id=run_id) as run,
    ):
        again = await analyse(OPTIONS, backends, run, checkpoints=checkpoints)
    assert again.decision.decision == whole.decision.decision
    assert len(again.reports) == len(whole.reports)
