"""Replay of spans that a backend did not accept: for `trading-graph replay`, and beside a run."""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Thread

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.errors import TraceError
from trading_graph.otel.export import (
    JAEGER,
    LANGSMITH,
    LangSmithTarget,
    Replay,
    Spool,
    jaeger_exporter,
    jaeger_is_enabled,
    langsmith_exporter,
    spool_of,
)
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.settings import Settings
from trading_graph.service.watching import PollBackoff

_LOG = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
"""Timeout of a batch; no run waits for it, so a slow backend may take its time."""

_REST = 10
"""Beside a run, the pause after a batch is this many times as long as the batch took."""


@dataclass(frozen=True, slots=True)
class ReplayTarget:
    """A backend that accepts replayed spans."""

    name: str
    spool: Spool
    replay: Replay


def targets(
    settings: Settings, langsmith: LangSmithTarget | None, *, ask: bool = True
) -> list[ReplayTarget]:
    """The configured backends; with `ask` Jaeger is asked which spans it has already.

    Raises ExporterSettingsError.
    """
    jaeger = JaegerQuery(settings.jaeger_url)

    def known_spans(trace_id: str) -> tuple[str, ...]:
        trace = jaeger.trace(trace_id) if ask else None
        return () if trace is None else trace.span_ids

    backends = []
    if jaeger_is_enabled():
        replay = Replay(jaeger_exporter(_TIMEOUT_S), known_spans)
        backends.append(ReplayTarget(JAEGER, spool_of(settings.spool, JAEGER), replay))
    if langsmith is not None:
        # Its ids follow from ours, so a span that is sent twice is one run there.
        replay = Replay(langsmith_exporter(langsmith, _TIMEOUT_S), lambda trace_id: ())
        backends.append(ReplayTarget(LANGSMITH, spool_of(settings.spool, LANGSMITH), replay))
    return backends


@contextlib.contextmanager
def replaying(settings: Settings, langsmith: LangSmithTarget | None) -> Iterator[None]:
    """Send the spool while the block runs, again and again, on a thread that mostly pauses."""
    stop = Event()
    arguments = (settings, langsmith, stop)
    Thread(target=_in_background, args=arguments, name="replay", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def send_again(
    settings: Settings, langsmith: LangSmithTarget | None, spans: Sequence[ReadableSpan]
) -> None:
    """Send the spans of a killed process that a backend lacks; spool what it does not accept.

    Blocks.
    """
    for target in targets(settings, langsmith):
        try:
            complete = not any(done.refused for done in target.replay.spans(spans))
        except TraceError as error:
            _LOG.info("%s cannot be asked what it has: %s", target.name, error)
            complete = False
        try:
            if not complete:
                target.spool.put(spans)
        except OSError as error:
            _LOG.warning("Spans for %s cannot be kept: %s", target.name, error)


def _in_background(settings: Settings, langsmith: LangSmithTarget | None, stop: Event) -> None:
    """Send what is in the spools, and look again until told to stop: a backend may come back."""
    backoff = PollBackoff()
    while not stop.is_set():
        problems = [
            problem
            for target in targets(settings, langsmith)
            if target.spool.batches() and (problem := _send_spool(target, stop)) is not None
        ]
        if problems and backoff.note_failure("; ".join(problems)):
            _LOG.info("The spool waits on: %s", backoff.problem)
        elif not problems and backoff.note_success():
            _LOG.info("The spool is sent.")
        stop.wait(backoff.wait_s)


def _send_spool(target: ReplayTarget, stop: Event) -> str | None:
    """Send a spool until its end, a refusal or a stop; returns why something waits on."""
    try:
        with target.spool.lock() as mine:
            before = time.monotonic()
            for result in target.replay.spool(target.spool) if mine else ():
                if result.refused and result.unreadable is None:
                    return f"{target.name} refuses spans"
                if stop.wait(_REST * (time.monotonic() - before)):
                    return None
                before = time.monotonic()
    except (OSError, TraceError) as error:
        return f"{target.name}: {error}"
    return None
