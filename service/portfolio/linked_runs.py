"""What the runs of a portfolio spent where, from the traces to which its own trace links."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.durations import rough, share
from trading_graph.otel.report.tables import OUTSIDE, Table
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import completeness, run_view
from trading_graph.otel.verdict.agents import AgentUse, use
from trading_graph.service.portfolio.attributes import PORTFOLIO_ID
from trading_graph.service.run.folder import TRACE

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class AgentTotal:
    """What one agent took in all runs; times in seconds, `own_s` outside of agents below it."""

    name: str
    visits: int
    own_s: float
    llm_calls: int
    llm_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class LinkedRuns:
    """The runs to which the trace of a portfolio links.

    `judged` are those whose traces are here and complete, `missing` the ids of the others. `agents`
    are sums over the first, the one with the most time of its own first.
    """

    judged: int
    missing: tuple[str, ...]
    agents: tuple[AgentTotal, ...]


def linked_runs(portfolio: SpanTable, out: Path) -> LinkedRuns | None:
    """What the runs of a portfolio took by agent; None for a trace of anything else. Blocks.

    `out` is the folder of runs.
    """
    if PORTFOLIO_ID not in portfolio.keys:
        return None
    links = (link.trace_id for row in sorted(portfolio.linked) for link in portfolio.links(row))
    judged, missing, by_agent = 0, list[str](), defaultdict[str, list[AgentUse]](list)
    for run_id in dict.fromkeys(links):
        agents = _agents(out / run_id / TRACE)
        if agents is None:
            missing.append(run_id)
            continue
        judged += 1
        for each in agents:
            by_agent[each.name or OUTSIDE].append(each)
    totals = [_total(name, each) for name, each in by_agent.items()]
    return LinkedRuns(judged, tuple(missing), tuple(sorted(totals, key=lambda each: -each.own_s)))


def _agents(trace: Path) -> Sequence[AgentUse] | None:
    """What a run took by agent; None where its trace is not here, or not whole."""
    try:
        (table,) = read(trace)
    except (OSError, TraceError, ValueError):
        return None
    whole = completeness(table)
    if not whole.complete or whole.run is None:
        return None
    view = run_view(table, whole.run)
    return use(view.trace, view.run).agents


def _total(name: str, uses: Sequence[AgentUse]) -> AgentTotal:
    return AgentTotal(
        name=name,
        visits=sum(each.visits for each in uses),
        own_s=sum(each.own_s for each in uses),
        llm_calls=sum(each.llm.calls for each in uses),
        llm_s=sum(each.llm.time_s for each in uses),
        input_tokens=sum(each.llm.input_tokens or 0 for each in uses),
        output_tokens=sum(each.llm.output_tokens or 0 for each in uses),
    )


def show_linked_runs(portfolio: SpanTable, out: Path, console: Console) -> None:
    """Print what the runs of a portfolio spent where; nothing for a trace of anything else."""
    runs = linked_runs(portfolio, out)
    if runs is None:
        return
    console.print(f"\n{escape(runs_sentence(runs, out))}")
    if runs.agents:
        console.print(runs_table(runs).in_terminal())


def runs_table(runs: LinkedRuns) -> Table:
    """The agents of all runs."""
    head = ("agent", "visits", "own time", "share", "LLM calls", "LLM time", "tokens in / out")
    all_s = sum(each.own_s for each in runs.agents)
    rows = [
        (
            each.name,
            f"{each.visits:,}",
            rough(each.own_s),
            share(each.own_s, all_s),
            f"{each.llm_calls:,}",
            rough(each.llm_s),
            f"{each.input_tokens:,} / {each.output_tokens:,}",
        )
        for each in runs.agents
    ]
    return Table(head, rows)


def runs_sentence(runs: LinkedRuns, out: Path) -> str:
    """Of how many runs the table speaks, and which are not there."""
    every = runs.judged + len(runs.missing)
    if not runs.missing:
        return f"What the {every} runs spent where, from their own traces in {out}:"
    more = f" and {len(runs.missing) - _SHOWN} more" if len(runs.missing) > _SHOWN else ""
    names = ", ".join(runs.missing[:_SHOWN])
    if not runs.judged:
        return f"None of the {every} runs' own traces is in {out} ({names}{more})."
    return (
        f"What {runs.judged} of {every} runs spent where, from their own traces in {out}; not "
        f"there, or not complete: {names}{more}."
    )
