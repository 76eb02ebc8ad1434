"""What the suite expects of the judge: a right answer of each kind scores, a wrong one does not."""

from typing import Any

import pytest

from tests.frameworks.expectations import Answer, Kind, score


def check(outcome: str, strength: str = "", *causes: str, id: str = "turns") -> dict[str, Any]:
    return {
        "id": id,
        "outcome": outcome,
        "measured": "3 calls",
        "strength": strength,
        "causes": list(causes),
        "advice": "",
    }


def finding(kind: str, low: float = 0.0, only_if: str | None = None, **more: Any) -> dict[str, Any]:
    gain = {"low": low, "likely": 0.4, "high": 0.8}
    return {
        "kind": kind,
        "place": "agent",
        "evidence": "3 spans",
        "advice": "",
        "only_if": only_if,
        "gain_s": gain,
        **more,
    }


def answer(*checks: dict[str, Any], findings: tuple[dict[str, Any], ...] = ()) -> Answer:
    failed = any(each["outcome"] == "fail" for each in checks)
    return Answer(int(failed), {"checks": list(checks)}, 0, {"findings": list(findings)})


OVERLAP = "overlapping, not proven: waits were not recorded"
SERIAL = "serial: one after the other"
ROW = finding("serial calls", only_if="none needs the result of another")
NOTED = check("not applicable", "3 agents ran one after the other")
ERRORS = check("pass", "proven", id="errors")

RIGHT = {
    Kind.PARALLEL: answer(check("pass", OVERLAP), ERRORS, findings=(finding("gap"),)),
    Kind.SERIAL: answer(
        check("fail", SERIAL, "dispatch", "blocked_loop"), findings=(finding("serial tools", 0.3),)
    ),
    Kind.BLOCKED: answer(
        check("pass", OVERLAP, "blocked_loop"), findings=(finding("blocked event loop"),)
    ),
    Kind.LIMIT: answer(
        check("fail", "serial: 1 at a time", "semaphore"), findings=(finding("limit"),)
    ),
    Kind.TURNS: answer(check("not applicable"), ERRORS),
    Kind.ROW: answer(NOTED, findings=(ROW,)),
    Kind.DEPENDENT: answer(NOTED, findings=(finding("gap"), ROW)),
    Kind.BARRIER: answer(
        check("pass", OVERLAP),
        findings=(finding("superstep barrier", only_if="no branch reads another's result"),),
    ),
}

WRONG_VERDICTS = {
    "parallel-fails": (Kind.PARALLEL, answer(check("fail", SERIAL, "dispatch"))),
    "parallel-not-judged": (Kind.PARALLEL, answer(check("not applicable"), ERRORS)),
    "parallel-proven": (Kind.PARALLEL, answer(check("pass", "proven"))),
    "serial-passes": (Kind.SERIAL, answer(check("pass", OVERLAP))),
    "serial-by-a-limit": (Kind.SERIAL, answer(check("fail", "serial: a limit", "max_concurrency"))),
    "serial-as-if-certain": (Kind.SERIAL, answer(check("fail", SERIAL, "dispatch"))),
    "blocked-is-not-named": (Kind.BLOCKED, answer(check("pass", OVERLAP, "not_recorded"))),
    "blocked-by-dispatch": (Kind.BLOCKED, answer(check("fail", SERIAL, "dispatch"))),
    "blocked-proven": (Kind.BLOCKED, answer(check("pass", "proven", "blocked_loop"))),
    "limit-is-not-named": (Kind.LIMIT, answer(check("pass", OVERLAP))),
    "turns-fail": (Kind.TURNS, answer(check("fail", SERIAL, "dependency"))),
    "turns-pass-as-judged": (Kind.TURNS, answer(check("pass", OVERLAP))),
    "row-fails": (Kind.ROW, answer(check("fail", SERIAL, "dispatch"))),
    "row-without-a-note": (Kind.ROW, answer(check("not applicable"))),
    "pipeline-fails": (Kind.DEPENDENT, answer(check("fail", SERIAL, "dispatch"))),
    "barrier-fails": (Kind.BARRIER, answer(check("fail", SERIAL, "barrier"))),
}

SURE = finding("serial fan-out", 1.2)
WRONG_FINDINGS = {
    "parallel-gains": (Kind.PARALLEL, (SURE,)),
    "serial-tools-unseen": (Kind.SERIAL, ()),
    "serial-turns-for-tools": (Kind.SERIAL, (finding("serial LLM turns"),)),
    "blocked-called-serial": (Kind.BLOCKED, (finding("serial calls"),)),
    "limit-unseen": (Kind.LIMIT, (finding("gap"),)),
    "limit-second": (Kind.LIMIT, (finding("gap"), finding("limit"))),
    "turns-gain": (Kind.TURNS, (SURE,)),
    "row-gains-for-sure": (Kind.ROW, (SURE,)),
    "row-without-a-condition": (Kind.ROW, (finding("serial calls"),)),
    "row-second": (Kind.ROW, (finding("gap"), ROW)),
    "pipeline-gains": (Kind.DEPENDENT, (finding("gap"), SURE)),
    "pipeline-without-a-condition": (Kind.DEPENDENT, (finding("serial fan-out"),)),
    "barrier-unseen": (Kind.BARRIER, ()),
    "barrier-for-sure": (Kind.BARRIER, (finding("superstep barrier", 0.5),)),
}


@pytest.mark.parametrize("kind", Kind)
def test_a_right_answer_scores(kind: Kind) -> None:
    scored = score(kind, RIGHT[kind])
    assert (scored.verdict, scored.finding) == ("", "")
    assert not scored.false_fail
    assert not scored.false_pass


@pytest.mark.parametrize("name", WRONG_VERDICTS)
def test_a_wrong_verdict_does_not(name: str) -> None:
    kind, wrong = WRONG_VERDICTS[name]
    scored = score(kind, wrong)
    assert scored.verdict
    failed = wrong.verify_exit == 1
    assert scored.false_fail == (failed and kind not in (Kind.SERIAL, Kind.BLOCKED, Kind.LIMIT))
    assert scored.false_pass == (not failed and kind in (Kind.SERIAL, Kind.BLOCKED, Kind.LIMIT))


@pytest.mark.parametrize("name", WRONG_FINDINGS)
def test_a_wrong_first_finding_does_not(name: str) -> None:
    kind, findings = WRONG_FINDINGS[name]
    assert score(kind, answer(findings=findings)).finding


@pytest.mark.parametrize(("gain_s", "right"), [(0.75, True), (0.85, True), (1.2, False)])
def test_a_gain_that_is_known_lies_in_the_interval(gain_s: float, right: bool) -> None:
    scored = score(Kind.BARRIER, RIGHT[Kind.BARRIER], gain_s)
    assert (scored.finding == "") == right


def test_what_is_not_judged_is_wrong() -> None:
    silent = Answer(3, {"checks": [], "missing": ["root"]}, 3, {"error": {"message": "no root"}})
    scored = score(Kind.PARALLEL, silent)
    assert "root" in scored.verdict
    assert scored.finding
