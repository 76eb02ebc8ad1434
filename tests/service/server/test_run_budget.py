"""The budget of a run that is asked for over HTTP: the service's setting is the most it can be."""

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from trading_graph.graph.options import Budget, Options
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.run_events import RunEvents
from trading_graph.service.server.run_maker import RunMaker
from trading_graph.service.settings import Settings
from trading_graph.service.store import Store, StoredRun


class _Started(Exception):
    """What the engine answers here: the test is about what it was asked."""


class _Engine:
    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings = settings
        self.out = out
        self.asked: Options | None = None

    async def run(self, options: Options, **_: object) -> None:
        self.asked = options
        raise _Started


@pytest.mark.parametrize(
    ("set_to", "asked", "holds"),
    [
        ({}, {}, Budget()),
        ({}, {"max_calls": 7}, Budget(llm_calls=7)),
        ({"max_calls": 5}, {}, Budget(llm_calls=5)),
        ({"max_calls": 5}, {"max_calls": 7, "max_tokens": 9}, Budget(llm_calls=5, tokens=9)),
        ({"max_seconds": 60}, {"max_seconds": 1.5}, Budget(seconds=1.5)),
    ],
)
async def test_a_request_lowers_the_budget_and_never_raises_it(
    tmp_path: Path, set_to: dict[str, Any], asked: dict[str, Any], holds: Budget
) -> None:
    engine = _Engine(Settings.model_construct(**set_to), tmp_path)
    request = RunRequest(symbol="AAPL", **asked)
    run = SimpleNamespace(id=uuid.uuid4().hex, request=request, traceparent=None)
    make = RunMaker(cast("Any", engine), cast("Store", None))
    with pytest.raises(_Started):
        await make(cast("StoredRun", run), RunEvents(run.id))
    assert engine.asked is not None
    assert engine.asked.budget == holds
