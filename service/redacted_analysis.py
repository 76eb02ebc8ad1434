"""An analysis without secrets: the message of an error that degraded it may quote some."""

from dataclasses import replace

from trading_graph.graph.analysis import Analysis
from trading_graph.graph.decisions import Decision
from trading_graph.otel.redaction import Redactor


def redacted(analysis: Analysis, redactor: Redactor) -> Analysis:
    """The analysis with every text redacted."""
    decision = redactor.document(analysis.decision.model_dump(mode="json"))
    return replace(
        analysis,
        decision=Decision.model_validate(decision),
        reports=[replace(each, text=redactor.text(each.text)) for each in analysis.reports],
        statements=[replace(each, text=redactor.text(each.text)) for each in analysis.statements],
        opinions=[replace(each, text=redactor.text(each.text)) for each in analysis.opinions],
    )
