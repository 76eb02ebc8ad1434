"""A watch tells each new trace of a service once, when it has settled."""

import time
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from tests.jaeger_process import JaegerProcess
from tests.patience import PATIENCE_S
from tests.service.foreign_program import ForeignProgram, id_of, send
from trading_graph.otel.errors import AnswerTooLargeError
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.service.watching import QUIET_S, ROOTLESS_S, PollBackoff, TraceWatch


@dataclass
class FakeJaeger:
    """Answers as JaegerQuery does, from a list; `largest` traces fit into an answer."""

    traces: list[SpanTable] = field(default_factory=list)
    largest: int = 1000
    asked: list[int] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)

    def put(self, spans: list[ReadableSpan]) -> str:
        (trace,) = from_spans(spans)
        self.traces = [each for each in self.traces if each.trace_id != trace.trace_id]
        self.traces.append(trace)
        return trace.trace_id

    def search(
        self, service: str, since: object, until: object, limit: int = 20
    ) -> list[SpanTable]:
        self.asked.append(limit)
        edge = until.timestamp() * 1e9  # type: ignore[attr-defined]
        found = [
            each
            for each in self.traces
            if int(each.start[0]) <= edge and each.trace_id not in self.hidden
        ]
        found.sort(key=lambda trace: int(trace.start[0]), reverse=True)
        if len(found[:limit]) > self.largest:
            raise AnswerTooLargeError("too large")
        return found[:limit]

    def trace(self, trace_id: str) -> SpanTable | None:
        return next((each for each in self.traces if each.trace_id == trace_id), None)


class Setup:
    """A watch of a fake Jaeger, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.program, self.jaeger, self.now = ForeignProgram("s"), FakeJaeger(), 0.0
        self.watch = self.watching(time.time())

    def watching(self, since: float) -> TraceWatch:
        return TraceWatch(self.jaeger, "s", since, clock=lambda: self.now)  # type: ignore[arg-type]

    def poll(self) -> list[str]:
        """The ids that a poll tells, each then done."""
        found = [each.trace.trace_id for each in self.watch.poll()]
        for trace_id in found:
            self.watch.mark_done(trace_id)
        return found


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_one_that_declares_its_spans_is_told_when_they_are_there(setup: Setup) -> None:
    spans = setup.program.trace(declared=3)
    setup.jaeger.put(spans[1:])
    assert setup.poll() == []
    trace_id = setup.jaeger.put(spans)
    assert setup.poll() == [trace_id]
    assert setup.poll() == []


def test_one_that_declares_nothing_is_told_when_it_stays_the_same(setup: Setup) -> None:
    spans = setup.program.trace(children=3)
    setup.jaeger.put(spans[1:])
    assert setup.poll() == []
    trace_id = setup.jaeger.put(spans)
    assert setup.poll() == []
    assert setup.poll() == [trace_id]
    assert setup.poll() == []


def test_one_that_lacks_something_is_told_after_a_while(setup: Setup) -> None:
    trace_id = setup.jaeger.put(setup.program.trace(declared=4))
    for now, told in ((0.0, []), (QUIET_S - 1, []), (QUIET_S, [trace_id])):
        setup.now = now
        assert setup.poll() == told


def test_one_without_a_root_is_waited_for_longer(setup: Setup) -> None:
    trace_id = setup.jaeger.put(setup.program.trace()[:-1])
    for now, told in ((0.0, []), (ROOTLESS_S - 1, []), (ROOTLESS_S, [trace_id])):
        setup.now = now
        assert setup.poll() == told


def test_one_that_a_search_finds_no_more_is_asked_for_by_id(setup: Setup) -> None:
    spans = setup.program.trace(declared=3)
    trace_id = setup.jaeger.put(spans[1:])
    assert setup.poll() == []
    setup.jaeger.hidden.add(trace_id)
    assert setup.poll() == []
    setup.jaeger.put(spans)
    assert setup.poll() == [trace_id]
    setup.jaeger.put(setup.program.trace()[:-1])
    setup.poll()
    setup.jaeger.traces.clear()
    assert setup.poll() == []
    assert setup.watch.pending == 0


def test_what_is_not_to_be_judged_is_not_told(setup: Setup) -> None:
    setup.jaeger.put(setup.program.trace(attributes={semconv.PREDICTED: "true"}))
    setup.jaeger.put(setup.program.trace(attributes={semconv.OPERATION: semconv.DETACHED}))
    assert setup.poll() == setup.poll() == []


def test_what_ended_before_the_watch_is_old(setup: Setup) -> None:
    setup.jaeger.put(setup.program.trace(declared=3))
    setup.watch = setup.watching(time.time())
    new = setup.jaeger.put(setup.program.trace(declared=3))
    assert setup.poll() == [new]


def test_however_many_have_come_none_is_missed(setup: Setup) -> None:
    ids = [setup.jaeger.put(setup.program.trace(0, declared=1)) for _ in range(130)]
    setup.jaeger.largest = 7
    assert setup.poll() == ids, "in order of start"
    assert min(setup.jaeger.asked) <= 7


def test_one_that_is_too_large_to_be_read_is_said(setup: Setup) -> None:
    setup.jaeger.put(setup.program.trace())
    setup.jaeger.largest = 0
    with pytest.raises(AnswerTooLargeError):
        setup.watch.poll()


def test_what_was_not_done_is_told_again(setup: Setup) -> None:
    setup.jaeger.put(setup.program.trace(declared=3))
    assert len(setup.watch.poll()) == len(setup.watch.poll()) == 1


def test_patience_grows_and_news_is_told_once() -> None:
    patience = PollBackoff()
    assert [patience.note_failure("down") for _ in range(9)] == [True, *[False] * 8]
    assert patience.wait_s == 60
    assert (patience.note_success(), patience.note_success()) == (True, False)
    assert (patience.wait_s, patience.problem) == (2.0, None)


@pytest.mark.jaeger
def test_a_real_jaeger(jaeger: JaegerProcess) -> None:
    program = ForeignProgram()
    send(program.trace(declared=3), jaeger.otlp_http_url)
    watch = TraceWatch(JaegerQuery(jaeger.query_url), program.service, time.time())
    spans = program.trace(declared=3)
    send(spans[:1], jaeger.otlp_http_url)
    assert watch.poll() == []
    send(spans[1:], jaeger.otlp_http_url)
    deadline = time.monotonic() + PATIENCE_S
    while not (told := watch.poll()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [each.trace.trace_id for each in told] == [id_of(spans)]
    assert told[0].name == "root"
    assert told[0].seconds is not None
