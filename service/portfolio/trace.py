"""Recording a portfolio: one trace, with a span for each try of a ticker-day.

    invoke_workflow portfolio          declares its limits: ticker-days at once, the models' own
        ticker_day                     links to the trace of its run, which links back

A run keeps a trace of its own, of which the id is the run's. The span of a ticker-day is opened
when it has its slot. How long it waited for that is recorded, and so is what its LLM calls were
granted of the limits of their models. The trace survives a killed process as that
of a run does (`otel/files/run_log.py`), and goes on when the portfolio is resumed.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from trading_graph.graph.chat.rate_limits import declared_limits
from trading_graph.otel import spans
from trading_graph.otel.errors import TraceError
from trading_graph.otel.export import TraceFile
from trading_graph.otel.files.run_log import RunLog
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.unfinished_run import bring_up, read_unfinished_run
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.spans import RunSpan, UnfinishedRun
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies import limits
from trading_graph.otel.vocabularies.limits import DeclaredLimit
from trading_graph.otel.witness.clock import now_ns
from trading_graph.service.errors import NotResumableError
from trading_graph.service.langsmith import langsmith_target
from trading_graph.service.log import LOG
from trading_graph.service.portfolio.attributes import (
    DONE,
    NAME,
    OVER,
    PORTFOLIO_ID,
    RUN,
    SLOT_WAIT_S,
    SLOTS,
    STATE,
    TICKER_DAY,
    TICKER_DAYS,
    TRY,
    WORKFLOW,
)
from trading_graph.service.portfolio.call_tally import CallTally, PriceOf, tally_of
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayResult, TickerDayState
from trading_graph.service.replay import send_again
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.folder import TRACE, RunFolder
from trading_graph.service.run.unbroken import open_in_thread
from trading_graph.toolkit.data_attributes import AS_OF, SYMBOL

_OVER = frozenset(TickerDayState) - {TickerDayState.WAITING, TickerDayState.RUNNING}
_NO_ERROR = frozenset({TickerDayState.DONE, TickerDayState.WAITING, TickerDayState.RUNNING})


@dataclass(frozen=True, slots=True)
class PortfolioPlan:
    """What the trace of a portfolio says at its start; `portfolio_id` has 32 hex digits.

    `at_once` is None where several workers have slots, each its own.
    """

    portfolio_id: str
    name: str
    ticker_days: int
    at_once: int | None


class TickerDaySpan:
    """The span of one try of a ticker-day; the listener of its run.

    `Engine.run` and `Engine.resume` take it among their `listeners`, and `links` as their links.
    """

    def __init__(self, ticker_day: TickerDay, span: Span, tally: CallTally) -> None:
        self._ticker_day = ticker_day
        self._span = span
        self._tally = tally

    @property
    def links(self) -> Sequence[Link]:
        """What the run's span links to."""
        context = self._span.get_span_context()
        return [Link(context)] if context.is_valid else []

    def on_start(self, span: ReadableSpan) -> None:
        """Take no notice of a start."""

    def on_end(self, span: ReadableSpan) -> None:
        """Count what a call of the run took."""
        self._tally.on_end(span)

    def ended(self, result: TickerDayResult, error_type: str = "") -> None:
        """Record what the try came to; a state that is no end says that another try follows.

        `error_type` is the class of what went wrong.
        """
        self._span.set_attributes(state_attributes(result))
        if error_type or result.state not in _NO_ERROR:
            kind = error_type or str(result.state)
            self._span.set_attribute(semconv.ERROR_TYPE, kind)
            self._span.set_status(Status(StatusCode.ERROR, kind))


