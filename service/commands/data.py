"""`trading-graph data`: all that is known of a symbol as of a date, and how it was fetched.

The fetches are recorded in memory, as a trace of this command alone; nothing is sent or written.
"""

import asyncio
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel import spans
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.report import bars as draw_bars
from trading_graph.otel.sources.in_memory import from_spans
from trading_graph.otel.spans.recording import context_with
from trading_graph.otel.trace import Span, Trace
from trading_graph.otel.vocabularies import Role, witness
from trading_graph.service.commands.data_document import Snapshot, write_csv, write_json
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.run.request import default_date
from trading_graph.service.settings import backend_choice, read_settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.cache_use import count_cache_use
from trading_graph.toolkit.errors import DataError, NoDataError
from trading_graph.toolkit.live_access import Mode
from trading_graph.toolkit.market_data import AsyncToolkit, MarketData, open_toolkit
from trading_graph.toolkit.records import Filing, Filings, Headline, Insiders
from trading_graph.toolkit.sources.source import gather_parts
from trading_graph.toolkit.statements import CONCEPTS
from trading_graph.toolkit.symbols import parse_symbol
from trading_graph.toolkit.tools.filings import FORMS, ITEMS
from trading_graph.toolkit.tools.macro import LABELS
from trading_graph.toolkit.tools.tool import percent


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
    opened = open_toolkit(
        choice.data,
        choice.access,
        embedded_latency_s=choice.fetch_latency_s,
        cache_file=choice.cache_file,
    )
    async with opened as toolkit:
        token = otel_context.attach(context_with(spans.Recording(f"data {name}", provider)))
        try:
            with spans.open_span(f"data {name}") as span, count_cache_use(span) as uses:
                data = await toolkit.get_all_market_data(name, as_of)
            reasons = {**data.errors, **await _absent_sources(toolkit, data)}
        finally:
            otel_context.detach(token)
    missing = {part: redactor.text(str(error)) for part, error in reasons.items()}
    fetches = _fetches(exporter.get_finished_spans())
    stored = sum(use["stored"] for use in uses.values())
    return await asyncio.to_thread(Snapshot.of, data, missing, fetches, stored, redactor)


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


_SHOWN = 6
_MONTH, _YEAR = 20, 252
_SMALL = 0.01  # Below it two decimals show nothing.
_MANY_IMPORTS = 100  # A first use imports libraries, which takes longer than most fetches.
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k"))
_PERCENTAGES = frozenset(
    ("gross_margin", "operating_margin", "net_margin", "revenue_growth_yoy", "fcf_yield")
)
_ORDER = [concept for concepts in CONCEPTS.values() for concept in concepts]
_KINDS = {"income": "Income", "balance": "Balance sheet", "cash_flow": "Cash flow"}

Figures = Sequence[tuple[str, str]]


def show_snapshot(console: Console, snapshot: Snapshot) -> None:
    """Print every section that has data, then what is missing and why."""
    data = snapshot.data
    session = f" · last session {data.bars.session:%A %Y-%m-%d}" if data.bars else ""
    console.print(Text.assemble((f"{data.symbol} as of {data.as_of}", "bold"), session))
    if snapshot.session_note:
        console.print(Text(snapshot.session_note, "yellow"))
    for part in _sections(snapshot):
        console.print(part)
    for title, note, rows in (
        ("Missing", "", _gaps(snapshot)),
        (
            "Stand-ins",
            "another source serves, as the preferred one failed",
            _failures(snapshot),
        ),
        ("Sources", "", _sources(snapshot)),
    ):
        if lines := list(rows):
            console.print(_heading(title, note))
            console.print(_rows(lines))


