"""What `trading-graph data` knows of a symbol, and the two forms of it for programs.

docs/json.md describes the JSON object, whose schema version is 1.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

import click
import msgspec

from trading_graph.otel.redaction import Redactor
from trading_graph.otel.trace import Span, semconv
from trading_graph.toolkit import data_attributes, indicators
from trading_graph.toolkit.bars import Bars
from trading_graph.toolkit.market_data import MarketData
from trading_graph.toolkit.ratios import Currencies, Ratios
from trading_graph.toolkit.ratios import compute as compute_ratios
from trading_graph.toolkit.records import SourceAnswer, Statements
from trading_graph.toolkit.statements import (
    Period,
    amounts,
    balances,
    on_share_basis,
    quarters,
    years,
)
from trading_graph.toolkit.tools.macro import LABELS
from trading_graph.toolkit.tools.tool import indicator_digits, number

_COLUMNS = ("date", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Market data, what follows from it, the reason for each missing part, and the fetches.

    `indicators` are those of the last session, None before their warm-up. `latest` is the newest
    period of each kind of statement. `ratios` needs prices and a statement. `stored` answers came
    from the cache's file.
    """

    data: MarketData
    indicators: Mapping[str, float | None]
    latest: Mapping[str, Period]
    ratios: Ratios | None
    missing: Mapping[str, str]
    fetches: tuple[Span, ...]
    stored: int
    redactor: Redactor

    @classmethod
    def of(
        cls,
        data: MarketData,
        missing: Mapping[str, str],
        fetches: tuple[Span, ...],
        stored: int,
        redactor: Redactor,
    ) -> Self:
        """Compute what follows from the data; the first time it imports pandas. Blocks."""
        bars, statements = data.bars, data.statements
        columns = indicators.compute(bars) if bars else {}
        facts = [fact for answer in statements.values() for fact in answer.facts]
        ratios = None
        if bars and facts:
            close = float(bars.close[-1])
            money = Currencies(
                bars.currency, {kind: answer.currency for kind, answer in statements.items()}
            )
            ratios = compute_ratios(facts, close, bars.session, bars.splits, data.as_of.date, money)
        latest = {kind: _latest(answer, bars) for kind, answer in statements.items()}
        return cls(
            data=data,
            indicators={
                name: number(float(column[-1]), indicator_digits(name, bars))
                for name, column in columns.items()
            },
            latest={kind: period for kind, period in latest.items() if period},
            ratios=ratios,
            missing=missing,
            fetches=fetches,
            stored=stored,
            redactor=redactor,
        )

    @property
    def answers(self) -> Mapping[str, SourceAnswer]:
        """What the sources gave, by part."""
        data = self.data
        parts: dict[str, SourceAnswer | None] = {"prices": data.bars, **data.statements}
        parts |= {"filings": data.filings, "insiders": data.insiders, **data.macro}
        parts |= {"news": data.news, "posts": data.posts}
        return {part: answer for part, answer in parts.items() if answer is not None}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the symbol itself."""
        data = self.data
        if data.bars is not None or data.statements or data.filings:
            return False
        insiders = data.insiders and (data.insiders.filings or data.insiders.trades)
        headlines, posts = data.news and data.news.headlines, data.posts and data.posts.posts
        return not (insiders or headlines or posts)

    @property
    def simulated(self) -> bool:
        """Whether embedded data, whose latencies are simulated, is among the answers."""
        return any(answer.data_mode == "offline" for answer in self.answers.values())

    @property
    def session_note(self) -> str | None:
        """Why an earlier session is shown, where one is."""
        bars = self.data.bars
        return self.data.as_of.session_note(bars.session) if bars else None

    @property
    def fetch_s(self) -> float:
        """The time from the first fetch's start to the last one's end."""
        if not self.fetches:
            return 0.0
        first = min(span.start_ns for span in self.fetches)
        return (max(span.end_ns for span in self.fetches) - first) / 1e9

    @property
    def most_at_once(self) -> int:
        """The greatest number of fetches that ran at the same time."""
        changes = [(span.start_ns, 1) for span in self.fetches]
        changes += [(span.end_ns, -1) for span in self.fetches]
        return max(accumulate(change for _, change in sorted(changes)), default=0)

    def fetch_name(self, span: Span) -> str:
        """The source of a fetch, and what was asked for where that is not the symbol."""
        source = str(span.attributes.get(semconv.SOURCE))
        subject = str(span.attributes.get(data_attributes.SYMBOL, ""))
        return f"{source} {subject}".rstrip() if subject != self.data.symbol else source


def _latest(answer: Statements, bars: Bars | None) -> Period | None:
    """The newest period; a quarter rather than a year that ends with it."""
    by_concept = amounts(on_share_basis(answer.facts, bars.splits if bars else ()))
    if answer.kind == "balance":
        return next(iter(balances(by_concept)), None)
    newest = (*quarters(by_concept)[:1], *years(by_concept)[:1])
    return max(newest, key=lambda period: period.end, default=None)


def write_json(snapshot: Snapshot) -> None:
    """Write everything as one JSON object to stdout."""
    document = snapshot.redactor.document(_document(snapshot))
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))


def write_csv(snapshot: Snapshot) -> None:
    """Write the bars as CSV to stdout, one line a session, oldest first."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_COLUMNS)
    if snapshot.data.bars:
        writer.writerows(row.values() for row in _rows(snapshot.data.bars))
    click.echo(lines.getvalue(), nl=False)


