"""A call that waits for the model's rate limit: counted down on a terminal, one line elsewhere."""

import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue
from rich.console import Console

from trading_graph.otel import spans
from trading_graph.otel.spans.recording import Recording, RecordingProcessor, context_with
from trading_graph.otel.trace import semconv
from trading_graph.service.run.session import LiveProgress

LONG: dict[str, AttributeValue] = {semconv.WAIT_S: 40.0, semconv.WAIT_REASON: "rate_limit"}
SHORT: dict[str, AttributeValue] = {semconv.WAIT_S: 0.5, semconv.WAIT_REASON: "failure"}


def fault(error: BaseException) -> None:
    raise error


@contextmanager
def shown(progress: LiveProgress) -> Iterator[None]:
    """A block whose spans the progress sees."""
    provider = TracerProvider()
    provider.add_span_processor(RecordingProcessor(fault))
    recording = Recording("run", provider)
    recording.listen(progress)
    token = otel_context.attach(context_with(recording))
    try:
        yield
    finally:
        otel_context.detach(token)


def test_without_a_terminal_a_long_pause_is_one_line() -> None:
    console = Console(file=io.StringIO(), width=100)
    with (
        shown(LiveProgress(console)),
        spans.agent("trader"),
        spans.chat("m", agent="trader", turn=1) as chat,
    ):
        spans.announce(chat, "retry", SHORT)
        spans.announce(chat, "retry", LONG)
    assert isinstance(console.file, io.StringIO)
    pause, end = console.file.getvalue().splitlines()
    assert re.fullmatch(r"trader +waits 40 s: the model's rate limit", pause)
    assert "1 LLM call" in end


def test_on_a_terminal_the_pause_is_counted_down() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    progress = LiveProgress(console)

    def screen() -> str:
        with console.capture() as capture:
            console.print(progress._table())
        return capture.get()

    brief: dict[str, AttributeValue] = {**LONG, semconv.WAIT_S: 2.0}
    with (
        shown(progress),
        spans.agent("trader"),
        spans.chat("m", agent="trader", turn=1) as chat,
    ):
        spans.announce(chat, "wait", brief)
        assert "waits 2 s: the model's rate limit" in screen()
        time.sleep(1.1)
        assert "waits 1 s" in screen()
        time.sleep(1)
        assert "waits" not in screen()
        assert "thinking" in screen()


def test_a_listener_that_fails_breaks_nothing() -> None:
    class Broken:
        def on_start(self, span: object) -> None: ...

        def on_end(self, span: object) -> None: ...

        def on_event(self, span: object, name: str, attributes: object) -> None:
            raise RuntimeError

    provider = TracerProvider()
    recording = Recording("run", provider)
    recording.listen(Broken())
    token = otel_context.attach(context_with(recording))
    try:
        with spans.chat("m", agent="trader", turn=1) as chat:
            spans.announce(chat, "retry", LONG)
    finally:
        otel_context.detach(token)
