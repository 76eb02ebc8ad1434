"""`trading-graph data`: all that is known of a symbol as of a date, and how it was fetched.

The fetches are recorded in memory, as a trace of this command alone; nothing is sent or written.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel import spans
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.sources.memory import from_spans
from trading_graph.otel.spans.recording import context_with
from trading_graph.otel.trace import Span, Trace
from trading_graph.otel.vocabularies import Role
from trading_graph.service.commands.data_document import Snapshot, write_csv, write_json
from trading_graph.service.commands.data_table import show_fetches, show_snapshot
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import backend_choice, read_settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import DataError, NoDataError
from trading_graph.toolkit.live_access import Mode
from trading_graph.toolkit.market_data import AsyncToolkit, MarketData, open_toolkit
from trading_graph.toolkit.sources.source import gather_parts
from trading_graph.toolkit.symbols import parse_symbol


def data_command(
    *, symbol: str, date: str | None, data: Mode | None, offline: bool, format: str
) -> ExitCode:
    """Show what is known of a symbol, and return the exit code."""
    talk, settings = Console(stderr=True), read_settings()
    choice = backend_choice(settings, offline=offline, own_model=False, data=data)
    name, as_of = parse_symbol(symbol), AsOf.parse(date or default_date(choice.data))
    talk.print(
        f"{name} as of {as_of} · data: {choice.data_label}"
        f"{' · latencies are simulated' if choice.data == 'offline' else ''}",
        highlight=False,
        soft_wrap=True,
    )
    with talk.status("fetching") if talk.is_terminal else nullcontext(), _without_log():
        snapshot = asyncio.run(_fetch(name, as_of, choice, settings.redactor))
    if snapshot.is_empty or (format == "csv" and snapshot.data.bars is None):
        raise NoDataError(snapshot.missing["bars"])
    if format == "table":
        show_snapshot(Console(file=sys.stdout, highlight=False, emoji=False), snapshot)
    else:
        (write_json if format == "json" else write_csv)(snapshot)
    show_fetches(talk, snapshot)
    return ExitCode.OK


async def _fetch(name: str, as_of: AsOf, choice: BackendChoice, redactor: Redactor) -> Snapshot:
    """Fetch everything at once, and record that."""
    exporter = InMemorySpanExporter()
    # Whatever is set for the traces of runs: this one is shown, and sent nowhere.
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.get_empty(),  # Detecting one would block.
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    latency_s = choice.fetch_latency_s
    async with open_toolkit(choice.data, choice.access, embedded_latency_s=latency_s) as toolkit:
        token = otel_context.attach(context_with(spans.Recording(f"data {name}", provider)))
        try:
            with spans.open_span(f"data {name}"):
                data = await toolkit.get_all_market_data(name, as_of)
            reasons = {**data.errors, **await _absent_sources(toolkit, data)}
        finally:
            otel_context.detach(token)
    missing = {part: redactor.text(str(error)) for part, error in reasons.items()}
    fetches = _fetches(exporter.get_finished_spans())
    return await asyncio.to_thread(Snapshot.of, data, missing, fetches, redactor)


@contextmanager
def _without_log() -> Iterator[None]:
    """Drop what libraries log, such as retries: Python prints it where nobody else takes it."""
    handler, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


async def _absent_sources(toolkit: AsyncToolkit, data: MarketData) -> dict[str, DataError]:
    """Why the parts are missing that this mode has no source of."""
    requests = {
        name: fetch(data.symbol, data.as_of)
        for name, fetch, sources in (
            ("news", toolkit.news, toolkit.sources.news),
            ("posts", toolkit.posts, toolkit.sources.attention),
        )
        if not sources
    }
    _, errors = await gather_parts(requests)
    return errors


def _fetches(ended: Sequence[ReadableSpan]) -> tuple[Span, ...]:
    """The fetches in order of start; none where OTEL_SDK_DISABLED lets nothing be recorded."""
    traces = map(Trace, from_spans(ended) if ended else ())
    return tuple(span for trace in traces for span in trace if span.role is Role.FETCH)
