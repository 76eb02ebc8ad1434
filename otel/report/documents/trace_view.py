"""A trace as one waterfall draws it: all its spans as columns, and what is marked on them.

Times are nanoseconds after `begin_unix_s`, where the first span starts. A span is named by its
place in the columns. In a run that was resumed, the time in which no process lived is left out, as
in its verdict.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from trading_graph.otel.diagnosis import Diagnosis, ranking_of, what_if
from trading_graph.otel.diagnosis import Interval as DiagnosisInterval
from trading_graph.otel.report.documents.diagnosis import IntervalJson
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document
from trading_graph.otel.trace import Span, SpanTable, Trace, semconv, table_of
from trading_graph.otel.trace.intervals import Interval
from trading_graph.otel.trace.table import ORPHAN
from trading_graph.otel.trace.waits import own_waits
from trading_graph.otel.verdict import FanOut, Outcome, Verdict
from trading_graph.otel.visible import visible_line
from trading_graph.otel.vocabularies.limits import ITEM

_CUT = ("cancelled", semconv.KILLED)
"""The values of error.type of work that did nothing wrong."""

Stretch = tuple[int, int, int]
"""A span, and a part of its time: start and end."""


class SpanColumnsJson(Document, frozen=True, kw_only=True):
    """The spans as columns of equal length.

    `parent` is a place in the columns: -1 for a root, -2 where the trace does not hold the parent.
    `name` and `role` are places in `names` and `roles` of the view; a name has the item with it.
    """

    id: list[str]
    parent: list[int]
    name: list[int]
    role: list[int]
    start_ns: list[int]
    end_ns: list[int]


class FanOutMarkJson(Document, frozen=True, kw_only=True):
    """Branches that were started together, and how strong the proof is that they ran at once."""

    name: str
    strength: str
    spans: list[int]


class CheckMarkJson(Document, frozen=True, kw_only=True):
    """A check of the gate, and the spans that show its failure."""

    id: str
    title: str
    outcome: Outcome
    measured: str
    spans: list[int]


class FindingMarkJson(Document, frozen=True, kw_only=True):
    """A finding of the diagnosis by its number from 1 on, and the spans that show it."""

    number: int
    kind: str
    place: str
    task: str
    evidence: str
    advice: str
    here: str
    proven: bool
    only_if: str
    gain_s: IntervalJson
    spans: list[int]


class TraceViewJson(Document, frozen=True, kw_only=True):
    """All spans of a trace, and what is marked on them.

    `service` is the service of the first span, empty where that is not recorded.
    `failed` are the spans whose status is an error, and `cut` are those of them that were cancelled
    or whose process was killed. `path` is the critical path in order of time,
    and `waits` are the recorded waits for a turn. `missing` says why there is no verdict; a trace
    without one has no critical path, no checks and no findings.
    """

    schema_version: Literal[1]
    trace_id: str
    service: str
    begin_unix_s: float
    duration_ns: int
    run: int | None
    missing: list[str]
    names: list[str]
    roles: list[str]
    spans: SpanColumnsJson
    failed: list[int]
    cut: tuple[int, ...] = ()
    path: list[Stretch]
    waits: list[Stretch]
    fan_outs: list[FanOutMarkJson]
    checks: list[CheckMarkJson]
    findings: list[FindingMarkJson]


class WhatIfJson(Document, frozen=True, kw_only=True):
    """The run played again with the fixes of some findings: each span's start and end.

    The columns are those of the view; a span that was not played is as it was.
    """

    schema_version: Literal[1]
    trace_id: str
    findings: list[int]
    before_s: float
    wall_s: IntervalJson
    start_ns: list[int]
    end_ns: list[int]


@dataclass(frozen=True)
class Columns:
    """The rows of a view: those of the trace as it was judged, then those that judging left out.

    `dead` is the time that is cut out of the axis of the latter.
    """

    table: SpanTable
    recorded: SpanTable
    dead: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, trace: Trace, verdict: Verdict | None) -> Self:
        """The columns of a recorded trace, judged or not."""
        recorded = table_of(trace)
        if verdict is None or not verdict.is_complete:
            return cls(recorded, recorded)
        dead = tuple((each.at_ns, each.at_ns + each.dead_ns) for each in verdict.interruptions)
        return cls(table_of(verdict.trace), recorded, dead)

    @cached_property
    def left_out(self) -> list[int]:
        """The rows of the recorded trace that the judged one does not have."""
        if self.table is self.recorded:
            return []
        judged = self.table.row_of
        return [row for row, id in enumerate(self.recorded.span_ids) if id not in judged]

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all spans."""
        return [*self.table.span_ids, *(self.recorded.span_ids[row] for row in self.left_out)]

    @cached_property
    def place(self) -> Mapping[str, int]:
        """The place of each span by its id."""
        return {id: at for at, id in enumerate(self.ids)}

    @cached_property
    def intervals(self) -> list[Interval]:
        """Start and end of each span, in nanoseconds since the epoch; no end is before its start.

        A span without a start begins where the first one does.
        """
        others = [self.recorded.intervals[row] for row in self.left_out]
        moved = [(self._at(start), self._at(end)) for start, end in others]
        whole = [*self.table.intervals, *moved]
        first = min((start for start, _ in whole if start > 0), default=0)
        return [(max(start, first), max(start, end, first)) for start, end in whole]

    @cached_property
    def begin_ns(self) -> int:
        """The first start."""
        return min((start for start, _ in self.intervals), default=0)

    @property
    def duration_ns(self) -> int:
        """The time from the first start to the last end."""
        return max((end for _, end in self.intervals), default=self.begin_ns) - self.begin_ns

    @cached_property
    def parents(self) -> list[int]:
        """The place of each parent, -1 or -2; a circle of parents is cut."""
        cut = set(self.table.circular)
        judged = [ORPHAN if row in cut else at for row, at in enumerate(self.table.parents)]
        return judged + [self._parent(row) for row in self.left_out]

    def _parent(self, row: int) -> int:
        above = self.recorded.parents[row]
        if above < 0:
            return above
        if row in self.recorded.circular:
            return ORPHAN
        return self.place[self.recorded.span_ids[above]]

    def _at(self, time_ns: int) -> int:
        """A time without the dead time before it."""
        return time_ns - sum(max(min(time_ns, end) - start, 0) for start, end in self.dead)

    def stretches(self, parts: Sequence[Stretch]) -> list[Stretch]:
        """Parts of spans, from the epoch's times to those of the view."""
        begin = self.begin_ns
        return [(row, start - begin, end - begin) for row, start, end in parts]

    def places(self, spans: Sequence[Span]) -> list[int]:
        """The places of some spans, each once."""
        return list(dict.fromkeys(self.place[span.id] for span in spans))


