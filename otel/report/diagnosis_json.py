"""A diagnosis as one JSON object, schema version 1; docs/json.md describes it."""

import json
from dataclasses import asdict
from typing import Any

from trading_graph.otel.diagnosis import Diagnosis, Finding, Interval, Step
from trading_graph.otel.report.outlook import headline, outlook

SCHEMA_VERSION = 1
_SPANS = 50


def diagnosis_json(found: Diagnosis) -> str:
    """The whole diagnosis; times are seconds."""
    target, verdict = found.target, found.verdict
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "trace_id": found.trace.id,
        "spans": verdict.span_count,
        "wall_s": found.wall_s,
        "target": {
            "limit_s": target.limit_s,
            "standing": target.standing,
            "now_s": target.now_s,
            "with_all_fixes_s": target.least_s,
            "steps_needed": target.steps_needed,
            "projected_call_s": target.projected_call_s,
            "simulated_call_s": target.simulated_call_s,
            "llm_chain": asdict(found.llm_chain),
            "summary": " ".join([headline(found), *outlook(found)]),
        },
        "path": {
            "by_class": found.by_class,
            "by_name": found.by_name,
            "segments": len(found.critical_path),
        },
        "findings": [_finding(each) for each in found.findings],
        "steps": [_step(each) for each in found.steps],
        "passed": verdict.passed,
        "checks": [
            {"id": each.id, "title": each.title, "outcome": each.outcome, "measured": each.measured}
            for each in verdict.checks
        ],
    }
    return json.dumps(document, indent=2)


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "place": found.place,
        "evidence": found.evidence,
        "task": found.kind.task,
        "advice": found.advice,
        "here": found.here or None,
        "proven": found.proven,
        "only_if": found.only_if or None,
        "on_path_s": found.on_path_s,
        "gain_s": _interval(found.gain),
        "wall_s": _interval(found.wall),
        "span_count": len(found.spans),
        "spans": [{"span_id": span.id, "name": span.name} for span in found.spans[:_SPANS]],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "place": step.place,
        "task": step.kind.task,
        "wall_s": _interval(step.wall),
        "against_target_s": step.target_s,
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"low": found.low_s, "likely": found.likely_s, "high": found.high_s}
