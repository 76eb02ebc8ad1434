"""LangSmith's own run tree beside ours: the same id in both, and silence where it is not wanted."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tracers.langchain import wait_for_all_tracers

from tests.analysis_runner import OPTIONS
from tests.e2e.test_verdict import UNHURRIED
from tests.langsmith_server import LangSmithServer
from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backends import open_backends
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.otel.sources import read
from trading_graph.otel.sources.langsmith_query import LangSmithQuery
from trading_graph.otel.verdict import Outcome, judge
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.langsmith_tracer import langsmith_callbacks


def clear_langsmiths_cache() -> None:
    """Make LangSmith's client read the environment again."""
    from langsmith import utils

    cached: Any = utils.get_env_var
    cached.cache_clear()


@pytest.fixture
def traced_analysis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[str, bool], str]]:
    """Run one analysis with LangSmith switched on in the environment; returns the run id."""

    def run(url: str, langsmith: bool) -> str:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "ls-test")
        clear_langsmiths_cache()
        monkeypatch.setattr("langsmith.run_trees._CLIENT", None)  # one for each URL

        async def analysed() -> str:
            telemetry = await asyncio.to_thread(set_up, "trading-graph", "test")
            async with (
                open_backends(UNHURRIED) as backends,
                record_run(OPTIONS, backends, telemetry.provider) as recorded,
            ):
                trace_file = await asyncio.to_thread(
                    TraceFile, tmp_path / "trace.jsonl", telemetry.redactor
                )
                recorded.recording.listen(trace_file)
                mode = LangSmithMode.NATIVE if langsmith else LangSmithMode.OFF
                async with langsmith_callbacks(mode, telemetry.redactor) as callbacks:
                    await analyse(OPTIONS, backends, recorded, callbacks=callbacks)
            await asyncio.to_thread(trace_file.close)
            return recorded.run_id

        run_id = asyncio.run(analysed())
        wait_for_all_tracers()
        return run_id

    yield run
    clear_langsmiths_cache()  # it keeps what the environment said, for all tests to come


def test_our_trace_id_is_langsmiths_run_id(traced_analysis: Callable[[str, bool], str]) -> None:
    fake = LangSmithServer()
    with fake.served() as url:
        run_id = traced_analysis(url, True)
    assert run_id in fake.run_ids
    assert len(fake.run_ids) > 12, "the run and its nodes"


def test_offline_sends_nothing(traced_analysis: Callable[[str, bool], str]) -> None:
    fake = LangSmithServer()
    with fake.served() as url:
        traced_analysis(url, False)
    assert fake.run_ids == set()


@pytest.mark.idle(per_cpu=1)
def test_langsmith_contradicts_no_check(
    traced_analysis: Callable[[str, bool], str], tmp_path: Path
) -> None:
    """Its trace shows less; what it does show agrees, and each weaker strength says why."""
    fake = LangSmithServer()
    with fake.served() as url:
        run_id = traced_analysis(url, True)
        there = LangSmithQuery(url, "ls-test").trace(run_id)
    assert there is not None
    (here,) = read(tmp_path / "trace.jsonl")
    ours, theirs = (judge(trace, own_gate()) for trace in (here, there))
    assert ours.passed
    assert theirs.judged, theirs.missing
    for known, seen in zip(ours.checks, theirs.checks, strict=True):
        assert seen.outcome in (known.outcome, Outcome.NOT_APPLICABLE), seen
        if seen.outcome is Outcome.NOT_APPLICABLE:
            assert seen.measured, "it says why"
        elif seen.grade != known.grade:
            assert "recorded" in seen.grade, seen
    by_id = {result.id: result for result in theirs.checks}
    assert by_id["budget"].outcome is Outcome.PASS
    assert by_id["overlap"].outcome is Outcome.PASS
    assert by_id["overlap"].grade.startswith("overlapping, not proven: no event-loop lag")
