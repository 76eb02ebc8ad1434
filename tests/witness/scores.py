"""Holds what the judge says of a run against the truth of its cell."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import trading_graph as tg
from tests.witness.cells import COMPUTING, Cell, Expected
from tests.witness.runs import Run
from trading_graph import Cause, Outcome, Strength
from trading_graph.otel.report.verdict import as_markdown

AT_ONCE = ("turns", "fan_outs")
"""The checks of what runs at once."""

RIGHT_CELLS, PROVEN_RUNS = 0.96, 0.95
BLOCKED = "witness.blocked"
BLAMED = re.compile(r"blocked (?:for \d|by )")
"""What a verdict says of a loop that was blocked."""


@dataclass(frozen=True)
class Score:
    """How right an answer was; `line` and `proven` are None where they are not asked for."""

    cell: Cell
    right: bool
    proven: bool | None
    false_pass: bool
    line: bool | None
    said: str

    @property
    def is_perfect(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.right and not self.false_pass and self.line is not False


def failed(cell: Cell, why: str) -> Score:
    """Return the score of a run that left nothing to judge: all that is asked for is missing."""
    proven = False if cell.truth.expected is Expected.PROVEN else None
    return Score(cell, False, proven, False, False if cell.truth.blocks else None, why)


def score(run: Run) -> Score:
    """Judge the trace of a run by the default gate, and hold the answer against the truth."""
    cell, verdict = run.cell, tg.judge(run.trace)
    truth = cell.truth
    checks = [each for each in verdict.checks if each.id in AT_ONCE]
    judged = [each for each in checks if each.outcome is not Outcome.NOT_APPLICABLE]
    proven = bool(judged) and all(each.strength == Strength.PROVEN for each in judged)
    named = causes_named(verdict)
    findings = tg.diagnose(run.trace).findings if verdict.judged else ()
    line = line_named(run, verdict) if truth.blocks else None
    any_proof = any(each.strength == Strength.PROVEN for each in judged)
    match truth.expected:
        case Expected.LOST:
            first = findings[0].kind in truth.findings if findings else False
            right = not named - truth.causes and (bool(named) or first)
        case Expected.PROVEN:
            right = proven and verdict.passed
        case Expected.PASSED:
            right = bool(judged) and verdict.passed and not named
        case Expected.UNPROVEN:
            right = bool(judged) and not any_proof
        case Expected.NOT_APPLICABLE:
            right = not judged and verdict.passed
    if cell.busy:
        right = right and is_fair_to_the_machine(verdict, cell)
    never = (Expected.LOST, Expected.UNPROVEN)
    false_pass = truth.expected in never and (any_proof or (verdict.passed and not right))
    said = "; ".join(
        f"{each.id} {each.outcome} {each.strength} {'/'.join(each.causes)} {each.reason}".strip()
        for each in verdict.checks
        if each.id in (*AT_ONCE, "loop")
    )
    if findings:
        said += f"; first {findings[0].kind}: {findings[0].evidence}"
    return Score(
        cell,
        right,
        proven if truth.expected is Expected.PROVEN else None,
        false_pass,
        line,
        said or "; ".join([*verdict.missing, verdict.unrecognised]),
    )


def causes_named(verdict: tg.Verdict) -> set[Cause]:
    """Return the likeliest cause of each check of what ran at once that does not stand.

    Functions that block a loop leave spans in a row, and nothing in them says that they could have
    run at once: there the check of the loop names them.
    """
    doubtful = (Strength.SERIAL, Strength.SUSPICIOUS)
    found = {
        each.causes[0]
        for each in verdict.checks
        if each.id in AT_ONCE and each.causes and each.strength in doubtful
    }
    loop = [each for each in verdict.failures if each.id == "loop"]
    return found or {(each.causes or (Cause.BLOCKED_LOOP,))[0] for each in loop}


def is_fair_to_the_machine(verdict: tg.Verdict, cell: Cell) -> bool:
    """Tell whether a busy machine is never called a block, and is named where it made one longer.

    A line that waits for a socket is not made longer: it needs no processor.
    """
    said = as_markdown(verdict)
    if not cell.truth.blocks:
        return not BLAMED.search(said)
    return cell.truth.mark != COMPUTING.mark or "starved" in said


def line_named(run: Run, verdict: tg.Verdict) -> bool:
    """Tell whether the verdict names the file and line, and most of the blocked time is theirs."""
    assert run.cell.line is not None
    file, number = run.cell.line
    blocked: Counter[tuple[str, int]] = Counter()
    for span in run.trace:
        for event in span.events:
            if event.name == BLOCKED:
                values = event.attributes
                path = str(values.get("code.file.path", "")).rpartition("/")[2]
                key = (path, int(values.get("code.line.number", 0)))
                blocked[key] += values["witness.blocked.duration_ms"]
    most = max(blocked, key=blocked.__getitem__, default=None)
    return most == (file, number) and f"{file}:{number}" in as_markdown(verdict)


def table(scores: Sequence[Score]) -> str:
    """Show a line for each cell, what was said where it was wrong, and the figures that count."""
    lines = []
    for cell, some in by_cell(scores).items():
        right, lined = sum(each.right for each in some), [each.line for each in some]
        row = f"{cell!s:45} right {right}/{len(some)}"
        if lined[0] is not None:
            row += f"  line {sum(map(bool, lined))}/{len(some)}"
        lines.append(row)
        wrong = Counter(each.said for each in some if not each.is_perfect)
        lines += [f"    {count} x {said}" for said, count in wrong.most_common(2)]
        lines += ["    FALSE PASS"] * any(each.false_pass for each in some)
    figures = (
        f"{len(scores)} runs: false passes {sum(each.false_pass for each in scores)},"
        f" cells right in all runs {percent(right_cells(scores))},"
        f" clean proven {percent(proven_runs(scores))},"
        f" line right {percent(right_lines(scores))}"
    )
    return "\n".join([*lines, figures])


def by_cell(scores: Iterable[Score]) -> dict[Cell, list[Score]]:
    """Group scores by their cells."""
    found = defaultdict(list)
    for each in scores:
        found[each.cell].append(each)
    return found


def right_cells(scores: Sequence[Score]) -> float | None:
    """Return the share of cells whose pathology was named rightly in every run."""
    lost = [each for each in scores if each.cell.truth.expected is Expected.LOST]
    return share([all(each.right for each in some) for some in by_cell(lost).values()])


def proven_runs(scores: Sequence[Score]) -> float | None:
    """Return the share of clean runs that are proven, of those where every wait can be seen."""
    return share([each.proven for each in scores if each.proven is not None])


def right_lines(scores: Sequence[Score]) -> float | None:
    """Return the share of runs with a blocked loop whose file and line are named."""
    return share([each.line for each in scores if each.line is not None])


def share(rights: Sequence[bool]) -> float | None:
    """Return the share of what is right; None where there is nothing."""
    return sum(rights) / len(rights) if rights else None


def percent(share: float | None) -> str:
    """Show a share."""
    return "-" if share is None else f"{share:.1%}"


def shortfalls(scores: Sequence[Score]) -> list[str]:
    """Say which of the bars are missed; what was not run misses its bar."""
    false = sum(each.false_pass for each in scores)
    figures = {
        "cells right in all runs": (right_cells(scores), RIGHT_CELLS),
        "clean proven": (proven_runs(scores), PROVEN_RUNS),
        "line right": (right_lines(scores), 1.0),
    }
    missed = [
        f"{name}: {percent(figure)} of {bar:.0%}"
        for name, (figure, bar) in figures.items()
        if figure is None or figure < bar
    ]
    return [f"{false} false passes"] * bool(false) + missed
