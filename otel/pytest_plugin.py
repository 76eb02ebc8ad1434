"""A pytest plugin: record the spans of a test, and assert how sets of them relate in time.

Works on any program that makes OpenTelemetry spans. The fixture `recorded_spans` collects them; the
assertions are the relations of a gate as functions, and fail with a small waterfall of the spans
that show it. `--trace-report DIR` writes the traces of failed tests. Registered under the entry
point `pytest11`; everything heavy is imported at first use, so that it costs other tests nothing.
"""

import re
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider

    from trading_graph.otel.trace import Trace
    from trading_graph.otel.verdict.checks import CheckResult
    from trading_graph.otel.verdict.gate import AnyCheck, SpanSet

_REPORT = pytest.StashKey["pytest.TestReport"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--trace-report`."""
    parser.getgroup("trading-graph").addoption(
        "--trace-report",
        type=Path,
        metavar="DIR",
        help="Write the traces of failed tests that use recorded_spans to DIR, as OTLP JSON.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the outcome where the fixture finds it."""
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


class _Relay:
    """A span processor that hands ended spans to the tests that record; one for a provider.

    One, because the SDK has no public way to take a processor off again.
    """

    def __init__(self) -> None:
        self.listeners: set[RecordedSpans] = set()

    def on_start(self, span: "Span", parent_context: object = None) -> None:
        """Take no note: a span counts when it has ended."""

    def _on_ending(self, span: "Span") -> None:
        """Take no note."""

    def on_end(self, span: "ReadableSpan") -> None:
        """Hand the span on."""
        for listener in tuple(self.listeners):
            listener.keep(span)

    def shutdown(self) -> None:
        """Do nothing: the provider belongs to the program."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True


_RELAYS: "weakref.WeakKeyDictionary[TracerProvider, _Relay]" = weakref.WeakKeyDictionary()


class RecordedSpans:
    """The spans that ended since the test began, on any thread."""

    def __init__(self) -> None:
        self._ended: list[ReadableSpan] = []

    def keep(self, span: "ReadableSpan") -> None:
        """Keep an ended span."""
        self._ended.append(span)

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._ended.clear()

    @property
    def ended(self) -> "tuple[ReadableSpan, ...]":
        """The spans in the order in which they ended."""
        return tuple(self._ended)

    @property
    def traces(self) -> "list[Trace]":
        """The traces that the spans belong to."""
        from trading_graph.otel.sources.memory import from_spans
        from trading_graph.otel.trace import Trace

        return [Trace(table) for table in from_spans(self._ended)]

    @property
    def trace(self) -> "Trace":
        """The only trace; fails the test where there is none, or more than one."""
        traces = self.traces
        if len(traces) != 1:
            names = ", ".join(next(iter(trace)).name for trace in traces[:5])
            pytest.fail(f"{len(traces)} traces were recorded, not one ({names or 'no spans'})")
        return traces[0]


@pytest.fixture
def recorded_spans(request: pytest.FixtureRequest) -> Iterator[RecordedSpans]:
    """The spans that the global tracer provider ends during the test."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        trace.set_tracer_provider(TracerProvider())
        provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        pytest.fail(f"the tracer provider is a {type(provider).__name__}, which records no spans")
    relay = _RELAYS.get(provider)
    if relay is None:
        relay = _RELAYS[provider] = _Relay()
        provider.add_span_processor(relay)  # type: ignore[arg-type]
    recorded = RecordedSpans()
    relay.listeners.add(recorded)
    yield recorded
    relay.listeners.discard(recorded)
    folder = request.config.getoption("--trace-report")
    report = request.node.stash.get(_REPORT, None)
    if folder is not None and report is not None and report.failed and recorded.ended:
        _write(folder, request.node.nodeid, recorded)


def _write(folder: Path, node: str, recorded: RecordedSpans) -> None:
    import msgspec
    from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans

    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", node)[-150:]
    encoded = msgspec.json.encode(encode_spans(recorded.ended).to_dict())
    (folder / f"{name}.json").write_bytes(encoded)


def assert_starts_within(
    trace: "Trace", spans: "SpanSet", *, after: "SpanSet", limit_s: float
) -> None:
    """Every span starts at most `limit_s` after the last of `after` has ended."""
    from trading_graph.otel.verdict.gate import StartsWithin

    _hold(trace, StartsWithin(set=spans, after=after, limit_s=limit_s))


def assert_overlap(trace: "Trace", spans: "SpanSet", *, at_least: float = 0.5) -> None:
    """The spans overlap, and so does the work below them."""
    from trading_graph.otel.verdict.gate import Overlap

    _hold(trace, Overlap(set=spans, at_least=at_least))


def assert_leaf_parallelism(
    trace: "Trace",
    spans: "SpanSet",
    *,
    group_by: tuple[str, ...] = (),
    not_applicable: bool = False,
) -> None:
    """The spans of each group run at once at leaf level; keys are `parent` or attributes.

    Where fewer than two did work of their own there is nothing to judge, which fails unless
    `not_applicable` allows it.
    """
    from trading_graph.otel.verdict.gate import LeafParallelism

    _hold(trace, LeafParallelism(set=spans, group_by=group_by), not_applicable=not_applicable)


def assert_duration(trace: "Trace", spans: "SpanSet", *, limit_s: float) -> None:
    """No span takes longer than `limit_s`."""
    from trading_graph.otel.verdict.gate import Duration

    _hold(trace, Duration(set=spans, limit_s=limit_s))


def assert_max_gap(trace: "Trace", spans: "SpanSet", *, limit_s: float) -> None:
    """Between one span and the next at most `limit_s` pass with none."""
    from trading_graph.otel.verdict.gate import MaxGap

    _hold(trace, MaxGap(set=spans, limit_s=limit_s))


def assert_before(trace: "Trace", spans: "SpanSet", other: "SpanSet") -> None:
    """Every span has ended before the first of `other` starts."""
    from trading_graph.otel.verdict.gate import Before

    _hold(trace, Before(set=spans, other=other))


def assert_no_duplicates(trace: "Trace", spans: "SpanSet", *, key: str) -> None:
    """No two spans have the same value of the attribute `key`."""
    from trading_graph.otel.verdict.gate import NoDuplicates

    _hold(trace, NoDuplicates(set=spans, key=key))


def assert_count(
    trace: "Trace", spans: "SpanSet", *, at_least: int = 0, at_most: int | None = None
) -> None:
    """There are at least and at most so many."""
    from trading_graph.otel.verdict.gate import Count

    _hold(trace, Count(set=spans, at_least=at_least, at_most=at_most))


def assert_chain(trace: "Trace", spans: "SpanSet", *, limit: int) -> None:
    """At most so many spans follow each other."""
    from trading_graph.otel.verdict.gate import Chain

    _hold(trace, Chain(set=spans, limit=limit))


def assert_no_errors(trace: "Trace", spans: "SpanSet | None" = None) -> None:
    """No span failed, was cancelled, timed out or was retried; without a set, none of the trace."""
    from trading_graph.otel.verdict.gate import NoErrors, SpanSet

    _hold(trace, NoErrors(set=spans or SpanSet()))


def assert_complete(trace: "Trace") -> None:
    """The trace has one root, no orphan, no open span, and what it declares of spans."""
    from trading_graph.otel.trace import table_of
    from trading_graph.otel.verdict import completeness

    __tracebackhide__ = True
    missing = completeness(table_of(trace)).missing
    if missing:
        pytest.fail("the trace is not complete: " + " ".join(missing), pytrace=False)


def _hold(trace: "Trace", check: "AnyCheck", *, not_applicable: bool = False) -> None:
    from trading_graph.otel.trace import table_of
    from trading_graph.otel.verdict import Gate, Outcome, judge

    __tracebackhide__ = True
    verdict = judge(table_of(trace), Gate(checks=(check,)))
    if not verdict.judged:
        pytest.fail("no verdict: " + " ".join(verdict.missing), pytrace=False)
    (result,) = verdict.checks
    allowed = not_applicable and result.outcome is Outcome.NOT_APPLICABLE
    if result.outcome is not Outcome.PASS and not allowed:
        pytest.fail(_message(check, result), pytrace=False)


def _message(check: "AnyCheck", result: "CheckResult") -> str:
    """What was measured, a waterfall of the spans that show it, and what to do."""
    from rich.console import Console

    from trading_graph.otel.report import bars
    from trading_graph.otel.report.verdict import CheckRow

    relation = type(check).__struct_config__.tag
    lines = [f"{relation}: {CheckRow.of(result).line}"]
    if result.spans:
        console = Console(width=100, color_system=None, force_terminal=False)
        with console.capture() as drawn:
            console.print(bars(result.spans[:12], width=96))
        lines += ["", drawn.get().rstrip()]
        if len(result.spans) > 12:
            lines.append(f"and {len(result.spans) - 12} more")
    if result.advice:
        lines += ["", f"do: {result.advice}"]
    return "\n".join(lines)