def _document(snapshot: Snapshot) -> dict[str, Any]:
    data = snapshot.data
    modes = {answer.data_mode for answer in snapshot.answers.values()}
    first = min((span.start_ns for span in snapshot.fetches), default=0)
    return {
        "schema_version": 1,
        "symbol": data.symbol,
        "as_of": str(data.as_of),
        "session": str(data.bars.session) if data.bars else None,
        "note": snapshot.session_note,
        "data_mode": modes.pop() if len(modes) == 1 else "mixed",
        "simulated_latency": snapshot.simulated,
        "bars": _bars(data.bars) if data.bars else None,
        "indicators": dict(snapshot.indicators),
        "ratios": _builtins(snapshot.ratios),
        "statements": {
            kind: {**_answer(answer), "latest": _builtins(snapshot.latest.get(kind))}
            for kind, answer in data.statements.items()
        },
        "filings": _answer(data.filings),
        "insiders": _answer(data.insiders),
        "macro": {
            name: {**_answer(answer), "label": LABELS.get(name, name)}
            for name, answer in data.macro.items()
        },
        "news": _answer(data.news),
        "posts": _answer(data.posts),
        "missing": dict(snapshot.missing),
        "fetch_s": round(snapshot.fetch_s, 4),
        "fetches": [
            {
                "name": snapshot.fetch_name(span),
                "start_s": round((span.start_ns - first) / 1e9, 4),
                "duration_s": round(span.duration_s, 4),
                "failed": span.failed,
            }
            for span in snapshot.fetches
        ],
    }


def _builtins(value: object) -> Any:
    return msgspec.to_builtins(value, order="deterministic")


def _answer(answer: SourceAnswer | None) -> Any:
    """An answer's fields; the instant of the fetch is left out, as it is the present one."""
    if answer is None:
        return None
    values: dict[str, Any] = _builtins(answer)
    if isinstance(answer, Statements):
        values["currency"] = answer.currency or None
    values["warnings"] = list(answer.warnings)
    return {name: value for name, value in values.items() if name != "fetched"}


def _bars(bars: Bars) -> dict[str, Any]:
    return {
        "source": bars.source,
        "data_mode": bars.data_mode,
        "stands_in": bars.stands_in,
        "warnings": list(bars.warnings),
        "currency": bars.currency or None,
        "dividends": _builtins(bars.dividends),
        "splits": _builtins(bars.splits),
        "sessions": _rows(bars),
    }


def _rows(bars: Bars) -> list[dict[str, Any]]:
    days: Sequence[str] = bars.dates.astype(str).tolist()
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    values = (column.tolist() for column in columns)
    return [
        dict(zip(_COLUMNS, (*row[:-1], int(row[-1])), strict=True))
        for row in zip(days, *values, strict=True)
    ]
