"""A comparison for machines and pages: JSON, Markdown, JUnit XML, GitHub annotations.

Each also says why there is none: a sentence for each thing that is missing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from trading_graph.otel.diagnosis import Comparison, PathSide, Regression, RegressionKind, Run
from trading_graph.otel.report.comparison_text import (
    COLUMNS,
    SHOWN,
    cells,
    change,
    shown_moved,
    side,
    signed,
)
from trading_graph.otel.report.github import annotation
from trading_graph.otel.report.junit import Case, Kind, suite

SCHEMA_VERSION = 1
_SPANS = 50
LISTED = 1000
"""So many places and call paths are in the JSON object, those that moved most first."""

_TITLE = "No comparison"

Found = Comparison | Sequence[str]
"""A comparison, or the sentences that say why there is none."""


def comparison_json(found: Found) -> str:
    """One object, schema version 1; docs/compare.md describes it."""
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "missing": []}
    if isinstance(found, Comparison):
        document |= _document(found)
    else:
        document |= {"missing": list(found), "passed": None}
    return json.dumps(document, indent=2)


def _document(found: Comparison) -> dict[str, Any]:
    changed = found.change
    return {
        "passed": found.passed,
        "base": _runs(found.base),
        "new": _runs(found.new),
        "change": {
            "base_s": changed.base_ns / 1e9,
            "new_s": changed.new_ns / 1e9,
            "difference_s": changed.delta_ns / 1e9,
            "interval_s": [changed.low_ns / 1e9, changed.high_ns / 1e9],
            "tolerance_s": changed.tolerance_ns / 1e9,
            "regressed": changed.regressed,
        },
        "regressions": [_regression(each) for each in found.regressions],
        "improvements": [asdict(each) for each in found.improvements],
        "notes": list(found.notes),
        "moved": [
            {
                "place": each.place,
                "base_s": each.base_ns / 1e9,
                "new_s": each.new_ns / 1e9,
                "difference_s": each.delta_ns / 1e9,
            }
            for each in found.moved[:LISTED]
        ],
        "moved_left_out_s": sum(each.delta_ns for each in found.moved[LISTED:]) / 1e9,
        "paths": [
            {"path": each.path, "base": _side(each.base), "new": _side(each.new)}
            for each in found.paths[:LISTED]
        ],
        "paths_left_out": max(len(found.paths) - LISTED, 0),
    }


def _runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [{"trace_id": run.trace.id, "wall_s": run.span.duration_s} for run in runs]


def _regression(found: Regression) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "place": found.place,
        "evidence": found.evidence,
        "span_count": len(found.spans),
        "spans": [{"span_id": span.id, "name": span.name} for span in found.spans[:_SPANS]],
    }


def _side(found: PathSide) -> dict[str, Any]:
    return {
        "count": found.count,
        "median_s": None if found.duration_ns is None else found.duration_ns / 1e9,
        "on_path_s": found.on_path_ns / 1e9,
        "overlap": found.overlap,
        "duplicates": found.duplicates,
        "errors": found.errors,
    }


def comparison_markdown(found: Found) -> str:
    """The change, the losses and the two tables, for a report or a step summary."""
    if not isinstance(found, Comparison):
        return "\n".join([f"## {_TITLE}", "", *(f"- {text}" for text in found), ""])
    lines = [
        f"## {side(found.new)} against {side(found.base)}",
        "",
        f"**{'No regression' if found.passed else 'Regression'}.** {change(found.change)}.",
        "",
    ]
    lines += [f"- [ ] {each.kind}: {each.place}. {each.evidence}" for each in found.regressions]
    lines += [f"- [x] {each.kind}: {each.place}" for each in found.improvements]
    lines += [*(f"- {note}" for note in found.notes), ""]
    lines += ["| where the time moved | before | now | difference |", "|---|---:|---:|---:|"]
    lines += [
        f"| {_cell(each.place)} | {each.base_ns / 1e9:.3f} s | {each.new_ns / 1e9:.3f} s "
        f"| {signed(each.delta_ns)} |"
        for each in shown_moved(found)
    ]
    lines += ["", f"| call path | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS)]
    changed = [each for each in found.paths if each.changed]
    lines += [f"| {_cell(each.path)} | {' | '.join(cells(each))} |" for each in changed[:SHOWN]]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def comparison_junit(found: Found) -> str:
    """A JUnit test suite: a case for the duration and one for each kind of loss."""
    if not isinstance(found, Comparison):
        error = Case("comparable", Kind.ERROR, "the runs cannot be compared", "\n".join(found))
        return suite("comparison", "comparison", [error])
    duration = Case("duration")
    if found.change.regressed:
        duration = Case("duration", Kind.FAILURE, change(found.change))
    losses = [_case(kind, found.regressions) for kind in RegressionKind]
    return suite(f"{side(found.new)} against {side(found.base)}", "comparison", [duration, *losses])


def _case(kind: RegressionKind, regressions: Sequence[Regression]) -> Case:
    lines = [f"{each.place}: {each.evidence}" for each in regressions if each.kind is kind]
    name = (
        f"nothing {kind}" if kind in (RegressionKind.SERIAL, RegressionKind.LOST) else f"no {kind}"
    )
    if not lines:
        return Case(name)
    return Case(name, Kind.FAILURE, f"{len(lines)} of: {kind}", "\n".join(lines))


def comparison_github(found: Found) -> str:
    """Workflow commands: an annotation for every regression, or why there is no comparison."""
    if not isinstance(found, Comparison):
        return annotation("error", _TITLE, " ".join(found))
    lines = [
        annotation("error", f"{each.kind}: {each.place}", each.evidence)
        for each in found.regressions
    ]
    if found.change.regressed:
        lines.insert(0, annotation("error", "slower", change(found.change)))
    return "\n".join(lines or [annotation("notice", "no regression", change(found.change))])
