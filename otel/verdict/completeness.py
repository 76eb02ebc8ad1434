"""Is the trace whole? Without that there is no verdict: what is missing could be what matters.

A run of ours declares how many of its spans had started before its end, so the answer is exact. Of
a foreign trace only a root and the absence of orphans can be asked for.
"""

from dataclasses import dataclass

import numpy as np

from otel.trace import Trace, semconv


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


def completeness(trace: Trace, run_id: str | None = None) -> Completeness:
    """Find the run in a trace and what is missing from it; `run_id` picks one of several runs."""
    if len(trace) == 0:
        return Completeness(None, ("The trace has no spans.",), exact=False)
    runs = [
        row
        for row in range(len(trace))
        if semconv.SPANS_STARTED in trace.attributes(row)
        and run_id in (None, trace.attributes(row).get(semconv.RUN_ID))
    ]
    if len(runs) > 1:
        ids = ", ".join(str(trace.attributes(row).get(semconv.RUN_ID)) for row in runs)
        return Completeness(None, (f"The trace holds {len(runs)} runs ({ids}); name one.",), False)
    if runs:
        return _declared(trace, runs[0])
    return _foreign(trace)


def _declared(trace: Trace, run: int) -> Completeness:
    missing: list[str] = []
    declared = int(trace.attributes(run)[semconv.SPANS_STARTED])
    below = np.fromiter(trace.subtree(run), np.int64)
    found = int((trace.start[below] <= trace.end[run]).sum())
    if found < declared:
        missing.append(
            f"{declared - found} of the {declared} spans that the run started are missing."
        )
    elif found > declared:
        missing.append(f"The run declares {declared} spans, and {found} are here.")
    # Above the run stands at most a caller, whose spans are not ours to miss.
    orphans = [row for row in trace.orphans if row != run]
    if orphans:
        missing.append(_orphans(trace, orphans))
    return Completeness(run, tuple(missing), exact=not missing)


def _foreign(trace: Trace) -> Completeness:
    missing: list[str] = []
    if not trace.roots:
        missing.append("The root span is missing.")
    elif len(trace.roots) > 1:
        names = ", ".join(repr(trace.names[row]) for row in trace.roots[:3])
        missing.append(
            f"The tree is broken: {len(trace.roots)} spans have no parent ({names}); the "
            "instrumentation does not pass the context on, or these are several traces."
        )
    if trace.orphans:
        missing.append(_orphans(trace, trace.orphans))
    return Completeness(trace.roots[0] if trace.roots else None, tuple(missing), exact=False)


def _orphans(trace: Trace, rows: list[int]) -> str:
    names = ", ".join(sorted({repr(trace.names[row]) for row in rows[:3]}))
    return f"{len(rows)} spans name a parent that is not here (such as {names})."
