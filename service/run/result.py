"""What a run says at its end: what a command prints of it, and where its trace is."""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from langsmith.integrations.otel import langsmith_run_id_from_otel_span_id
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.decisions import Decision
from trading_graph.graph.gate_loader import own_gate
from trading_graph.graph.price_text import money_text
from trading_graph.otel.export import JAEGER, LANGSMITH, Delivery
from trading_graph.otel.report import VerdictText, waterfall
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document, encode
from trading_graph.otel.sources import read
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.otel.sources.langsmith_query import LangSmithQuery
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import (
    completeness,
    interruptions,
    judge,
    without_interruptions,
)
from trading_graph.otel.vocabularies import witness
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.folder import CHART, DECISION, REPORT, TRACE, RunFolder
from trading_graph.service.run.report import DECIDED_BY
from trading_graph.service.run.usage import (
    AgentUsageJson,
    PriceJson,
    asked_a_model,
    cost_line,
    cost_usd,
    prices_of,
    token_table,
    usage_by_agent,
)
from trading_graph.service.settings import Settings

if TYPE_CHECKING:
    from trading_graph.service.run.engine import Engine

_LINK_S = 2.0
_START_JAEGER = " Start it with: docker compose -f deploy/jaeger.yml up"
_COLOURS = {"BUY": "green", "SELL": "red", "HOLD": "yellow"}


class RunJson(Document, frozen=True, kw_only=True):
    """What `trading-graph run --json` prints."""

    schema_version: Literal[1]
    run_id: str
    trace_id: str | None
    folder: str
    jaeger: str | None
    langsmith: str | None
    seconds: float
    decision: Decision
    usage: dict[str, AgentUsageJson]
    cost_usd: float | None = None
    prices: tuple[PriceJson, ...] = ()


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that is over: its analysis, folder, trace as it stands in the file, and deliveries."""

    analysis: Analysis
    folder: RunFolder
    trace: SpanTable | None
    deliveries: tuple[Delivery, ...]
    jaeger_link: str | None
    langsmith_link: str | None

    @property
    def seconds(self) -> float:
        """How long the run worked in all its processes, without interruptions."""
        if self.trace is not None:
            run = completeness(self.trace, self.analysis.decision.run_id).run
            if run is not None and interruptions(self.trace, run):
                seen, row = without_interruptions(self.trace, run)
                return float(seen.duration[row]) / 1e9
        return self.analysis.seconds


def finish_run(engine: "Engine", analysis: Analysis, folder: RunFolder) -> FinishedRun:
    """Read the run's trace back, and see where its spans were delivered. Blocks."""
    settings, deliveries = engine.settings, engine.telemetry.deliveries
    trace_id = analysis.decision.trace_id
    traces = read(folder.trace) if trace_id else []
    trace = next((each for each in traces if each.trace_id == trace_id), None)
    in_jaeger = any(each.backend == JAEGER and each.delivered for each in deliveries)
    link = None
    if trace_id and in_jaeger and JaegerQuery(settings.jaeger_url).answers():
        link = f"{settings.jaeger_url.rstrip('/')}/trace/{trace_id}"
    langsmith_link = None
    if trace_id and engine.langsmith is not LangSmithMode.OFF:
        langsmith_link = _langsmith_link(analysis, trace, engine.langsmith, settings)
    return FinishedRun(analysis, folder, trace, deliveries, link, langsmith_link)


def _langsmith_link(
    analysis: Analysis, trace: SpanTable | None, langsmith: LangSmithMode, settings: Settings
) -> str | None:
    run_id = uuid.UUID(analysis.decision.run_id)
    if langsmith is LangSmithMode.OTLP:
        if trace is None or not trace.roots:
            return None
        # LangSmith's id of a span that it was sent over OTLP.
        run_id = langsmith_run_id_from_otel_span_id(int(trace.span_ids[trace.roots[0]], 16))
    key = settings.langsmith_api_key
    query = LangSmithQuery(
        settings.langsmith_url,
        key.get_secret_value() if key else None,
        settings.langsmith_project,
        timeout_s=_LINK_S,
    )
    return query.link(run_id)


def show(result: FinishedRun, settings: Settings, console: Console) -> None:
    """Print the run for people."""
    analysis = result.analysis
    for report in analysis.reports:
        text = f"**{report.agent}: no report.** {report.text}" if report.missing else report.text
        console.print(Padding(Markdown(text), (0, 0, 1, 0)))
    _decision(analysis, console)
    with_costs = asked_a_model(analysis.usage)
    usage = usage_by_agent(analysis.usage, settings)
    console.print(token_table(usage, with_costs=with_costs).in_terminal())
    if with_costs:
        console.print(cost_line(analysis.usage, settings), highlight=False, soft_wrap=True)
    verdict = judge(result.trace, own_gate()) if result.trace else None
    if verdict and verdict.trace.roots:
        console.print()
        console.print(waterfall(verdict.trace.roots[0], width=console.width))
        console.print("[cyan]━[/] LLM call  [yellow]━[/] tool call  [red]━[/] failed")
    console.print()
    if verdict:
        console.print(VerdictText(verdict), highlight=False)
        console.print()
    for line in _trace_lines(result):
        console.print(line, highlight=False, soft_wrap=True)