def show_fetches(console: Console, snapshot: Snapshot) -> None:
    """Print the fetches on one time axis, and what that shows."""
    fetches, stored = snapshot.fetches, snapshot.stored
    if stored:
        console.print(
            f"\n{stored} answers came from the cache file; TRADING_GRAPH_CACHE_FILE=none fetches "
            "them anew.",
            highlight=False,
        )
    if not fetches:
        if not stored:
            console.print("No fetch was recorded: OTEL_SDK_DISABLED is set, or nothing was asked.")
        return
    alone = sum(span.duration_s for span in fetches)
    longest = max(fetches, key=lambda span: span.duration_s)
    console.print(
        f"\n[bold]{len(fetches)} fetches in {snapshot.fetch_s:.2f} s[/], up to "
        f"{snapshot.most_at_once} at the same time; one after the other {alone:.2f} s.",
        highlight=False,
    )

    def name(span: Span) -> str:
        return snapshot.fetch_name(span) + (" (failed)" if span.failed else "")

    console.print(draw_bars(fetches, width=console.width, name=name))
    imports = int(witness.imports(longest.attributes) or 0)
    console.print(
        Text.assemble(
            f"{snapshot.fetch_name(longest)} took longest: {longest.duration_s:.2f} s",
            f", in which {imports} modules were imported." if imports >= _MANY_IMPORTS else ".",
            " Latencies of embedded data are simulated." if snapshot.simulated else "",
        )
    )


def _sections(snapshot: Snapshot) -> Iterator[RenderableType]:
    data = snapshot.data
    if data.bars:
        yield _heading("Prices", data.bars.currency or "currency not named")
        for warning in data.bars.warnings:
            yield Text(warning, "yellow")
        yield _figures(list(_prices(data.bars)))
        if data.bars.splits:
            splits = "; ".join(f"{ratio:g} for 1 on {day}" for day, ratio in data.bars.splits)
            yield Text(f"Splits: {splits}", "dim")
        yield _heading("Indicators")
        yield _figures([(name, _plain(value)) for name, value in snapshot.indicators.items()])
    if snapshot.ratios:
        yield _heading("Ratios", snapshot.ratios.basis.get("flows", ""))
        yield _figures(
            [(name, _ratio(name, each)) for name, each in snapshot.ratios.values.items()]
        )
        if note := snapshot.ratios.basis.get("note"):
            yield Text(note, "yellow")
    yield from _statements(snapshot)
    if data.filings:
        yield _heading("Filings", _since(data.filings, data.filings.filings))
        yield _rows((str(each.filed), each.form, _meaning(each)) for each in _newest(data.filings))
    if data.insiders:
        yield _heading("Insiders", _since(data.insiders, data.insiders.filings))
        yield from _insiders(data.insiders)
    if data.news:
        yield _heading("News", f"{len(data.news.headlines)} headlines of the week")
        headlines = data.news.headlines[:_SHOWN]
        yield _rows((f"{each.published:%m-%d %H:%MZ}", _title(each)) for each in headlines)
    if data.posts:
        moods = Counter(post.mood for post in data.posts.posts)
        note = f"{len(data.posts.posts)}: {moods['bullish']} bullish, {moods['bearish']} bearish"
        yield _heading("Posts", note)
        posts = data.posts.posts[:_SHOWN]
        yield _rows((f"{each.published:%m-%d %H:%MZ}", each.mood, each.text) for each in posts)
    if data.macro:
        revised = any(series.revised for series in data.macro.values())
        note = "latest revisions, not first values" if revised else ""
        yield _heading("Macro", note)
        yield _rows(
            (name, str(last.date), _plain(last.value), LABELS.get(name, ""))
            for name, last in ((name, each.observations[-1]) for name, each in data.macro.items())
        )


def _statements(snapshot: Snapshot) -> Iterator[RenderableType]:
    for kind, answer in snapshot.data.statements.items():
        period = snapshot.latest.get(kind)
        if period is None:
            continue
        span = f"{period.months} months to {period.end}" if period.months else f"at {period.end}"
        money = answer.currency or "the company's currency"
        note = f"{span}, {period.form} filed {period.filed}, {money}"
        yield _heading(_KINDS[kind], note)
        values = sorted(period.values.items(), key=lambda line: _place(line[0]))
        yield _figures([(name, _amount(value)) for name, value in values])


def _place(concept: str) -> int:
    """Where a line of a statement stands; sums follow what they are the sums of."""
    return _ORDER.index(concept) if concept in _ORDER else len(_ORDER)


