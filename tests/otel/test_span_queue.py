"""The queue of ended spans: it is bounded, counts its losses, and flushes and closes in time."""

import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from trading_graph.otel.export.span_queue import SpanQueue


class Receiver:
    """Takes batches, and blocks while `open` is not set."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()

    def __call__(self, spans: Sequence[ReadableSpan]) -> None:
        self.busy.set()
        self.open.wait(30)
        self.names += [span.name for span in spans]


def end_spans(queue: SpanQueue, *names: str) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    for name in names:
        provider.get_tracer("test").start_span(name).end()


def test_every_span_arrives_in_order() -> None:
    receiver = Receiver()
    queue = SpanQueue("test", receiver, delay_s=60, batch=10)
    names = [f"span {number}" for number in range(1_005)]
    end_spans(queue, *names)
    assert queue.flush(10)
    assert receiver.names == names
    assert list(queue.close(10)) == []
    assert queue.dropped == 0


def test_a_full_queue_loses_the_oldest_and_counts_them() -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue = SpanQueue("test", receiver, delay_s=60, batch=2, size=3)
    end_spans(queue, "a", "b")
    assert receiver.busy.wait(10), "a batch is on its way"
    end_spans(queue, "c", "d", "e", "f", "root")
    receiver.open.set()
    assert list(queue.close(10)) == []
    assert queue.dropped == 2
    assert receiver.names == ["a", "b", "e", "f", "root"]


def test_what_was_not_sent_in_time_is_given_back() -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue = SpanQueue("test", receiver, delay_s=60, batch=2)
    end_spans(queue, "a", "b", "c")
    assert receiver.busy.wait(10)
    assert not queue.flush(0.05), "it hangs, and flush says so"
    assert [span.name for span in queue.close(0.05)] == ["a", "b", "c"]
    receiver.open.set()


def test_a_fault_of_the_sender_stops_nothing() -> None:
    names: list[str] = []

    def send(spans: Sequence[ReadableSpan]) -> None:
        if not names:
            names.append("failed")
            raise OSError("disk")
        names.extend(span.name for span in spans)

    queue = SpanQueue("test", send, delay_s=60)
    end_spans(queue, "a")
    assert queue.flush(10)
    end_spans(queue, "b")
    assert list(queue.close(10)) == []
    assert names == ["failed", "b"]


def test_a_span_that_ends_after_the_close_is_counted() -> None:
    queue = SpanQueue("test", Receiver(), delay_s=60)
    queue.close(10)
    end_spans(queue, "late")
    assert queue.dropped == 1


def test_an_unsampled_span_is_not_sent() -> None:
    receiver = Receiver()
    queue = SpanQueue("test", receiver, delay_s=60)
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(queue)
    provider.get_tracer("test").start_span("no").end()
    queue.close(10)
    assert receiver.names == []
