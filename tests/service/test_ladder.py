"""`trading-graph ladder`: five real runs, each predicted from the first one's trace."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from tests.schema_files import assert_fits
from tests.service.test_run_command import Ran, trading_graph
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.trace import SpanValues, Trace, TraceBuilder, semconv
from trading_graph.otel.verdict import CheckResult, Outcome, Verdict
from trading_graph.service.commands.ladder import sentences, show
from trading_graph.service.ladder import (
    LAG_MS,
    TOLERANCE,
    TRIES,
    Claim,
    FullScale,
    Ladder,
    Latencies,
    MeasuredRung,
    Rung,
    climb,
    lag_ms,
)
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.result import FinishedRun
from trading_graph.service.run.session import RunSession

LATENCIES = Latencies(15, 3, 0.02)
LEVERS = {"start", "tools", "overlap", "chain", "duplicates"}


def climbed(workdir: Path) -> tuple[Ran, Mapping[str, Any]]:
    """A small ladder; its fetches take long enough that the gate can tell them from our own work on
    a busy machine.
    """
    ran = trading_graph("ladder", "--scale", "0.008", "--fetch-s", "20", "--json", cwd=workdir)
    document = json.loads(ran.stdout)
    assert_fits(document, "ladder")
    return ran, document


@pytest.mark.idle(per_cpu=1)
def test_the_whole_ladder(workdir: Path) -> None:
    ran, document = climbed(workdir)
    rungs = document["rungs"]
    assert [rung["name"] for rung in rungs] == [
        "all sequential",
        "+ Send",
        "+ async tools",
        "+ cache and pool",
        "again, warm",
    ]
    assert 248 <= rungs[0]["measured_s"] <= 590
    for slower, faster in pairwise(rungs):
        assert faster["measured_s"] < slower["measured_s"]
        assert faster["predicted_s"] < slower["predicted_s"]
    for rung in rungs:
        assert abs(rung["off"]) <= TOLERANCE, rung
    assert rungs[0]["off"] == 0, "nothing changed: the first run, played again, is the first run"

    # What made the difference: calls, then fetches, then shared fetches, then none at all.
    assert rungs[0]["calls"] == 16
    assert {rung["calls"] for rung in rungs[1:]} == {7}
    assert rungs[-1]["fetches"] == 0

    # Each rung's own trace says so: the levers' checks fail first and pass last.
    # The 2 s of "start" are real seconds: here even the slow program keeps them.
    assert set(rungs[0]["gate"]["failed"]) >= LEVERS - {"start"}
    assert not LEVERS & set(rungs[-2]["gate"]["failed"])
    assert ran.returncode == (0 if document["holds"] else 1)
    for rung in rungs:
        assert (workdir / rung["trace"]).is_file()
        assert rung["run_id"] in rung["trace"]
    assert len({rung["run_id"] for rung in rungs}) == len(rungs)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ZZZZ",), "ZZZZ"),
        (("--date", "2999-01-01"), "future"),
        (("--scale", "0"), "scale"),
        (("--call-s", "0"), "call-s"),
        (("--call-s", "80", "--scale", "1"), "time limit"),
        (("--fetch-s", "20", "--scale", "0.5"), "time limit"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    workdir: Path, words: tuple[str, ...], says: str
) -> None:
    ran = trading_graph("ladder", *words, cwd=workdir)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_without_traces_there_is_no_ladder(workdir: Path) -> None:
    ran = trading_graph(
        "ladder", "--scale", "0.001", cwd=workdir, env={"OTEL_SDK_DISABLED": "true"}
    )
    assert ran.returncode == 3
    assert "not recorded" in ran.stderr
    assert ran.stdout == ""


def reached(
    name: str,
    calls: float,
    *failed: str,
    predicted: float | None = None,
    proves: tuple[str, ...] = (),
    claim: Claim | None = None,
) -> MeasuredRung:
    """A rung with so many calls in series, which its trace's verdict fails in these checks."""
    results = tuple(
        CheckResult(
            check, check, Outcome.FAIL if check in failed else Outcome.PASS, "measured", "limit"
        )
        for check in sorted(LEVERS)
    )
    request = RunRequest(symbol="AAPL", date="2025-11-14")
    foreseen = calls if predicted is None else predicted
    return MeasuredRung(
        rung=Rung(name, request, BackendChoice(), proves, claim),
        run_id="b" * 32,
        trace_file=Path("runs", "b" * 32, "trace.jsonl"),
        ran_s=calls * 0.3,
        predicted_ran_s=foreseen * 0.3,
        measured=FullScale(LATENCIES, calls, 0, 0.1),
        predicted=FullScale(LATENCIES, foreseen, 0, 0.1),
        verdict=Verdict(Trace(TraceBuilder("a" * 32).build()), None, (), True, 0, results),
    )