def trace_view(
    trace: Trace, verdict: Verdict | None = None, diagnosis: Diagnosis | None = None
) -> TraceViewJson:
    """The view of a recorded trace, with what its verdict and its diagnosis mark."""
    columns = Columns.of(trace, verdict)
    table, others, begin = columns.table, columns.left_out, columns.begin_ns
    names = [*_labels(table), *(columns.recorded.names[row] for row in others)]
    roles = [*table.roles, *(columns.recorded.roles[row] for row in others)]
    name_list, role_list = list(dict.fromkeys(names)), list(dict.fromkeys(roles))
    name_at = {name: at for at, name in enumerate(name_list)}
    role_at = {role: at for at, role in enumerate(role_list)}
    failed = columns.recorded.failed
    judged = verdict is not None and verdict.judged
    run = None if verdict is None or verdict.run is None else columns.place[verdict.run.id]
    measures = verdict.measures if judged and verdict is not None else None
    waits = [(row, *each) for row, places in own_waits(table).items() for each in places]
    return TraceViewJson(
        schema_version=SCHEMA_VERSION,
        trace_id=trace.id,
        service=_service(columns.recorded),
        begin_unix_s=begin / 1e9,
        duration_ns=columns.duration_ns,
        run=run,
        missing=_missing(verdict),
        names=[visible_line(name) for name in name_list],
        roles=[str(role) for role in role_list],
        spans=SpanColumnsJson(
            id=columns.ids,
            parent=columns.parents,
            name=[name_at[name] for name in names],
            role=[role_at[role] for role in roles],
            start_ns=[start - begin for start, _ in columns.intervals],
            end_ns=[end - begin for _, end in columns.intervals],
        ),
        failed=sorted(columns.place[columns.recorded.span_ids[row]] for row in failed),
        cut=tuple(
            sorted(
                columns.place[columns.recorded.span_ids[row]]
                for row in failed
                if columns.recorded.attributes(row).get(semconv.ERROR_TYPE) in _CUT
            )
        ),
        path=[] if diagnosis is None else columns.stretches(ranking_of(diagnosis).path.segments),
        waits=columns.stretches(waits),
        fan_outs=[] if measures is None else [_fan_out(columns, e) for e in measures.fan_outs],
        checks=_checks(columns, verdict),
        findings=[] if diagnosis is None else _findings(columns, diagnosis),
    )


