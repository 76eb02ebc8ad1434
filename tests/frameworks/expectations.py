"""What `verify` and `diagnose` must say about a trace whose truth is known, by kind.

Pure functions over the JSON of both commands. A sentence is searched for words only where no field
says the same: a cause may be named in several ways, and what counts is that it is named.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

NOT_ABOUT_CONCURRENCY = {"complete", "budget", "chain", "loop", "duplicates", "errors"}
"""Checks that can pass without anything having been judged that could run at once."""

LIMITS = {"semaphore", "max_concurrency", "connection_limit", "executor"}
ROWS = {"serial agents", "serial tools", "serial calls", "serial fan-out"}
NEXT = re.compile(r"one after (?:the other|another)", re.IGNORECASE)
BLOCKED = re.compile(r"\bblock", re.IGNORECASE)
LIMIT = re.compile(r"\blimit|semaphore|\block\b|\bpool\b|at a time|one by one", re.IGNORECASE)
SURE_S = 0.001
"""A gain below this is none."""


class Kind(StrEnum):
    """What is true of a program."""

    PARALLEL = "parallel"
    SERIAL = "serial"
    BLOCKED = "blocked"
    LIMIT = "limit"
    TURNS = "turns"
    ROW = "row"
    DEPENDENT = "dependent"
    BARRIER = "barrier"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the two commands said: their exit codes, and the documents that they printed."""

    verify_exit: int
    verdict: dict[str, Any]
    diagnose_exit: int
    diagnosis: dict[str, Any]

    @property
    def judged(self) -> bool:
        """Whether both commands judged the trace."""
        return self.verify_exit in (0, 1) and "findings" in self.diagnosis

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The checks about what ran at once, those left out that do not apply."""
        return [
            check
            for check in self.verdict.get("checks", [])
            if check["id"] not in NOT_ABOUT_CONCURRENCY
            and (check["outcome"] != "not applicable" or check["causes"])
        ]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings, the first of them first."""
        return list(self.diagnosis.get("findings", []))

    @property
    def sure(self) -> list[dict[str, Any]]:
        """The findings that promise a gain without an `only if`."""
        return [each for each in self.findings if each["gain_s"]["low"] > SURE_S]


@dataclass(frozen=True, slots=True)
class Score:
    """What is wrong with an answer, in words; empty where it is right."""

    verdict: str = ""
    finding: str = ""
    false_fail: bool = False
    false_pass: bool = False


def score(kind: Kind, answer: Answer, gain_s: float | None = None) -> Score:
    """Hold an answer against what its kind must get.

    `gain_s` is what mending the first finding would gain, where that is known.
    """
    if not answer.judged:
        why = answer.verdict.get("missing") or answer.diagnosis.get("error", "")
        return Score(f"not judged: {why}", f"not judged: {why}")
    verdict = VERDICTS[kind](answer)
    return Score(
        verdict=verdict,
        finding=FINDINGS[kind](answer) or misses(gain_s, answer),
        false_fail=bool(verdict) and answer.verify_exit == 1 and kind in MUST_NOT_FAIL,
        false_pass=bool(verdict) and answer.verify_exit == 0 and kind in MUST_NOT_PASS_UNSAID,
    )


MUST_NOT_FAIL = {Kind.PARALLEL, Kind.TURNS, Kind.ROW, Kind.DEPENDENT, Kind.BARRIER}
MUST_NOT_PASS_UNSAID = {Kind.SERIAL, Kind.BLOCKED, Kind.LIMIT}
"""A blocked loop or a limit may leave spans that overlap: then a pass has to name it."""


def causes(item: dict[str, Any]) -> set[str]:
    """Return the causes that a check or a finding names."""
    return set(item.get("causes") or filter(None, [item.get("cause")]))


def text(item: dict[str, Any]) -> str:
    """Join what a check or a finding says in sentences."""
    said = ("kind", "strength", "measured", "note", "evidence", "task", "advice", "only_if")
    return " ".join(str(item[key]) for key in said if item.get(key))


def is_proven(check: dict[str, Any]) -> bool:
    """Tell whether a check is called proven."""
    return str(check["strength"]).startswith("proven")


def names_block(item: dict[str, Any]) -> bool:
    """Tell whether a blocked loop or a blocking function is named."""
    return "blocked_loop" in causes(item) or bool(BLOCKED.search(text(item)))


def names_limit(item: dict[str, Any]) -> bool:
    """Tell whether a lock, a semaphore, a pool or another limit is named."""
    return bool(causes(item) & LIMITS) or bool(LIMIT.search(text(item)))


def names_row(item: dict[str, Any]) -> bool:
    """Tell whether it is named that the members ran one after the other."""
    return "dispatch" in causes(item) or bool(NEXT.search(text(item)))


def said(answer: Answer) -> str:
    """Put in a few words what verify said, for a table of what is wrong."""
    checks = [
        f"{each['id']}: {each['outcome']} {'/'.join(sorted(causes(each)))} {each['strength']}"[:110]
        for each in answer.checks
    ]
    return f"exit {answer.verify_exit}; {'; '.join(checks) or 'no check applies'}"


