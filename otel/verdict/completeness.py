"""Is the trace whole? Without that there is no verdict: the missing part could be what matters.

A program with the witness declares how many of its spans had started before its end, so the answer
is exact; each of several processes does so for its part. For any other trace only a root, ended
spans and the absence of orphans can be required.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.clocks import is_elsewhere
from trading_graph.otel.verdict.span_counts import count_spans
from trading_graph.otel.vocabularies import Role, is_sampled, witness

_WARNINGS = "@jaeger@warnings"
_SHOWN = 3


class Completeness(msgspec.Struct, frozen=True):
    """What a trace lacks, in one sentence each, and the row of the run to judge.

    `exact` says that the run declared its span count and that it holds. `is_called` says that the
    run's span has a parent which is not here, and that nothing else is missing.
    """

    run: int | None
    missing: tuple[str, ...]
    exact: bool
    is_called: bool = False

    @property
    def complete(self) -> bool:
        """Whether the trace can be judged."""
        return self.run is not None and not self.missing


def run_ids(trace: SpanTable) -> frozenset[str]:
    """The ids by which `completeness` selects one of several runs in a trace."""
    return frozenset(_run_id(trace, row) for row in _exact_runs(trace))


def completeness(trace: SpanTable, run_id: str | None = None) -> Completeness:
    """Find the run in a trace, and what is missing; `run_id` selects one of several runs."""
    if len(trace) == 0:
        return Completeness(None, ("The trace has no spans.", *trace.flaws), exact=False)
    exact_runs = _exact_runs(trace)
    runs = exact_runs
    if run_id is None or run_id == trace.trace_id:
        runs = [row for row in exact_runs if not _is_called(trace, row, exact_runs)]
    ids = [_run_id(trace, row) for row in runs]
    if run_id is not None and run_id != trace.trace_id:
        runs = [row for row, each in zip(runs, ids, strict=True) if each == run_id]
        if not runs:
            return Completeness(None, (f"The trace holds no run {run_id}.",), exact=False)
    if len(runs) > 1:
        sentence = f"The trace holds {len(runs)} runs ({', '.join(ids)}); name one with --id."
        return Completeness(None, (sentence,), exact=False)
    return _check_count(trace, runs[0], exact_runs) if runs else _check_foreign(trace)


def _exact_runs(trace: SpanTable) -> list[int]:
    """The runs that declare their span count."""
    return [row for row in trace.of_role(Role.RUN) if _declared(trace, row) is not None]


def _run_id(trace: SpanTable, run: int) -> str:
    return str(trace.attributes(run).get(semconv.RUN_ID))


def _is_called(trace: SpanTable, run: int, runs: Sequence[int]) -> bool:
    """Whether a run is the part that another process did of a run above it."""
    above = trace.ancestors(run)
    return not set(runs).isdisjoint(above) and is_elsewhere(trace, run) is not False


def _check_count(trace: SpanTable, run: int, runs: Sequence[int]) -> Completeness:
    below, broken = trace.below(run), _broken(trace)
    if broken:
        inside = set(below)
        broken = [row for row in broken if row in inside]
    if jump := _set_back(trace, broken):
        return Completeness(run, (jump, *trace.flaws), exact=False)
    counts = count_spans(trace, run)
    # At most a caller stands above the run, and the caller's spans are none of ours to miss.
    orphans = [row for row in trace.orphans if row not in runs]
    defects = _defects(trace, below[0], broken, orphans)
    missing = (*counts.missing, *defects)
    return Completeness(run, missing, exact=counts.are_all and not missing)


def _declared(trace: SpanTable, run: int) -> object:
    """The number of spans that a run declares, whatever it is; None where it declares none."""
    return trace.read(witness.declared_spans, run)


def _check_foreign(trace: SpanTable) -> Completeness:
    tops = trace.roots
    is_called = not tops and len(trace.orphans) == 1 and _has_caller(trace, trace.orphans[0])
    if is_called:
        tops = trace.orphans  # its caller is recorded elsewhere
    broken = _broken(trace)
    if jump := _set_back(trace, broken):
        return Completeness(tops[0] if tops else None, (jump, *trace.flaws), False)
    missing: list[str] = []
    exact = False
    if not tops:
        missing.append("The root span is missing.")
    elif len(tops) > 1:
        missing.append(
            f"The tree is broken: {len(tops)} spans have no parent ({_names(trace, tops)}); the "
            "instrumentation does not pass the context on, or these are several traces. Judge one "
            "of them with --root, or all as one run with --forest."
        )
    else:
        counts = count_spans(trace, tops[0])
        missing += counts.missing
        exact = counts.are_all
    orphans = [row for row in trace.orphans if row not in tops]
    if (orphans or not tops) and (sentence := _sampled(trace)):
        return Completeness(tops[0] if tops else None, (sentence, *trace.flaws), exact=False)
    missing += _defects(trace, 0, broken, orphans)
    if not tops and len(orphans) > 1:
        missing.append("Judge below one of them with --root, or all as one run with --forest.")
    run = tops[0] if tops else None
    return Completeness(run, tuple(missing), exact and not missing, is_called and not exact)


def _has_caller(trace: SpanTable, row: int) -> bool:
    """Whether the parent that a span lacks can be its caller, which was recorded elsewhere.

    A span that came alone may be part of anything, and an id of another form is no span's.
    """
    if _declared(trace, row) is not None:
        return True
    parent, own = trace.parent_id(row), trace.span_ids[row]
    is_id = len(parent) == len(own) or (parent.isdigit() and own.isdigit())
    return is_id and bool(trace.child_rows[row])


def _sampled(trace: SpanTable) -> str:
    """That spans are missing because a sampler left them out, in a sentence; empty where none did.

    A sampler that decides for whole traces leaves nothing out of those that it keeps.
    """
    column: list[bool] = trace.column_of(is_sampled)
    if not any(column):
        return ""
    return (
        f"The trace is sampled: a sampler left spans out, among them parents of "
        f"{_spans(trace, trace.orphans)}. Keep whole traces (a sampler that decides at the root), "
        "or judge below one span with --root."
    )


def called_note(trace: SpanTable, run: int) -> str:
    """That the parent of a run's span is not here, in a sentence."""
    return (
        f"The parent of {trace.names[run]!r} is not in this trace, so it is judged below that span "
        "alone: its caller may have waited for longer."
    )


