"""The same trace in Jaeger and in LangSmith, which was sent our spans: one verdict.

LangSmith is here what its documents say and no more (`tests/langsmith_server.py`).
"""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.e2e.test_langsmith import clear_langsmiths_cache
from tests.faulty_model import Fault, FaultyModel
from tests.jaeger_process import JaegerProcess
from tests.langsmith_server import LangSmithServer
from tests.recorded_program import spin
from tests.undisturbed import TRIES, is_undisturbed
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.sources import read
from trading_graph.otel.sources.langsmith_query import LangSmithQuery
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import Outcome, Verdict, judge
from trading_graph.service.cli import main
from trading_graph.toolkit.loopback import LoopbackServer
from trading_graph.toolkit.market_data import AsyncToolkit


@dataclass
class Stored:
    """What LangSmith has."""

    server: LangSmithServer
    langsmith_url: str

    def there(self, trace_id: str) -> SpanTable | None:
        """A trace of it."""
        return LangSmithQuery(self.langsmith_url, "ls-key").trace(trace_id)

    @property
    def root(self) -> dict[str, Any]:
        """The run without a parent, in LangSmith."""
        (root,) = (run for run in self.server.runs.values() if run["parent_run_id"] is None)
        return root


@dataclass
class Both(Stored):
    """A run's trace in its file and in LangSmith."""

    env: dict[str, str]
    workdir: Path
    model: FaultyModel
    words: tuple[str, ...] = ()

    def command(self, *words: str) -> Result:
        """Run a command of ours."""
        return CliRunner().invoke(main, list(words), env=self.env)

    def run(self) -> str:
        """Run an analysis; gives its run id."""
        done = self.command("run", "NVDA", *self.words)
        assert done.exit_code == 0, done.output
        (folder,) = self.workdir.glob("runs/*")
        return folder.name

    def file(self, trace_id: str) -> Path:
        """The trace file of the run."""
        return self.workdir / "runs" / trace_id / "trace.jsonl"


@dataclass
class Finished(Stored):
    """A run as it was by default; what LangSmith has of it is the test's own."""

    here: SpanTable


@contextmanager
def opened(workdir: Path) -> Iterator[Both]:
    """Analyses whose spans go to LangSmith too, with a real model client."""
    clear_langsmiths_cache()
    server = LangSmithServer()
    model = FaultyModel(latency_s=0.4)
    with server.served() as url, LoopbackServer(model.make_app) as chat:
        env = {
            "OTEL_TRACES_EXPORTER": "none",
            "OPENAI_BASE_URL": f"{chat.url}/v1",
            "TRADING_GRAPH_LANGSMITH": "otlp",
            "TRADING_GRAPH_FETCH_LATENCY_S": "0.15",
            "LANGSMITH_ENDPOINT": url,
            "LANGSMITH_API_KEY": "ls-key",
        }
        yield Both(server, url, env, workdir, model)
    clear_langsmiths_cache()


@pytest.fixture
def both(workdir: Path) -> Iterator[Both]:
    """Analyses in the test's own folder."""
    with opened(workdir) as made:
        yield made


