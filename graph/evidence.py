"""On what the reports of a run stand, and what a decision loses for those that stand on nothing.

Models write a report from empty answers as readily as from full ones. So not their words count but
the answers of the tools that they asked, and only those about the run's symbol: an index or the
economy says nothing about it. Prices, indicators and attention rest on one chart, and are one
evidence; whatever else answered is evidence beside prices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trading_graph.graph.decisions import (
    Action,
    ConfidenceBasis,
    DecidedBy,
    FinalDecision,
)
from trading_graph.graph.state import Evidence, Report
from trading_graph.graph.tool_calls import Outcome, ToolAnswer
from trading_graph.graph.undecided import no_buy
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.symbols import US_MARKET, Instrument, identify

PRICE_TOOLS = frozenset(("get_prices", "get_indicators", "get_attention"))
"""The tools that read nothing but the chart of prices and volume."""


def evidence_of(answers: Iterable[ToolAnswer]) -> Evidence:
    """What the answers to an analyst's tool calls give its report to stand on."""
    about = [answer for answer in answers if answer.about_symbol]
    with_data = {answer.tool for answer in about if answer.outcome is Outcome.DATA}
    if with_data - PRICE_TOOLS:
        return Evidence.BESIDE_PRICES
    if with_data:
        return Evidence.PRICES
    if about and all(answer.outcome is Outcome.NOT_APPLICABLE for answer in about):
        return Evidence.NOT_APPLICABLE
    return Evidence.NONE


def warnings_of(agent: str, symbol: str, answers: Sequence[ToolAnswer]) -> list[str]:
    """What the answers to an analyst's tool calls warn of, each once, and what they lack.

    A report without data is one warning; of any other, each source that failed is one.
    """
    warnings = [warning for answer in answers for warning in answer.warnings]
    if evidence_of(answers) is Evidence.NONE:
        by_subject = sorted(answers, key=lambda answer: not answer.about_symbol)
        reason = next((answer.problem for answer in by_subject if answer.problem), "")
        why = reason or "no tool that it asked told anything of it."
        warnings.append(f"{agent}: its report stands on no data of {symbol}: {why}")
    else:
        failures: dict[str, set[str]] = {}
        for answer in answers:
            if answer.outcome is Outcome.FAILED:
                failures.setdefault(answer.problem, set()).add(answer.tool)
        warnings += [
            f"{agent}: {', '.join(sorted(tools))} failed: {problem}"
            for problem, tools in failures.items()
        ]
    return list(dict.fromkeys(warnings))


def substitutes_of(agent: str, answers: Sequence[ToolAnswer]) -> list[str]:
    """In whose place another source served an analyst, and why, each once."""
    tools: dict[str, set[str]] = {}
    for answer in answers:
        if answer.stands_in:
            tools.setdefault(answer.stands_in, set()).add(answer.tool)
    return [
        f"{agent}: another source stands in for {', '.join(sorted(names))}: {reason}"
        for reason, names in tools.items()
    ]


def gaps_of(
    agent: str, answers: Sequence[ToolAnswer], without_source: Iterable[str], as_of: AsOf
) -> list[str]:
    """What an analyst lacked though nothing failed: data of no source, and figures that are old.

    `without_source` are the tools that no source of the run can serve.
    """
    gaps = [
        f"{agent} read no {tool.removeprefix('get_').replace('_', ' ')}: no source of this run has "
        f"any for {as_of}."
        for tool in without_source
    ]
    tools: dict[str, set[str]] = {}
    for answer in answers:
        if answer.age:
            tools.setdefault(answer.age, set()).add(answer.tool)
    return gaps + [
        f"{agent} has old figures from {', '.join(sorted(names))}. {age}"
        for age, names in tools.items()
    ]


@dataclass(frozen=True, slots=True)
class Weighing:
    """A decision after what its reports stand on was weighed; `reason` says why it is no BUY."""

    decision: FinalDecision
    decided_by: DecidedBy
    basis: ConfidenceBasis
    reason: str | None = None


def weigh(
    decision: FinalDecision, decided_by: DecidedBy, reports: Sequence[Report], currency: str
) -> Weighing:
    """Lower the confidence by the share of reports without data; no BUY on prices alone."""
    could = [report for report in reports if report.evidence is not Evidence.NOT_APPLICABLE]
    with_data = [report for report in could if report.has_data]
    basis = ConfidenceBasis(
        stated=decision.confidence,
        reports_with_data=len(with_data),
        reports_expected=len(could),
    )
    beside = any(report.evidence is Evidence.BESIDE_PRICES for report in with_data)
    if decision.action is Action.BUY and not beside:
        reason = (
            "A BUY needs at least one report that stands on more than prices, and none does, so "
            f"it is not handed out: {decision.terms(currency)}, confidence "
            f"{decision.confidence:.2f}."
        )
        return Weighing(no_buy(decision, reason), DecidedBy.RULE, basis, reason)
    if len(with_data) < len(could):
        decision = decision.model_copy(update={"confidence": basis.confidence})
    return Weighing(decision, decided_by, basis)


def notes_of(
    symbol: str, reports: Sequence[Report], substitutes: Sequence[str], weighed: Weighing
) -> list[str]:
    """What a reader must know of the reports and the decision, and nothing is wrong with."""
    notes = [] if weighed.reason is None else [weighed.reason]
    basis = weighed.basis
    if weighed.decided_by is DecidedBy.MODEL and basis.reports_with_data < basis.reports_expected:
        notes.append(
            f"{basis.reports_with_data} of {basis.reports_expected} reports had data, so the "
            f"confidence of {basis.stated:.2f} became {basis.confidence:.2f}."
        )
    notes += [
        f"{report.agent} has no data of {symbol}, and by nature there is none: nothing is missing."
        for report in reports
        if report.evidence is Evidence.NOT_APPLICABLE
    ]
    if any(report.agent == "news_analyst" and not report.missing for report in reports):
        notes += _economy(symbol)
    return [*notes, *dict.fromkeys(substitutes)]


def _economy(symbol: str) -> list[str]:
    """That the macro series are of another country than the listing, where they are."""
    identity = identify(symbol)
    listed = identity.instrument in (Instrument.SHARE, Instrument.FUND, Instrument.UNKNOWN)
    if not listed or identity.market is US_MARKET:
        return []
    place = f"in {identity.country}" if identity.country else "elsewhere"
    return [f"The macro series are those of the United States, and {symbol} is listed {place}."]