def _broken(trace: SpanTable) -> list[int]:
    """The spans without two times in order: as a rule none."""
    start, end = trace.start, trace.end
    rows: list[int] = np.flatnonzero((start == 0) | (end == 0) | (end < start)).tolist()
    return rows


def _set_back(trace: SpanTable, broken: Sequence[int]) -> str | None:
    """That the clock of a process was set back while its spans were open, in a sentence.

    Then every span that was open ends before it starts, up to the topmost of the process, and no
    time before the jump compares with one after it. A single leaf that does so is a broken span.
    """
    early = [row for row in broken if all(trace.intervals[row])]
    if not early or (len(early) == 1 and not trace.child_rows[early[0]]):
        return None
    open_then = set(early)
    for row in early:
        above = trace.parents[row]
        in_process = above >= 0 and trace.resources[above] == trace.resources[row]
        if in_process and above not in open_then:
            return None  # its parent was open too, and has a sound end
    back_ns = -min(trace.lengths[row] for row in early)
    return (
        f"The clock was set back by {back_ns / 1e9:.3f} s or more while {_spans(trace, early)} "
        f"{'was' if len(early) == 1 else 'were'} open: the times before it and after it cannot be "
        "compared."
    )


def _defects(
    trace: SpanTable, first: int, broken: Sequence[int], orphans: Sequence[int]
) -> list[str]:
    """What else is wrong with the spans to judge, of which one is the first."""
    sentences = list(trace.flaws)
    if orphans:
        sentences.append(
            f"{_spans(trace, orphans)}: the parent that they name is not here (they are orphans)."
        )
    if trace.circular:
        sentences.append(f"{_spans(trace, trace.circular)}: their parents form a circle.")
    times = [(row, *trace.intervals[row]) for row in broken]
    for rows, sentence in (
        ([row for row, start, _ in times if not start], "they have no start time."),
        (
            [row for row, start, end in times if start and not end],
            "they have not ended, or their end was not recorded.",
        ),
        ([row for row, start, end in times if start and end], "they end before they start."),
    ):
        if rows:
            sentences.append(f"{_spans(trace, rows)}: {sentence}")
    if _is_truncated(trace, first):
        sentences.append(f"Jaeger cut the trace off at {trace.names[first]!r}: its warning.")
    return sentences


def _is_truncated(trace: SpanTable, row: int) -> bool:
    warnings = trace.attributes(row).get(_WARNINGS) or ()
    return any("truncat" in str(warning) for warning in warnings)


def _spans(trace: SpanTable, rows: Sequence[int]) -> str:
    number = f"{len(rows)} span" + ("s" if len(rows) > 1 else "")
    return f"{number} ({_names(trace, rows)})"


def _names(trace: SpanTable, rows: Sequence[int]) -> str:
    names = list(dict.fromkeys(repr(trace.names[row]) for row in rows))
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
