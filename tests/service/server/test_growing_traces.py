"""A trace that is received can be seen while it grows, and its changes are told."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.server.open_service import opened
from tests.service.server.otlp_client import export, root, span, until, verdict
from trading_graph.service.server.feed_api import TraceNews
from trading_graph.service.server.receiving.growing_traces import TOPIC

ONE = f"{1:032x}"


async def test_a_trace_is_seen_while_it_grows(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=3_600) as service:
        growing = service.parts.receiver.growing
        assert growing.documents() == []
        await export(service, span(2, 1), span(3, 2))
        await export(service, root(trace=2, name="later"))
        later, first = growing.documents()
        if later.trace_id == ONE:
            later, first = first, later
        assert (first.trace_id, first.service, first.name, first.spans) == (ONE, "sender", "", 2)
        assert (later.name, later.spans) == ("later", 1)
        trace = await growing.trace(ONE)
        assert trace is not None
        assert list(trace.names) == ["span 2", "span 3"]
        assert await growing.trace(f"{3:032x}") is None
        await export(service, root(declared=3, name="the root"))
        await verdict(service, ONE)
        await until(lambda: [each.trace_id for each in growing.documents()] == [f"{2:032x}"])
        assert await growing.trace(ONE) is None


@pytest.mark.full
async def test_a_restart_knows_the_names_of_what_grows(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=3_600) as service:
        await export(service, root(name="ask"))
    async with opened(tmp_path, begun=False, serve_settle_s=3_600) as service:
        growing = service.parts.receiver.growing
        await until(lambda: bool(growing.documents()))
        (document,) = growing.documents()
        assert (document.service, document.name, document.spans) == ("sender", "ask", 1)


async def test_changes_are_told_until_the_verdict(tmp_path: Path) -> None:
    told: list[TraceNews] = []

    def publish(topic: str, data: Any) -> None:
        assert topic == TOPIC
        told.append(data)

    async with opened(tmp_path, begun=False) as service:
        service.parts.receiver.growing._publish = publish
        await export(service, span(2, 1))
        await until(lambda: bool(told))
        assert (told[0].trace_id, told[0].state, told[0].passed) == (ONE, "growing", None)
        await export(service, root(declared=2, name="the root"))
        kept = await verdict(service, ONE)
        await until(lambda: told[-1].state == "judged")
        last = told[-1]
        assert (last.service, last.name, last.passed) == ("sender", "the root", kept["passed"])