def _labels(table: SpanTable) -> list[str]:
    """The names of the spans, each with which of many equal pieces of work it is."""
    if ITEM not in table.keys:
        return list(table.names)
    items = table.values(ITEM)
    return [
        f"{name} {item}" if isinstance(item, str) else name
        for name, item in zip(table.names, items, strict=True)
    ]


def _service(table: SpanTable) -> str:
    service = table.resources[0].get("service.name") if len(table) else ""
    return service if isinstance(service, str) else ""


def _missing(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return []
    return [*verdict.missing, *([verdict.unrecognised] if verdict.unrecognised else [])]


def _fan_out(columns: Columns, fan_out: FanOut) -> FanOutMarkJson:
    return FanOutMarkJson(
        name=fan_out.name,
        strength=": ".join(each for each in (fan_out.strength, fan_out.reason) if each),
        spans=columns.places(fan_out.branches),
    )


def _checks(columns: Columns, verdict: Verdict | None) -> list[CheckMarkJson]:
    checks = () if verdict is None else verdict.checks
    return [CheckMarkJson.of(each, spans=columns.places(each.spans)) for each in checks]


def _findings(columns: Columns, diagnosis: Diagnosis) -> list[FindingMarkJson]:
    return [
        FindingMarkJson.of(
            each,
            number=number,
            kind=str(each.kind),
            task=each.kind.task,
            gain_s=_interval(each.gain),
            spans=columns.places(each.spans),
        )
        for number, each in enumerate(diagnosis.findings, 1)
    ]


def named_by(view: TraceViewJson) -> tuple[Mapping[int, list[str]], Mapping[int, list[int]]]:
    """The ids of the failed checks, and the numbers of the findings, that name each span."""
    checks: dict[int, list[str]] = defaultdict(list)
    findings: dict[int, list[int]] = defaultdict(list)
    for check in view.checks:
        for span in check.spans:
            checks[span].append(check.id)
    for finding in view.findings:
        for span in finding.spans:
            findings[span].append(finding.number)
    return checks, findings


def what_if_document(trace: Trace, diagnosis: Diagnosis, numbers: Sequence[int]) -> WhatIfJson:
    """The run with the findings of these numbers fixed; raises LookupError for a wrong one."""
    fixes = sorted(set(numbers))
    if not fixes or fixes[0] < 1 or fixes[-1] > len(diagnosis.findings):
        raise LookupError(f"The findings are numbered from 1 to {len(diagnosis.findings)}.")
    played = what_if(diagnosis, [number - 1 for number in fixes])
    columns = Columns.of(trace, diagnosis.verdict)
    rows = set(ranking_of(diagnosis).schedule.tree.rows)
    times = [
        (played.start_ns[at], played.end_ns[at]) if at in rows else recorded
        for at, recorded in enumerate(columns.intervals)
    ]
    return WhatIfJson(
        schema_version=SCHEMA_VERSION,
        trace_id=trace.id,
        findings=fixes,
        before_s=diagnosis.wall_s,
        wall_s=_interval(played.wall),
        start_ns=[start - columns.begin_ns for start, _ in times],
        end_ns=[end - columns.begin_ns for _, end in times],
    )


def _interval(interval: DiagnosisInterval) -> IntervalJson:
    return IntervalJson(low=interval.low_s, likely=interval.likely_s, high=interval.high_s)
