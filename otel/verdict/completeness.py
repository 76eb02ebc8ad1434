"""Is the trace whole? Without that there is no verdict: what is missing could be what matters.

A run of ours declares how many of its spans had started before its end, so the answer is exact. Of
a foreign trace only a root, ended spans and the absence of orphans can be asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.kinds import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WARNINGS = "@jaeger@warnings"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Completeness:
    """What is missing from a trace, one sentence each; `run` is the row of the span to judge below.

    `exact` says that the span count was declared and held.
    """

    run: int | None
    missing: tuple[str, ...]
    exact: bool

    @property
    def complete(self) -> bool:
        """Whether the trace can be judged."""
        return self.run is not None and not self.missing


def completeness(trace: SpanTable, run_id: str | None = None) -> Completeness:
    """Find the run in a trace and what is missing from it; `run_id` picks one of several runs."""
    if len(trace) == 0:
        return Completeness(None, ("The trace has no spans.", *trace.flaws), exact=False)
    declared = [
        row
        for row, role in enumerate(trace.roles)
        if role is Role.RUN and semconv.SPANS_STARTED in trace.attributes(row)
    ]
    runs = declared
    ids = [str(trace.attributes(row).get(semconv.RUN_ID)) for row in runs]
    if run_id is not None and run_id != trace.trace_id:
        runs = [row for row, known in zip(runs, ids, strict=True) if known == run_id]
        if not runs:
            return Completeness(None, (f"The trace holds no run {run_id}.",), exact=False)
    if len(runs) > 1:
        sentence = f"The trace holds {len(runs)} runs ({', '.join(ids)}); name one with --id."
        return Completeness(None, (sentence,), exact=False)
    return _declared(trace, runs[0], declared) if runs else _foreign(trace)


def _declared(trace: SpanTable, run: int, runs: Sequence[int]) -> Completeness:
    missing: list[str] = []
    declared = trace.attributes(run)[semconv.SPANS_STARTED]
    below = np.array(trace.below(run), np.int64)
    found = int((trace.start[below] <= trace.end[run]).sum())
    if not isinstance(declared, int):
        missing.append(f"The run declares {declared!r} spans, which is no number.")
    elif found < declared:
        missing.append(
            f"{declared - found} of the {declared} spans that the run started are missing."
        )
    elif found > declared:
        missing.append(f"The run declares {declared} spans, and {found} are here.")
    # Above a run stands at most a caller, whose spans are not ours to miss.
    missing += _broken(trace, below, [row for row in trace.orphans if row not in runs])
    return Completeness(run, tuple(missing), exact=not missing)


def _foreign(trace: SpanTable) -> Completeness:
    missing: list[str] = []
    if not trace.roots:
        missing.append("The root span is missing.")
    elif len(trace.roots) > 1:
        missing.append(
            f"The tree is broken: {len(trace.roots)} spans have no parent "
            f"({_names(trace, trace.roots)}); the instrumentation does not pass the context on, or "
            "these are several traces."
        )
    missing += _broken(trace, np.arange(len(trace)), trace.orphans)
    return Completeness(trace.roots[0] if trace.roots else None, tuple(missing), exact=False)


def _broken(trace: SpanTable, rows: "NDArray[np.int64]", orphans: Sequence[int]) -> list[str]:
    """What else is wrong with the spans to be judged."""
    sentences = list(trace.flaws)
    if orphans:
        sentences.append(
            f"{_spans(trace, orphans)}: the parent that they name is not here (they are orphans)."
        )
    if trace.circular:
        sentences.append(f"{_spans(trace, trace.circular)}: their parents form a circle.")
    start, end = trace.start[rows], trace.end[rows]
    for wrong, sentence in (
        (start == 0, "they have no start time."),
        ((start != 0) & (end == 0), "they have not ended, or their end was not recorded."),
        ((start != 0) & (end != 0) & (end < start), "they end before they start."),
    ):
        if wrong.any():
            sentences.append(f"{_spans(trace, rows[wrong])}: {sentence}")
    if cut := [row for row in rows[:1] if _truncated(trace, int(row))]:
        sentences.append(f"Jaeger cut the trace off at {trace.names[int(cut[0])]!r}: its warning.")
    return sentences


def _truncated(trace: SpanTable, row: int) -> bool:
    warnings = trace.attributes(row).get(_WARNINGS) or ()
    return any("truncat" in str(warning) for warning in warnings)


def _spans(trace: SpanTable, rows: "Sequence[int] | NDArray[np.int64]") -> str:
    number = f"{len(rows)} span" + ("s" if len(rows) > 1 else "")
    return f"{number} ({_names(trace, rows)})"


def _names(trace: SpanTable, rows: "Sequence[int] | NDArray[np.int64]") -> str:
    names = list(dict.fromkeys(repr(trace.names[int(row)]) for row in rows))
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