class PortfolioSpan:
    """A portfolio that is being recorded; `trace_id` is None where nothing is recorded."""

    def __init__(self, run: RunSpan, price_of: PriceOf) -> None:
        self.trace_id = run.trace_id
        self._recording = run.recording
        self._price_of = price_of
        # With its span and its recording; below it tasks begin that know neither.
        self._context = otel_context.get_current()
        self._began_ns = now_ns()

    @contextmanager
    def ticker_day(
        self, ticker_day: TickerDay, tries: int, *, queued_ns: int | None = None
    ) -> Iterator[TickerDaySpan]:
        """Open the span of a try, which has its slot now; an exception that leaves it is its error.

        `tries` counts from 1. `queued_ns` is since when it waited for its slot, in nanoseconds
        since the epoch; the default is the beginning of the portfolio in this process. A run that
        begins inside has a trace of its own.
        """
        now = now_ns()
        wait_s = max(now - (queued_ns or self._began_ns), 0) / 1e9
        # The end of a span may never be written; its start is.
        queued = {SLOT_WAIT_S: round(wait_s, 3)}
        with self._opened(ticker_day, tries, queued) as span:
            spans.record_grant(span, now, _slot_attributes(wait_s))
            tally = CallTally(self._price_of)
            token = otel_context.attach(Context())
            try:
                yield TickerDaySpan(ticker_day, span, tally)
            finally:
                otel_context.detach(token)
                for event in tally.grants:
                    span.add_event(event.name, event.attributes, event.timestamp)
                span.set_attributes(tally.attributes(now))

    def without_run(self, result: TickerDayResult, error_type: str = "") -> None:
        """Record a ticker-day that ended before any try, such as one of an unknown symbol."""
        with self._opened(result.ticker_day, 0) as span:
            TickerDaySpan(result.ticker_day, span, CallTally(self._price_of)).ended(
                result, error_type
            )

    def leave(self) -> None:
        """Leave the portfolio to whoever resumes it, as a killed process would.

        What is recorded from now on is dropped; `Engine.leave` does the same for runs.
        """
        self._recording.silence()

    @contextmanager
    def _opened(
        self, ticker_day: TickerDay, tries: int, more: Mapping[str, AttributeValue] | None = None
    ) -> Iterator[Span]:
        token = otel_context.attach(self._context)
        try:
            with spans.open_span(
                TICKER_DAY,
                attributes={**try_attributes(ticker_day, tries), **(more or {})},
                links=[Link(spans.run_context(ticker_day.run_id))],
            ) as span:
                yield span
        finally:
            otel_context.detach(token)


@asynccontextmanager
async def record_portfolio(
    folder: Path, engine: Engine, plan: PortfolioPlan
) -> AsyncIterator[PortfolioSpan]:
    """Record a portfolio in `trace.jsonl` of its folder, or go on with the trace that is there.

    Of a try that a killed process left, the calls that had ended are counted. Raises
    NotResumableError where another process records it, or its trace cannot be read, and OSError.
    """
    price_of = engine.settings.price
    files = await open_in_thread(
        lambda: _Files.open(folder, engine.redactor, engine.out, price_of),
        lambda opened: opened.close(over=False),
    )
    over = False
    try:
        async with spans.run(
            WORKFLOW,
            provider=engine.telemetry.provider,
            attributes=plan_attributes(engine, plan),
            parent=Context(),
            run_id=uuid.UUID(plan.portfolio_id),
            unfinished=files.unfinished,
            listeners=[files.trace],
        ) as run:
            portfolio = PortfolioSpan(run, price_of)
            yield portfolio
            # One that was left goes on elsewhere.
            over = bool(run.recording.listeners)
    finally:
        await asyncio.to_thread(files.close, over=over)
        if files.unfinished is not None:
            target = langsmith_target(engine.settings, engine.langsmith)
            spans_before = files.unfinished.ended_spans
            await asyncio.to_thread(send_again, engine.settings, target, spans_before)