def _prices(bars: Bars) -> Iterator[tuple[str, str]]:
    close, high, low = bars.close, bars.high, bars.low
    yield "close", _plain(float(close[-1]))
    for sessions, name in ((1, "change"), (5, "5 sessions"), (20, "20 sessions")):
        if len(bars) > sessions:
            yield name, _percent(percent(float(close[-1]), float(close[-1 - sessions])))
    yield "open", _plain(float(bars.open[-1]))
    yield "range", _range(float(low[-1]), float(high[-1]))
    for sessions in dict.fromkeys(min(size, len(bars)) for size in (_MONTH, _YEAR)):
        lowest, highest = float(low[-sessions:].min()), float(high[-sessions:].max())
        yield f"range, {sessions} sessions", _range(lowest, highest)
    month = bars.volume[-_MONTH:]
    yield "volume", _amount(float(bars.volume[-1]))
    yield f"volume, mean of {len(month)}", _amount(float(month.mean()))
    yield "sessions", f"{len(bars):,}"
    yield "first session", str(bars.day(0))


def _insiders(answer: Insiders) -> Iterator[RenderableType]:
    if answer.filings:
        days = Counter(filing.filed for filing in answer.filings)
        newest = sorted(days, reverse=True)[:_SHOWN]
        counts = ", ".join(f"{day} ({days[day]})" for day in newest)
        yield Text(f"Newest reports (form 4): {counts}")
    if answer.trades:
        newest_trades = answer.trades[: -_SHOWN - 1 : -1]
        yield _rows((str(trade.traded), trade.who, trade.text) for trade in newest_trades)


def _title(line: Headline) -> str:
    """A headline with its publisher, which some sources name in the title."""
    is_complete = not line.publisher or line.title.endswith(line.publisher)
    return line.title if is_complete else f"{line.title} ({line.publisher})"


def _newest(answer: Filings) -> Sequence[Filing]:
    return answer.filings[: -_SHOWN - 1 : -1]


def _since(answer: Filings | Insiders, filings: Sequence[Filing]) -> str:
    return f"{len(filings)} reports since {answer.since}" if filings else f"since {answer.since}"


def _meaning(filing: Filing) -> str:
    form = filing.form.removesuffix("/A")
    items = [ITEMS.get(item, item) for item in filing.items if item != "9.01"]
    return "; ".join(items) or FORMS.get(form, form)


def _gaps(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """What is missing and why; parts with one reason stand on one line."""
    parts = [(reason, part.removeprefix("macro.")) for part, reason in snapshot.missing.items()]
    if snapshot.ratios:
        parts += [(reason, name) for name, reason in snapshot.ratios.missing.items()]
    for reason, names in _group(parts):
        yield names, reason
    for reason in snapshot.data.news.missing if snapshot.data.news else ():
        yield "some news", snapshot.redactor.text(reason)


def _failures(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Why a source stands in for the preferred one, beside the parts that it gave."""
    answers = snapshot.answers.items()
    for reason, parts in _group((each.stands_in, part) for part, each in answers):
        if reason:
            yield parts, snapshot.redactor.text(reason)


def _sources(snapshot: Snapshot) -> Iterable[tuple[str, str]]:
    """The parts that each source gave."""
    return _group((answer.source, part) for part, answer in snapshot.answers.items())


def _group(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Each first word once, with the second ones that stand beside it."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, name in pairs:
        groups[key].append(name)
    return [(key, ", ".join(names)) for key, names in groups.items()]


def _heading(title: str, note: str = "") -> Text:
    return Text.assemble("\n", (title, "bold"), (f"  {note}" if note else "", "dim"))


def _figures(figures: Figures) -> Columns:
    """Names with their values, in as many columns as there is room for."""
    left = max((len(name) for name, _ in figures), default=0)
    right = max((len(value) for _, value in figures), default=0)
    cells = [
        Text.assemble((f"{name:<{left}}", "dim"), f"  {value:>{right}}", no_wrap=True)
        for name, value in figures
    ]
    return Columns(cells, padding=(0, 3), column_first=True)


def _rows(rows: Iterable[Sequence[str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        # The words of strangers are texts, never markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if abs(value) >= _SMALL or value == 0 else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} %"


def _range(low: float, high: float) -> str:
    return f"{_plain(low)} to {_plain(high)}"


def _amount(value: float) -> str:
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:,.2f} {unit}"
    return f"{value:,.2f}"


def _ratio(name: str, value: float) -> str:
    return f"{value * 100:.2f} %" if name in _PERCENTAGES else _amount(value)
