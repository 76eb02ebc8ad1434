"""A diagnosis as one JSON object, schema version 1; docs/json.md describes it."""

import json
from typing import Any

from trading_graph.otel.diagnosis import Prediction, Ranked, Step
from trading_graph.otel.report.diagnosis_report import Report
from trading_graph.otel.report.remedies import REMEDIES
from trading_graph.otel.report.target import headline, outlook
from trading_graph.otel.trace import Trace

SCHEMA_VERSION = 1
_SPANS = 50


def diagnosis_json(report: Report) -> str:
    """The whole diagnosis; times are seconds."""
    diagnosis, found, verdict = report.diagnosis, report.target, report.verdict
    chain = found.chain
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "trace_id": report.trace.trace_id,
        "spans": report.verdict.spans,
        "wall_s": diagnosis.wall_ns / 1e9,
        "target": {
            "limit_s": found.limit_ns / 1e9,
            "standing": found.standing,
            "now_s": found.now_ns / 1e9,
            "with_all_fixes_s": found.least_ns / 1e9,
            "steps_needed": found.steps_needed,
            "projected_call_s": found.call_s,
            "simulated_call_s": None if found.call_s is None else found.simulated_s,
            "llm_chain": {"calls": chain.calls, "total_s": chain.total_ns / 1e9},
            "summary": " ".join([headline(found), *outlook(found)]),
        },
        "path": {
            "by_class": {str(k): spent / 1e9 for k, spent in report.by_class.items()},
            "by_name": {k: spent / 1e9 for k, spent in diagnosis.path.by_name.items()},
            "segments": len(diagnosis.path.segments),
        },
        "findings": [_finding(report, each) for each in diagnosis.findings],
        "steps": [
            _step(step, after) for step, after in zip(diagnosis.steps, found.after_ns, strict=True)
        ],
        "passed": verdict.passed,
        "checks": [
            {"id": each.id, "title": each.title, "outcome": each.outcome, "measured": each.measured}
            for each in verdict.results
        ],
    }
    return json.dumps(document, indent=2)


def _finding(report: Report, each: Ranked) -> dict[str, Any]:
    found, wall = each.finding, report.diagnosis.wall_ns
    return {
        "kind": found.kind,
        "place": found.place,
        "evidence": found.evidence,
        "task": REMEDIES[found.kind].task,
        "advice": found.advice,
        "here": report.places.get(found.kind),
        "proven": found.proven,
        "only_if": found.if_only or None,
        "on_path_s": each.on_path_ns / 1e9,
        "gain_s": {
            "low": max(wall - each.wall.high_ns, 0) / 1e9,
            "likely": (wall - each.wall.likely_ns) / 1e9,
            "high": max(wall - each.wall.low_ns, 0) / 1e9,
        },
        "wall_s": _prediction(each.wall),
        "span_count": len(found.rows),
        "spans": [_span(report.trace, row) for row in found.rows[:_SPANS]],
    }


def _step(step: Step, after_ns: int) -> dict[str, Any]:
    return {
        "kind": step.finding.kind,
        "place": step.finding.place,
        "task": REMEDIES[step.finding.kind].task,
        "wall_s": _prediction(step.wall),
        "against_target_s": after_ns / 1e9,
    }


def _prediction(found: Prediction) -> dict[str, float]:
    return {
        "low": found.low_ns / 1e9,
        "likely": found.likely_ns / 1e9,
        "high": found.high_ns / 1e9,
    }


def _span(trace: Trace, row: int) -> dict[str, str]:
    return {"span_id": trace.span_ids[row], "name": trace.names[row]}