@pytest.fixture(scope="module")
def run_by_default(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[SpanTable, dict[str, dict[str, Any]]]:
    """The trace of one run that the machine did not disturb, and what LangSmith has of it."""
    for _ in range(TRIES):
        workdir = tmp_path_factory.mktemp("default")
        with pytest.MonkeyPatch.context() as patch, opened(workdir) as both:
            patch.chdir(workdir)
            path = both.file(both.run())
        if is_undisturbed(path):
            break
    (trace,) = read(path)
    return trace, both.server.runs


@pytest.fixture
def finished(run_by_default: tuple[SpanTable, dict[str, dict[str, Any]]]) -> Iterator[Finished]:
    """That run, in a LangSmith of the test's own."""
    here, runs = run_by_default
    server = LangSmithServer()
    server.runs = copy.deepcopy(runs)
    with server.served() as url:
        yield Finished(server, url, here)


def by_default(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong."""


def one_after_the_other(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher sends no two analysts at once."""
    both.words = ("--dispatch", "sequential")


def with_a_tool_that_blocks(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tool computes on the event loop."""
    filings: Callable[..., object] = AsyncToolkit.filings

    def blocking(*args: object) -> object:
        spin(0.4)
        return filings(*args)

    monkeypatch.setattr(AsyncToolkit, "filings", blocking)


def with_a_tool_that_fails(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tool raises."""

    async def failing(*args: object) -> object:
        raise RuntimeError("no filings today")

    monkeypatch.setattr(AsyncToolkit, "filings", failing)


def with_a_retry(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model answers the trader with nothing, once: an event tells, and no span failed."""
    both.model.faults = (Fault("trader", "empty_answer"),)


Variant = Callable[[Both, pytest.MonkeyPatch], None]


@pytest.mark.jaeger
@pytest.mark.parametrize(
    ("variant", "failing"),
    [
        pytest.param(by_default, set(), marks=pytest.mark.idle(per_cpu=1)),
        (one_after_the_other, {"overlap"}),
        (with_a_tool_that_blocks, {"loop"}),
        (with_a_tool_that_fails, {"errors"}),
        (with_a_retry, {"errors"}),
    ],
)
def test_the_verdict_is_the_same_wherever_the_trace_is_read(
    both: Both,
    jaeger: JaegerProcess,
    monkeypatch: pytest.MonkeyPatch,
    variant: Variant,
    failing: set[str],
) -> None:
    both.env |= {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.otlp_http_url,
        "TRADING_GRAPH_JAEGER_URL": jaeger.query_url,
    }
    variant(both, monkeypatch)
    trace_id = both.run()
    ours, theirs = (
        both.command("verify", trace_id, "--from", source, "--format", "json")
        for source in ("jaeger", "langsmith")
    )
    assert json.loads(theirs.stdout) == json.loads(ours.stdout)
    assert ours.exit_code == theirs.exit_code == bool(failing)
    failed = {
        check["id"] for check in json.loads(ours.stdout)["checks"] if check["outcome"] == "fail"
    }
    assert failed >= failing


def verdicts(here: SpanTable, there: SpanTable) -> tuple[Verdict, Verdict]:
    return judge(here, own_gate()), judge(there, own_gate())


def weaker_and_never_wrong(ours: Verdict, theirs: Verdict) -> None:
    """No check contradicts, and each that says less says why."""
    assert theirs.judged, theirs.missing
    for known, seen in zip(ours.checks, theirs.checks, strict=True):
        if seen.outcome is Outcome.NOT_APPLICABLE:
            assert seen.measured, "it says why"
            continue
        assert seen.outcome is known.outcome, seen
        if seen.grade != known.grade:
            assert "recorded" in seen.grade, seen


@pytest.mark.idle(per_cpu=1)
def test_a_trace_that_lost_its_metadata_is_judged_by_what_is_left(finished: Finished) -> None:
    here = finished.here
    for run in finished.server.runs.values():
        run["extra"] = {}
    assert finished.there(here.trace_id) is None, "nothing says that it is the one"
    there = finished.there(finished.root["id"])
    assert there is not None
    assert sorted(there.span_ids) == sorted(here.span_ids)
    ours, theirs = verdicts(here, there)
    assert ours.passed
    weaker_and_never_wrong(ours, theirs)
    strengths = {result.id: result.grade for result in theirs.checks}
    assert strengths["overlap"].startswith("overlapping, not proven: no event-loop lag")
    assert strengths["errors"] == "not applicable"


@pytest.mark.idle(per_cpu=1)
@pytest.mark.parametrize("lost", ["invoke_agent news_analyst", "execute_tool", "trading_graph"])
def test_where_one_run_lost_its_metadata_no_other_is_trusted(finished: Finished, lost: str) -> None:
    """Half of what was recorded would prove what it cannot: a run may hide in what is missing."""
    run = next(run for run in finished.server.runs.values() if run["name"].startswith(lost))
    run["extra"] = {}
    there = finished.there(finished.here.trace_id)
    assert there is not None, "the others say that it is the one"
    ours, theirs = verdicts(finished.here, there)
    weaker_and_never_wrong(ours, theirs)
    assert not any(semconv.LOOP_LAG_MAX_MS in there.attributes(row) for row in range(len(there)))


@pytest.mark.parametrize("variant", [with_a_retry, with_a_tool_that_fails])
def test_without_metadata_what_cannot_be_seen_is_not_denied(
    both: Both, monkeypatch: pytest.MonkeyPatch, variant: Variant
) -> None:
    variant(both, monkeypatch)
    both.run()
    for run in both.server.runs.values():
        run["extra"] = {}
    there = both.there(both.root["id"])
    assert there is not None
    (errors,) = (each for each in judge(there, own_gate()).checks if each.id == "errors")
    if variant is with_a_retry:
        assert errors.outcome is Outcome.NOT_APPLICABLE
        assert "no retry was or would be recorded" in errors.measured
    else:
        assert errors.outcome is Outcome.FAIL


@pytest.mark.idle(per_cpu=1)
def test_a_callers_runs_above_ours_take_nothing_away(both: Both) -> None:
    both.env["TRACEPARENT"] = f"00-{'a' * 32}-{'b' * 16}-01"
    both.run()
    caller = f"00000000-0000-0000-{'b' * 4}-{'b' * 12}"
    both.server.runs[caller] = {
        "id": caller,
        "parent_run_id": None,
        "name": "the caller",
        "run_type": "chain",
        "start_time": "2026-01-01T00:00:00",
        "end_time": "2036-01-01T00:00:00",
        "dotted_order": "0",
        "extra": {"metadata": {}},
    }
    there = both.there("a" * 32)
    assert there is not None
    assert there.trace_id == "a" * 32
    assert there.names[0] == "the caller"
    verdict = judge(there, own_gate())
    assert verdict.exact
    assert {result.id: result.grade for result in verdict.checks}["overlap"] == "proven"


@pytest.mark.idle(per_cpu=1)
def test_metadata_that_come_back_as_objects_or_copied_are_told_apart(finished: Finished) -> None:
    trace_id = finished.here.trace_id
    for run in finished.server.runs.values():
        metadata = run["extra"]["metadata"]
        metadata["otel_span"] = json.loads(metadata["otel_span"])
    there = finished.there(trace_id)
    assert there is not None
    assert judge(there, own_gate()).exact
    for run in finished.server.runs.values():
        run["extra"] = finished.root["extra"]
    there = finished.there(trace_id)
    assert there is not None
    assert len(there) == len(finished.server.runs)
    assert not judge(there, own_gate()).exact
