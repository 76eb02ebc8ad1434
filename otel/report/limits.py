"""What a report says of declared limits: their use, the waits for them, and stragglers."""

from collections.abc import Iterator, Sequence

from trading_graph.otel.report.durations import brief, rough, share
from trading_graph.otel.report.tables import Table
from trading_graph.otel.verdict import LimitUse, LinkedUse, Measures, Straggler
from trading_graph.otel.verdict.limit_use import DEVIATIONS, TIMES

_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 5


def limits_table(limits: Sequence[LimitUse]) -> Table:
    """The use of each limit, and the waits for it."""
    head = ("limit", "most", "in use", "while waited for", "waited", "in all", "each", "longest")
    return Table(head, [_cells(each) for each in limits])


def _cells(limit: LimitUse) -> tuple[str, ...]:
    used = limit.used_while_waiting
    return (
        limit.name,
        f"{limit.capacity:,.0f}" + (f" in {limit.window_s:g} s" if limit.is_rate else " at once"),
        f"{limit.average:,.{0 if limit.is_rate else 1}f} (peak {limit.peak:,.0f})",
        "-" if used is None else f"{used:.0%}",
        f"{limit.waited:,} of {limit.grants:,}",
        rough(limit.wait_s),
        rough(limit.mean_wait_s),
        rough(limit.longest_wait_s),
    )


def limit_lines(measures: Measures) -> Iterator[str]:
    """Sentences on the use over time, on stragglers, and on what linked traces hold."""
    for each in measures.limits:
        if not each.is_rate:
            yield _over_time(each, measures.wall_s)
    if measures.stragglers:
        yield _stragglers(measures.stragglers)
    if measures.linked is not None:
        yield _linked(measures.linked)


def _over_time(limit: LimitUse, wall_s: float) -> str:
    steps = [min(max(each / limit.capacity, 0.0), 1.0) for each in limit.over_time]
    line = "".join(_BARS[round(each * (len(_BARS) - 1))] for each in steps)
    sentence = f"{limit.name} over time: {line} all {limit.capacity:g} were in use for "
    sentence += f"{share(limit.full_share, 1.0)} of the run"
    if limit.ramp_s is None or limit.tail_s is None:
        return f"{limit.name} over time: {line} never all {limit.capacity:g} were in use."
    return (
        f"{sentence}, first after {brief(limit.ramp_s)}; the tail after the last time took "
        f"{brief(limit.tail_s)} ({share(limit.tail_s, wall_s)})."
    )


def _stragglers(stragglers: Sequence[Straggler]) -> str:
    shown = [
        f"{each.item} {brief(each.own_s)}{' (in the tail)' if each.in_tail else ''}"
        for each in stragglers[:_SHOWN]
    ]
    more = f" and {len(stragglers) - _SHOWN} more" if len(stragglers) > _SHOWN else ""
    return (
        f"Stragglers: {', '.join(shown)}{more}; the median is {brief(stragglers[0].usual_s)}, and "
        f"a straggler takes {TIMES:g} times that and {DEVIATIONS:g} deviations more."
    )


def _linked(linked: LinkedUse) -> str:
    cost = "" if linked.cost_usd is None else f", ${linked.cost_usd:,.4f}"
    if linked.without_cost:
        cost += f" (of {linked.without_cost} of {linked.spans} spans the cost is not known)"
    return (
        f"Linked traces: {linked.llm_calls:,} LLM calls, {linked.input_tokens:,} tokens in, "
        f"{linked.output_tokens:,} out{cost}."
    )
