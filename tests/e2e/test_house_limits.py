"""Two workers and one limit of a model: what they send is counted at the model's server."""

import time
from collections import defaultdict
from pathlib import Path

import pytest
from aiohttp import web

from tests.paid_model import PaidModel
from tests.workers import house
from trading_graph.graph.offline_model.server import Call

A_MINUTE = 15
JUDGED_S = 55.0
"""A little less than a minute: what is let through may arrive late on a busy machine."""


class TimedModel(PaidModel):
    """Remembers when each request to each of the two models came."""

    def __init__(self) -> None:
        super().__init__(0.05)
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    async def respond(self, call: Call) -> web.StreamResponse:
        self.times[call.chat.model].append(time.monotonic())
        return await super().respond(call)


@pytest.mark.full
@pytest.mark.alone
def test_two_workers_send_no_more_than_the_limit_of_the_house(
    workdir: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_GRAPH_REQUESTS_PER_MINUTE", f'{{"*": {A_MINUTE}}}')
    model = TimedModel()
    with house(workdir, model, postgres_url) as begun:
        begun.submit("AAPL", "NVDA", "--date", "2025-11-14", "--analysts", "market,news")
        begun.worker("--at-once", "1")
        begun.worker("--at-once", "1")
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 2)
        begun.stop()
    quick = max(model.times.values(), key=len)
    assert len(quick) > A_MINUTE, "a limit that nothing reaches proves nothing"
    for times in model.times.values():
        assert (
            max(sum(start <= at < start + JUDGED_S for at in times) for start in times) <= A_MINUTE
        )