def first(answer: Answer) -> str:
    """Put the first finding in a few words."""
    if not answer.findings:
        return "no finding"
    one = answer.findings[0]
    return f"{one['kind']} in {one['place']}, from {one['gain_s']['low']:.2f} s: {one['evidence']}"[
        :150
    ]


def verdict_of_parallel(answer: Answer) -> str:
    """Judged and passed, not proven, since nothing recorded tells that nobody waited."""
    passed = [check for check in answer.checks if check["outcome"] == "pass"]
    if answer.verify_exit or not passed:
        return said(answer)
    return said(answer) if any(map(is_proven, passed)) else ""


def verdict_of_serial(answer: Answer) -> str:
    """Failed, one after the other, and a blocking function is the other cause that fits."""
    failed = [check for check in answer.checks if check["outcome"] == "fail"]
    right = any(names_row(check) and names_block(check) for check in failed)
    return "" if right and answer.verify_exit == 1 else said(answer)


def verdict_of_blocked(answer: Answer) -> str:
    """Never proven, and the blocked loop is the cause or one of those that fit."""
    named = any(map(names_block, answer.checks))
    return "" if named and not any(map(is_proven, answer.checks)) else said(answer)


def verdict_of_limit(answer: Answer) -> str:
    """Never proven, and the limit is named, alone or among the causes that fit."""
    named = any(map(names_limit, answer.checks))
    return "" if named and not any(map(is_proven, answer.checks)) else said(answer)


def verdict_of_turns(answer: Answer) -> str:
    """Not applicable for concurrency, exit 0."""
    return said(answer) if answer.verify_exit or answer.checks else ""


def verdict_of_row(answer: Answer) -> str:
    """Passed, with a note that says that they ran one after the other."""
    noted = NEXT.search(str(answer.verdict))
    return "" if answer.verify_exit == 0 and noted else said(answer)


def verdict_of_stages(answer: Answer) -> str:
    """Not failed: what stands in a row needs what came before."""
    return said(answer) if answer.verify_exit else ""


def no_sure_gain(answer: Answer) -> str:
    """No lower end above 0."""
    return f"sure gain: {first(Answer(0, {}, 0, {'findings': answer.sure}))}" if answer.sure else ""


def misses(gain_s: float | None, answer: Answer) -> str:
    """Tell whether the first finding's interval leaves out a gain that is known to a tenth."""
    if gain_s is None:
        return ""
    promised = answer.findings[0]["gain_s"]
    inside = promised["low"] <= 1.1 * gain_s and 0.9 * gain_s <= promised["high"]
    return "" if inside else f"gains {gain_s:.2f} s, which is not in {promised}"


def finding_of_serial(answer: Answer) -> str:
    """The row is the first finding."""
    return "" if answer.findings and answer.findings[0]["kind"] in ROWS else first(answer)


def finding_of_blocked(answer: Answer) -> str:
    """The first finding names the blocked loop."""
    return "" if answer.findings and names_block(answer.findings[0]) else first(answer)


def finding_of_limit(answer: Answer) -> str:
    """The first finding names the limit."""
    return "" if answer.findings and names_limit(answer.findings[0]) else first(answer)


def finding_of_row(answer: Answer) -> str:
    """The row is the first finding, with lower end 0 and `only if`."""
    wrong = no_sure_gain(answer) or finding_of_serial(answer)
    return wrong or ("" if answer.findings[0]["only_if"] else f"no `only if`: {first(answer)}")


def finding_of_dependent(answer: Answer) -> str:
    """Whatever is proposed gains 0 at least, and says `only if` where it is the row."""
    rows = [each for each in answer.findings if each["kind"] in ROWS and not each["only_if"]]
    return no_sure_gain(answer) or (f"no `only if`: {rows[0]['kind']}" if rows else "")


def finding_of_barrier(answer: Answer) -> str:
    """The barrier is the first finding, with lower end 0 and `only if`."""
    barrier = answer.findings and "barrier" in f"{answer.findings[0]['kind']}"
    wrong = no_sure_gain(answer) or ("" if barrier else first(answer))
    return wrong or ("" if answer.findings[0]["only_if"] else f"no `only if`: {first(answer)}")


VERDICTS = {
    Kind.PARALLEL: verdict_of_parallel,
    Kind.SERIAL: verdict_of_serial,
    Kind.BLOCKED: verdict_of_blocked,
    Kind.LIMIT: verdict_of_limit,
    Kind.TURNS: verdict_of_turns,
    Kind.ROW: verdict_of_row,
    Kind.DEPENDENT: verdict_of_stages,
    Kind.BARRIER: verdict_of_stages,
}
FINDINGS = {
    Kind.PARALLEL: no_sure_gain,
    Kind.SERIAL: finding_of_serial,
    Kind.BLOCKED: finding_of_blocked,
    Kind.LIMIT: finding_of_limit,
    Kind.TURNS: no_sure_gain,
    Kind.ROW: finding_of_row,
    Kind.DEPENDENT: finding_of_dependent,
    Kind.BARRIER: finding_of_barrier,
}
