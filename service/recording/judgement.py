"""The verdicts on the traces of a recorded program, as text and as JSON."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from rich.console import Console
from rich.markup import escape

from trading_graph.otel.diagnosis import Diagnosis, diagnose
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.report import VerdictText
from trading_graph.otel.report.diagnosis import FindingsText
from trading_graph.otel.report.documents.diagnosis import FindingJson, diagnosis_document
from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document, encode
from trading_graph.otel.report.documents.verdict import VerdictJson, verdict_document
from trading_graph.otel.sources import read
from trading_graph.otel.verdict import Verdict, judge
from trading_graph.service.commands.diagnose import with_places
from trading_graph.service.commands.verify import Demands, code_of
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.recording.folder import Recording

_JUDGED = 100
_NAMED = 5
_FINDINGS = 3


class RecordJson(Document, frozen=True, kw_only=True):
    """What a recorded program left, and the verdicts on its traces, the largest trace first.

    `findings` are those of the trace `diagnosed`, which failed if any did; null where it cannot be
    diagnosed.
    """

    schema_version: Literal[1]
    exit_code: int
    program_exit_code: int
    file: str
    processes: int
    spans: int
    traces: int
    verdicts: tuple[VerdictJson, ...]
    diagnosed: str | None
    findings: list[FindingJson]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts on the largest traces, and a diagnosis of one of them."""

    recording: Recording
    traces: int
    verdicts: tuple[Verdict, ...]
    shown: Verdict
    """The verdict on the largest trace: of those that failed, else of those that passed."""
    diagnosis: Diagnosis | None

    @classmethod
    @pause_collection()
    def of(cls, recording: Recording, gate: str | None) -> Self:
        """Judge what was recorded; raises TraceError and GateError."""
        demands = Demands(gate, None, strict=False)
        traces = sorted(read(recording.file), key=len, reverse=True)
        judged = [(trace, judge(trace, demands.gate(trace))) for trace in traces[:_JUDGED]]
        shown, verdict = min(judged, key=lambda each: _ORDER[code_of(each[1])])
        diagnosis = diagnose(shown, demands.gate(shown)) if verdict.judged else None
        return cls(
            recording=recording,
            traces=len(traces),
            verdicts=tuple(each for _, each in judged),
            shown=verdict,
            diagnosis=with_places(diagnosis) if isinstance(diagnosis, Diagnosis) else None,
        )

    @property
    def code(self) -> ExitCode:
        """That of the trace that failed, if any did; else of one that passed."""
        return code_of(self.shown)

    @property
    def summary(self) -> str:
        """How much was recorded, and where it is."""
        recording = self.recording
        cut = f", and {_count(recording.cut_off, 'line')} cut off" if recording.cut_off else ""
        return (
            f"Recorded {_count(recording.spans, 'span')} in {_count(self.traces, 'trace')}{cut}: "
            f"{_shortest(recording.file)}"
        )

    def show(self, console: Console) -> None:
        """Print the verdict, and the first findings."""
        if len(self.verdicts) > 1:
            for line in self._lines():
                console.print(escape(line), highlight=False, soft_wrap=True)
        console.print(VerdictText(self.shown), highlight=False)
        if self.diagnosis is not None and self.diagnosis.findings:
            console.print()
            console.print(FindingsText(self.diagnosis, _FINDINGS), highlight=False)

    def _lines(self) -> list[str]:
        """How many traces passed, and which failed."""
        counts = Counter(map(code_of, self.verdicts))
        of_all = f" of {self.traces}" if self.traces > len(self.verdicts) else ""
        failed = [each for each in self.verdicts if code_of(each) is ExitCode.CHECK_FAILED]
        lines = [
            f"Judged {len(self.verdicts)}{of_all} traces: {counts[ExitCode.OK]} passed, "
            f"{counts[ExitCode.CHECK_FAILED]} failed, {counts[ExitCode.NOT_DONE]} without a "
            "verdict. One of them:"
        ]
        lines[:0] = [_line(each) for each in failed[:_NAMED] if len(failed) > 1]
        if len(failed) > _NAMED:
            lines.insert(_NAMED, f"and {len(failed) - _NAMED} more")
        return lines

    def as_json(self, program_exit_code: int) -> str:
        """One object on one line: the program may have printed before it."""
        return encode(
            RecordJson(
                schema_version=SCHEMA_VERSION,
                exit_code=program_exit_code or int(self.code),
                program_exit_code=program_exit_code,
                file=str(self.recording.file),
                processes=len(self.recording.processes),
                spans=self.recording.spans,
                traces=self.traces,
                verdicts=tuple(map(verdict_document, self.verdicts)),
                diagnosed=None if self.diagnosis is None else self.diagnosis.trace.id,
                findings=[]
                if self.diagnosis is None
                else diagnosis_document(self.diagnosis).findings,
            ),
            indent=None,
        )


_ORDER = {ExitCode.CHECK_FAILED: 0, ExitCode.OK: 1, ExitCode.NOT_DONE: 2}


def _line(verdict: Verdict) -> str:
    failed = next(iter(verdict.failures))
    return f"{verdict.trace.id}  failed: {failed.title}: {failed.measured}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shortest(file: Path) -> str:
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
