"""Everything that a report of a diagnosis shows, worked out once for all its forms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.diagnosis import Diagnosis, Kind, PathClass, by_class, call_tree, diagnose
from trading_graph.otel.report.target import Target, target
from trading_graph.otel.trace import Trace, semconv
from trading_graph.otel.verdict import Verdict, completeness, default_gate, judge, uninterrupted
from trading_graph.otel.verdict.gate import Duration, Gate


@dataclass(frozen=True)
class Report:
    """A diagnosis beside its target, with the verdict of the default gate.

    `places` says where in the program's own code a kind of finding is mended, where that is known.
    """

    diagnosis: Diagnosis
    target: Target
    verdict: Verdict
    places: Mapping[Kind, str] = field(default_factory=dict)

    @property
    def trace(self) -> Trace:
        """The trace."""
        return self.diagnosis.trace

    @property
    def is_ours(self) -> bool:
        """Whether this program recorded the run: only then do its log and flags matter."""
        return semconv.RUN_ID in self.trace.attributes(self.diagnosis.run)

    @property
    def title(self) -> str:
        """What was run, where the trace says so; else the run's name."""
        found = self.trace.attributes(self.diagnosis.run)
        symbol, as_of = found.get(semconv.SYMBOL), found.get(semconv.AS_OF)
        return f"{symbol} as of {as_of}" if symbol and as_of else self.trace.names[self._run]

    @cached_property
    def by_class(self) -> Mapping[PathClass, int]:
        """Nanoseconds on the critical path by class, most first, without the empty ones."""
        spent = by_class(self.diagnosis.schedule)
        return dict(sorted(((k, v) for k, v in spent.items() if v), key=lambda item: -item[1]))

    @property
    def _run(self) -> int:
        return self.diagnosis.run


@collection_paused()
def report(
    trace: Trace,
    limit_s: float,
    run_id: str | None = None,
    places: Mapping[Kind, str] | None = None,
    others: Sequence[Trace] = (),
) -> Report | Verdict:
    """Judge and diagnose a trace; the verdict alone where the trace is not complete.

    `limit_s` takes the place of the default gate's own limit on the run's duration; `others` are
    more runs of the program, and one that is not complete counts as far as it goes: what it shows
    to have overlapped did overlap.
    """
    gate, project_call_s = _gate(limit_s)
    verdict = judge(trace, gate, run_id)
    run = verdict.completeness.run
    if not verdict.judged or run is None:
        return verdict
    runs = [(other, completeness(other).run) for other in others]
    trees = [call_tree(*uninterrupted(other, at)) for other, at in runs if at is not None]
    found = diagnose(verdict.trace, run, trees)
    return Report(found, target(found, limit_s, project_call_s), verdict, places or {})


def _gate(limit_s: float) -> tuple[Gate, float | None]:
    """The default gate with this limit, and the latency that it projects an LLM call to."""
    gate = default_gate()
    project_call_s = None
    for number, check in enumerate(gate.checks):
        if isinstance(check, Duration):
            project_call_s = check.project_call_s
            gate.checks[number] = msgspec.structs.replace(
                check, limit_s=limit_s, title=f"The run takes less than {limit_s:g} s"
            )
    return gate, project_call_s