SLOW = reached("slow", 16, *LEVERS)
QUICK = reached("quick", 7, proves=tuple(LEVERS), claim=Claim(45, 75, 4, 6))


def test_it_holds_when_predictions_are_close_and_verdicts_agree() -> None:
    ladder = Ladder((SLOW, QUICK))
    assert ladder.holds
    assert ladder.faster(QUICK) == pytest.approx(240.1 / 105.1)


def test_a_prediction_that_misses_fails_it() -> None:
    missed = replace(QUICK, predicted=replace(QUICK.predicted, calls=7.5))
    ladder = Ladder((SLOW, missed))
    assert not ladder.holds
    assert any("misses by +7.1%" in sentence for sentence in sentences(ladder))


def test_a_verdict_that_contradicts_its_rung_fails_it() -> None:
    serial = reached("quick", 7, "overlap", proves=tuple(LEVERS))
    ladder = Ladder((SLOW, serial))
    assert not ladder.holds
    assert ladder.unconfirmed == {"quick": ("overlap",)}


def test_a_slow_program_that_passes_fails_it() -> None:
    """Else a gate that passes everything would confirm everything."""
    assert Ladder((reached("slow", 16, *(LEVERS - {"start"})), QUICK)).holds, "a limit in seconds"
    ladder = Ladder((reached("slow", 16, *(LEVERS - {"tools"})), QUICK))
    assert ladder.unconfirmed == {"slow": ("tools",)}
    assert not ladder.holds


def test_the_report_says_what_holds_and_what_does_not() -> None:
    told = list(sentences(Ladder((SLOW, QUICK))))
    (judged,) = [sentence for sentence in told if "expects" in sentence]
    assert "2.28x (1.72x below it)" in judged
    assert "105.1 s (30.1 s above it)" in judged
    (floor,) = [sentence for sentence in told if "whatever tools" in sentence]
    assert floor.startswith("7 LLM calls in series are 105 s at 15 s a call")

    modest = replace(QUICK, rung=replace(QUICK.rung, claim=Claim(80, 120, 2, 3)))
    told = list(sentences(Ladder((SLOW, modest))))
    assert any("2.28x (holds) and 105.1 s (holds)" in sentence for sentence in told)
    assert not any("whatever tools" in sentence for sentence in told)


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    show(Ladder((SLOW, QUICK)), console)
    text = console.export_text()
    assert "4-6x" in text
    assert "…" not in text


class Session:
    """Runs whose event loops were held for so long, one after the other."""

    def __init__(self, *lags_ms: float) -> None:
        self.lags_ms = iter(lags_ms)

    async def runs(
        self, request: RunRequest, choice: BackendChoice, times: int
    ) -> list[FinishedRun]:
        found = []
        for _ in range(times):
            builder = TraceBuilder("a" * 32)
            said = {semconv.LOOP_LAG_MAX_MS: next(self.lags_ms)}
            builder.add(SpanValues("1", "", "run", 1, 1, 2, 0, said.copy))
            trace = builder.build()
            found.append(FinishedRun(cast(Any, None), cast(Any, None), trace, (), None, None))
        return found


async def climbed_with(*lags_ms: float) -> tuple[list[float], str]:
    """The lags of the runs that stand, of one rung and of one with a warm run, and what is told."""
    request = RunRequest(symbol="AAPL", date="2025-11-14")
    steps = [Rung(name, request, BackendChoice()) for name in ("slow", "quick")]
    steps.append(Rung("warm", request, BackendChoice(), warm=True))
    told = Console(file=io.StringIO(), width=80, record=True)
    results = await climb(steps, cast(RunSession, Session(*lags_ms)), told)
    return [lag_ms([each]) for each in results], told.export_text()


async def test_a_rung_that_was_held_up_is_run_again() -> None:
    late = LAG_MS + 1
    assert (await climbed_with(1, 2, LAG_MS))[0] == [1, 2, LAG_MS], "one run each where all is calm"
    stand, told = await climbed_with(late, 2, 3, 4)
    assert stand == [2, 3, 4]
    assert told.count("was held for 21 ms: again.") == 1
    assert (await climbed_with(1, 2, late, 3, 4))[0] == [1, 3, 4], "the warm one with its own cold"


async def test_a_machine_that_is_never_calm_ends_the_trying_and_the_calmest_stands() -> None:
    tried = [LAG_MS + 1 + (number != 1) for number in range(TRIES)]
    stand, told = await climbed_with(*tried, 1, 2)
    assert stand == [LAG_MS + 1, 1, 2]
    assert told.count("again.") == TRIES - 1
