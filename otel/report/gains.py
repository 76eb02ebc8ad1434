"""The table of expected gains: each fix on top of those before it, for every form of the report."""

from trading_graph.otel.diagnosis import Diagnosis
from trading_graph.otel.report.durations import between, brief, faster


def gains_table(found: Diagnosis, most: int) -> tuple[list[str], list[list[str]]]:
    """The head and the rows; a place is shortened to `most` characters.

    Where latencies were simulated, a fourth column has the projected run.
    """
    head = ["Implementation", "Expected Runtime", "Improvement"]
    rows = [["Current", brief(found.wall_s), "baseline"]]
    rows += [
        [
            f"+ {step.kind.task}: {shortened(step.place, most)}",
            between(step.wall),
            faster(found.wall_s, step.wall.likely_s),
        ]
        for step in found.steps
    ]
    if (call_s := found.target.projected_call_s) is not None:
        head.append(f"At {call_s:g} s a call")
        rows[0].append(brief(found.target.now_s))
        for row, step in zip(rows[1:], found.steps, strict=True):
            row.append(brief(step.target_s))
    return head, rows


def shortened(place: str, most: int) -> str:
    """A place with its middle left out where it is long; its ends tell most."""
    text = " ".join(place.split())
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 1]}…{text[-(most - most // 2) :]}"
