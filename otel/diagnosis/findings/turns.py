"""The serial chain of LLM calls: turns that could be saved, and turns that write a lot."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from trading_graph.otel.diagnosis.actions import Remove, Shorten
from trading_graph.otel.diagnosis.findings.candidate import Candidate, place_of, seconds
from trading_graph.otel.diagnosis.findings.kind import FindingKind
from trading_graph.otel.diagnosis.schedule import Schedule
from trading_graph.otel.trace import semconv
from trading_graph.otel.vocabularies import Role


def middle_turns(schedule: Schedule) -> Iterator[Candidate]:
    """Turns of an agent between its first and its last, on the critical path.

    An agent that requests all its data in its first turn needs only two.
    """
    tree, trace = schedule.tree, schedule.tree.trace
    time_ns, roles, llm = schedule.path.total_ns, trace.roles, Role.LLM
    turns: dict[int, list[int]] = defaultdict(list)
    for row in sorted(time_ns):
        if roles[row] is llm and time_ns[row] and row not in trace.failed:
            turns[int(trace.parent[row])].append(row)
    for agent, calls in turns.items():
        serial = [b for a, b in pairwise(calls) if tree.start[b] >= tree.end[a]]
        middle = serial[:-1]
        if trace.roles[agent] is not Role.AGENT or not middle:
            continue
        yield Candidate(
            kind=FindingKind.TURNS,
            place=place_of(tree, agent),
            evidence=f"{len(calls)} LLM turns in series; {len(middle)} between the first and the "
            f"last took {seconds(sum(tree.duration(row) for row in middle))}.",
            rows=tuple(middle),
            actions=(Remove(tuple(middle)),),
            proven=False,
            only_if="the model can ask for everything at once",
        )


def token_heavy(schedule: Schedule) -> Iterator[Candidate]:
    """Calls on the path that wrote over twice as much as usual in this run, and took longer."""
    tree, trace = schedule.tree, schedule.tree.trace
    roles, llm = trace.roles, Role.LLM
    calls = {
        row: tokens
        for row in tree.rows
        if roles[row] is llm and (tokens := trace.number(row, semconv.USAGE_OUTPUT_TOKENS))
    }
    if len(calls) < 4:
        return
    usual = median(calls.values())
    pace = median(tree.duration(row) for row in calls)
    on_path = schedule.path.total_ns
    for row, tokens in calls.items():
        time_ns = tree.duration(row)
        again = row in trace.retried
        if tokens > 2 * usual and time_ns > 1.5 * pace and row in on_path and not again:
            yield Candidate(
                kind=FindingKind.TOKENS,
                place=place_of(tree, row),
                evidence=f"It wrote {tokens:.0f} tokens in {seconds(time_ns)}; usual in this run "
                f"are {usual:.0f}.",
                rows=(row,),
                actions=(Shorten(row, int(time_ns * usual / tokens)),),
                proven=False,
                only_if="time goes with tokens, and a shorter answer will do",
            )
