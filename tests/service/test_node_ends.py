"""The end of a node's span is told once what the node has brought is kept, and not before."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import Status, StatusCode

from trading_graph.otel.trace import semconv
from trading_graph.service.run.resume import NodeEnds

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")


class Told:
    def __init__(self) -> None:
        self.starts: list[str] = []
        self.ends: list[str] = []

    def on_start(self, span: ReadableSpan) -> None:
        self.starts.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self.ends.append(span.name)


def span(name: str, task: str | None = None, *, failed: bool = False) -> ReadableSpan:
    made = TRACER.start_span(name, attributes={semconv.TASK_ID: task} if task is not None else {})
    if failed:
        made.set_status(Status(StatusCode.ERROR))
    made.end()
    assert isinstance(made, ReadableSpan)
    return made


def test_an_end_waits_for_its_own_task_only() -> None:
    told = Told()
    ends = NodeEnds(told)
    news, market = span("news", "1"), span("market", "2")
    for each in (news, market):
        ends.on_start(each)
    assert told.starts == ["news", "market"]
    for each in (span("tool"), span("no task", ""), news, market):
        ends.on_end(each)
    assert told.ends == ["tool", "no task"]
    ends.checkpoint_stored("2")
    ends.checkpoint_stored("3")
    assert told.ends == ["tool", "no task", "market"]
    ends.checkpoint_stored("1")
    ends.checkpoint_stored("1")
    assert told.ends == ["tool", "no task", "market", "news"]


def test_what_failed_waits_for_nothing_and_what_is_kept_already_neither() -> None:
    told = Told()
    ends = NodeEnds(told)
    ends.on_end(span("first try", "1", failed=True))
    ends.checkpoint_stored("1")
    ends.on_end(span("late", "1"))
    assert told.ends == ["first try", "late"]


def test_a_run_that_is_over_holds_nothing_back() -> None:
    told = Told()
    ends = NodeEnds(told)
    for number in range(3):
        ends.on_end(span(f"agent {number}", str(number)))
    assert told.ends == []
    ends.release()
    assert told.ends == ["agent 0", "agent 1", "agent 2"]
    ends.release()
    assert len(told.ends) == 3