def _decision(analysis: Analysis, console: Console) -> None:
    outcome = analysis.decision
    final = outcome.decision
    colour = _COLOURS[final.action]
    words = DECIDED_BY[outcome.decided_by]
    decided_by = f" · {words}" if words else ""
    console.print(
        Rule(f"[bold {colour}]{final.action} {outcome.symbol}[/] as of {outcome.as_of}{decided_by}")
    )
    parts = [
        f"confidence {final.confidence:.2f}",
        *(
            f"{name} {escape(money_text(price, outcome.currency))}"
            for name, price in (
                ("entry", final.entry),
                ("stop", final.stop),
                ("target", final.target),
            )
            if price is not None
        ),
        *([] if final.position_pct is None else [f"position {final.position_pct:g} %"]),
        *([] if final.horizon_days is None else [f"horizon {final.horizon_days} days"]),
        f"session {outcome.session or 'none'}",
    ]
    console.print(" · ".join(parts), highlight=False)
    console.print()
    if outcome.order is not None:
        console.print(f"[bold]{escape(outcome.order.words)}[/]\n", highlight=False)
    console.print(escape(final.rationale), highlight=False)
    for risk in final.risks:
        console.print(f"  risk: {escape(risk)}", highlight=False)
    for warning in outcome.warnings:
        console.print(f"  [yellow]warning:[/] {escape(warning)}", highlight=False)
    for note in outcome.notes:
        console.print(f"  note: {escape(note)}", highlight=False)
    console.print(
        f"[dim]Model: {escape(outcome.model)}. Data: {escape(outcome.data)}. "
        "Not investment advice.[/]\n",
        highlight=False,
    )


def _trace_lines(result: FinishedRun) -> list[str]:
    lines = [f"Total {result.seconds:.2f} s. {_summary(result.trace)}"]
    files = [DECISION, REPORT, *([CHART] if result.analysis.history else []), TRACE]
    lines.append(f"Files: {result.folder.path}/ ({', '.join(files)})")
    if trace_id := result.analysis.decision.trace_id:
        lines.append(f"Trace: {trace_id}")
    if result.jaeger_link:
        lines.append(f"Jaeger: {result.jaeger_link}")
    if result.langsmith_link:
        lines.append(f"LangSmith: {result.langsmith_link}")
    for each in result.deliveries:
        if each.spooled and not each.answered:
            start = _START_JAEGER if each.backend == JAEGER else ""
            lines.append(
                f"Nothing answers at {each.endpoint}, so {each.spooled} spans wait for "
                f"{each.backend}; once it runs, send them with: trading-graph replay.{start}"
            )
        elif each.spooled:
            lines.append(
                f"{each.backend} did not take {each.spooled} spans at {each.endpoint}; they wait "
                "for: trading-graph replay."
            )
        elif each.backend == LANGSMITH:
            lines.append(f"LangSmith took {each.delivered} spans at {each.endpoint}.")
        if each.lost:
            lines.append(
                f"{each.lost} spans are lost to {each.backend}; the file has all, and "
                "`trading-graph replay last` sends them."
            )
    return lines


def _summary(trace: SpanTable | None) -> str:
    if trace is None or not trace.roots:
        return "Nothing was recorded, so there is nothing to judge."
    root = trace.attributes(trace.roots[0])
    declared, recorded = witness.spans_started(root), len(trace)
    complete = declared == recorded and not trace.orphans
    lag = witness.loop_lag_ms(root) or 0.0
    return (
        f"Trace {'complete' if complete else 'INCOMPLETE'}: {recorded} of {declared} spans; "
        f"the event loop was never late by more than {lag:g} ms."
    )


def show_json(result: FinishedRun, settings: Settings, console: Console) -> None:
    """Print the run as one JSON object, schema version 1; docs/json.md describes it."""
    analysis = result.analysis
    document = RunJson(
        schema_version=SCHEMA_VERSION,
        run_id=analysis.decision.run_id,
        trace_id=analysis.decision.trace_id,
        folder=str(result.folder.path),
        jaeger=result.jaeger_link,
        langsmith=result.langsmith_link,
        seconds=round(result.seconds, 3),
        decision=analysis.decision,
        usage=usage_by_agent(analysis.usage, settings),
        cost_usd=cost_usd(analysis.usage, settings),
        prices=tuple(prices_of(analysis.usage, settings)),
    )
    console.file.write(encode(document, enc_hook=_decision_fields) + "\n")


def _decision_fields(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(mode="json")