@dataclass(frozen=True, slots=True)
class _Files:
    """The log of a portfolio, and what an earlier process left in it."""

    log: RunLog
    trace: TraceFile
    unfinished: UnfinishedRun | None

    @classmethod
    def open(cls, folder: Path, redactor: Redactor, out: Path, price_of: PriceOf) -> "_Files":
        """Open the log and lock it. Blocks; raises NotResumableError or OSError."""
        path = folder / TRACE
        folder.mkdir(parents=True, exist_ok=True)
        if not bring_up(path):
            log = None
        elif path.exists():
            log = RunLog.take_up(path)
        else:
            log = RunLog.begin(path)
        if log is None:
            raise NotResumableError(
                f"The portfolio {folder.name} is under way in another process; leave it to that."
            )
        try:
            unfinished = read_unfinished_run(path, or_ended=True)
            if unfinished is not None:
                unfinished = _with_calls(unfinished, out, price_of)
            return cls(log, TraceFile(log, redactor), unfinished)
        except TraceError as error:
            log.close(over=False)
            raise NotResumableError(
                f"The trace of portfolio {folder.name} cannot be read: {error}"
            ) from error
        except BaseException:
            log.close(over=False)
            raise

    def close(self, *, over: bool) -> None:
        """Write and close it; with `over`, it says that the portfolio is. Blocks."""
        self.trace.close()
        self.log.close(over=over)


def _with_calls(unfinished: UnfinishedRun, out: Path, price_of: PriceOf) -> UnfinishedRun:
    """What was left open, with the calls of each try that had ended when its process was killed."""
    open_spans = [_with_calls_of(each, out, price_of) for each in unfinished.open_spans]
    return replace(unfinished, open_spans=tuple(open_spans))


def _with_calls_of(span: ReadableSpan, out: Path, price_of: PriceOf) -> ReadableSpan:
    attributes, start_ns = span.attributes or {}, span.start_time or 0
    run_id = attributes.get(RUN)
    if not isinstance(run_id, str):
        return span
    tally = tally_of(ended_spans(RunFolder(out, run_id).trace), start_ns, price_of)
    slot = _slot_attributes(cast("float", attributes.get(SLOT_WAIT_S, 0.0)))
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes={**attributes, **tally.attributes(start_ns)},
        events=[Event(limits.GRANT, slot, start_ns), *tally.grants],
        links=span.links,
        kind=span.kind,
        start_time=span.start_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def ended_spans(trace: Path) -> Sequence[ReadableSpan]:
    """The spans in the trace of a run; none where it cannot be read. Blocks."""
    try:
        return from_lines(trace.read_bytes(), str(trace))
    except FileNotFoundError:
        return ()
    except (OSError, TraceError) as error:
        LOG.warning("The calls in %s are not counted: %s", trace, error)
        return ()


def _slot_attributes(wait_s: float) -> dict[str, AttributeValue]:
    return spans.grant_attributes({SLOTS: 1}, wait_s=wait_s, waited_for=SLOTS)


def plan_attributes(engine: Engine, plan: PortfolioPlan) -> dict[str, AttributeValue]:
    """The attributes of the span of a portfolio."""
    choice = engine.backends.choice
    slots = [] if plan.at_once is None else [DeclaredLimit(SLOTS, plan.at_once, unit=SLOTS)]
    declared = [*slots, *declared_limits(engine.backends.models.service)]
    return {
        PORTFOLIO_ID: plan.portfolio_id,
        NAME: plan.name,
        TICKER_DAYS: plan.ticker_days,
        semconv.LATENCY_SIMULATED: choice.simulated,
        **spans.limit_attributes(declared),
    }


def try_attributes(ticker_day: TickerDay, tries: int) -> dict[str, AttributeValue]:
    """The attributes of the span of a try; `tries` counts from 1."""
    return {
        semconv.OPERATION: TICKER_DAY,
        semconv.LANGSMITH_SPAN_KIND: "chain",
        SYMBOL: ticker_day.symbol,
        AS_OF: str(ticker_day.date),
        limits.ITEM: f"{ticker_day.symbol} {ticker_day.date}",
        RUN: ticker_day.run_id,
        TRY: tries,
    }


def state_attributes(result: TickerDayResult) -> dict[str, AttributeValue]:
    """The attributes that say what a try came to."""
    attributes: dict[str, AttributeValue] = {
        STATE: result.state,
        OVER: result.state in _OVER,
    }
    if result.state is TickerDayState.DONE:
        attributes[DONE] = result.ticker_day.run_id
    return attributes
