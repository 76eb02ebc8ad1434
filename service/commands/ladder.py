"""`trading-graph ladder`: the same analysis from all sequential to a warm cache, side by side."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.otel.report.documents.document import SCHEMA_VERSION, Document, encode
from trading_graph.service.commands.run import load_session
from trading_graph.service.errors import SettingsError
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.ladder import (
    TOLERANCE,
    Claim,
    Ladder,
    Latencies,
    MeasuredRung,
    climb,
    compare_rungs,
    rungs,
)
from trading_graph.service.log import logging_to
from trading_graph.service.settings import read_settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.symbols import parse_symbol

_LONGEST_CALL_S = 50.0
_LONGEST_FETCH_S = 8.0
"""The clients give up on a call after 60 s, and on a host that is silent for 10 s."""


def ladder_command(
    *, symbol: str, date: str | None, call_s: float, fetch_s: float, scale: float, as_json: bool
) -> ExitCode:
    """Climb the ladder and return the exit code.

    It always uses the offline model and the embedded data, so that latencies are equal.
    """
    talk, latencies = Console(stderr=True), Latencies(call_s, fetch_s, scale)
    settings = read_settings()
    _refuse_timeouts(latencies)
    listed, as_of = parse_symbol(symbol), AsOf.parse(date or LAST_DAY)
    with logging_to(settings.log_file, settings.redactor):
        steps = rungs(listed, as_of, latencies)
        session = load_session(talk)(settings, settings.out, talk, offline=True)
        results = asyncio.run(climb(steps, session, talk))
        ladder = compare_rungs(steps, results, latencies)
    out = Console(file=sys.stdout)
    if as_json:
        show_json(ladder, listed, str(as_of), out)
    else:
        show(ladder, out)
    return ExitCode.OK if ladder.holds else ExitCode.CHECK_FAILED


def _refuse_timeouts(latencies: Latencies) -> None:
    for what, took, longest in (
        ("call", latencies.call_s * latencies.scale, _LONGEST_CALL_S),
        ("fetch", latencies.fetch_s * latencies.scale, _LONGEST_FETCH_S),
    ):
        if took > longest:
            raise SettingsError(
                f"A {what} of {took:g} s would run into the client's time limit; choose a "
                f"--scale that keeps it below {longest:g} s."
            )


BASELINE = (248, 590)
"""The runtimes, in seconds, that the founding document starts from."""

_COLUMNS = ("", "path", "latency", "own", "measured", "predicted", "off", "faster", "claim")


def show(ladder: Ladder, console: Console) -> None:
    """Print the table, each run, and the sentences."""
    latencies = ladder.first.measured.latencies
    console.print(
        f"Seconds at {latencies.call_s:g} s a call and {latencies.fetch_s:g} s a fetch, simulated "
        f"at {latencies.scale:g}; path: LLM calls + fetches in series; own: this program's time, "
        "as it was.",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for title in _COLUMNS:
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for each in ladder.reached:
        table.add_row(*_cells(ladder, each))
    console.print(table, highlight=False)
    console.print()
    for line in _runs(ladder):
        console.print(line, highlight=False, soft_wrap=True)
    console.print()
    for sentence in sentences(ladder):
        console.print(f"- {escape(sentence)}", highlight=False, soft_wrap=True)


def _cells(ladder: Ladder, each: MeasuredRung) -> Iterator[str]:
    yield each.rung.name
    yield f"{each.measured.calls:.0f} + {each.measured.fetches:.0f}"
    yield f"{each.measured.latency_s:.1f}"
    yield f"{each.measured.own_s:.2f}"
    yield f"{each.measured.seconds:.1f}"
    yield "-" if each is ladder.first else f"{each.predicted.seconds:.1f}"
    yield "-" if each is ladder.first else f"{each.off:+.1%}"
    yield f"{ladder.faster(each):.2f}x"
    yield _factor(each.rung.claim) if each.rung.claim else ""


def _runs(ladder: Ladder) -> Iterator[str]:
    """One line for each run, on how it ran."""
    for each in ladder.reached:
        wrong = ladder.unconfirmed.get(each.rung.name, ())
        mark = "[red]✗[/]" if wrong else "[green]✓[/]"
        gate = f"gate fails: {', '.join(each.failed)}" if each.failed else "gate passed"
        missed = f"; [red]contradicts it: {', '.join(wrong)}[/]" if wrong else ""
        predicted = ""
        if each is not ladder.first:
            predicted = f", predicted {each.predicted_ran_s:.3f} s ({each.off_as_run:+.1%})"
        yield (
            f"{mark} {each.rung.name}: ran {each.ran_s:.3f} s{predicted}; {gate}{missed}; "
            f"{escape(str(each.trace_file))}"
        )


def sentences(ladder: Ladder) -> Iterator[str]:
    """How much each lever saves, and where the founding document was right or wrong."""
    yield _levers(ladder)
    low, high = BASELINE
    slow = ladder.first.measured.seconds
    where = "inside" if low <= slow <= high else "outside"
    yield f"The slow program takes {slow:.1f} s, {where} the founding document's {low}-{high} s."
    for each in ladder.reached:
        if each.rung.claim is not None:
            yield _claim_sentence(ladder, each, each.rung.claim)
    yield from _floor(ladder)
    yield from _misses(ladder)


def _levers(ladder: Ladder) -> str:
    seconds = [each.measured.seconds for each in ladder.reached]
    total = seconds[0] - seconds[-1]
    parts = [
        f"{each.rung.name} {before - after:.1f} s ({(before - after) / total:.0%})"
        for each, before, after in zip(ladder.reached[1:], seconds, seconds[1:], strict=False)
    ]
    return f"Of {total:.1f} s saved: {', '.join(parts)}."


def _claim_sentence(ladder: Ladder, each: MeasuredRung, claim: Claim) -> str:
    factor, took = ladder.faster(each), each.measured.seconds
    return (
        f"{each.rung.name}: the founding document expects {_factor(claim)} and "
        f"{claim.low_s:g}-{claim.high_s:g} s; measured {factor:.2f}x "
        f"({_against(factor, claim.low_x, claim.high_x, 'x', 2)}) and {took:.1f} s "
        f"({_against(took, claim.low_s, claim.high_s, ' s', 1)})."
    )


def _factor(claim: Claim) -> str:
    return f"{claim.low_x:g}-{claim.high_x:g}x"


def _against(value: float, low: float, high: float, unit: str, digits: int) -> str:
    if value < low:
        return f"{low - value:.{digits}f}{unit} below it"
    return f"{value - high:.{digits}f}{unit} above it" if value > high else "holds"


def _floor(ladder: Ladder) -> Iterator[str]:
    """What no tool and no cache can change."""
    last = ladder.reached[-1]
    chain, call_s = last.measured.calls, last.measured.latencies.call_s
    floor = chain * call_s
    claims = [each.rung.claim for each in ladder.reached if each.rung.claim is not None]
    beyond = [claim for claim in claims if claim.high_s < floor]
    if not beyond:
        return
    ranges = " and ".join(f"{claim.low_s:g}-{claim.high_s:g} s" for claim in beyond)
    least = min(claim.high_s for claim in beyond)
    yield (
        f"{chain:.0f} LLM calls in series are {floor:g} s at {call_s:g} s a call, whatever tools "
        f"and caches do: {ranges} are out of their reach. That takes calls under "
        f"{least / chain:.1f} s, or fewer in series."
    )


def _misses(ladder: Ladder) -> Iterator[str]:
    for each in ladder.reached:
        if abs(each.off) > TOLERANCE:
            yield f"The prediction for {each.rung.name} misses by {each.off:+.1%}."


class ClaimJson(Document, frozen=True, kw_only=True):
    """What the founding document expects of a rung: from, to."""

    seconds: tuple[float, float]
    faster: tuple[float, float]


class AsRunJson(Document, frozen=True, kw_only=True):
    """A rung at the scale at which it ran."""

    measured_s: float
    predicted_s: float
    off: float


class RungGateJson(Document, frozen=True, kw_only=True):
    """The default gate on a rung's trace: what failed, and what contradicts the rung."""

    passed: bool
    failed: list[str]
    contradicts: list[str]


class RungJson(Document, frozen=True, kw_only=True):
    """A rung: measured, and predicted from the first one's trace."""

    name: str
    run_id: str
    trace: str
    calls: float
    fetches: float
    latency_s: float
    own_s: float
    measured_s: float
    predicted_s: float
    off: float
    faster: float
    claim: ClaimJson | None
    as_run: AsRunJson
    gate: RungGateJson


class LadderJson(Document, frozen=True, kw_only=True):
    """What `trading-graph ladder --json` prints; times are seconds."""

    schema_version: Literal[1]
    symbol: str
    as_of: str
    call_s: float
    fetch_s: float
    scale: float
    tolerance: float
    holds: bool
    rungs: list[RungJson]
    sentences: list[str]


def show_json(ladder: Ladder, symbol: str, as_of: str, console: Console) -> None:
    """Print the ladder as one JSON object, schema version 1; docs/ladder.md describes it."""
    latencies = ladder.first.measured.latencies
    document = LadderJson(
        schema_version=SCHEMA_VERSION,
        symbol=symbol,
        as_of=as_of,
        call_s=latencies.call_s,
        fetch_s=latencies.fetch_s,
        scale=latencies.scale,
        tolerance=TOLERANCE,
        holds=ladder.holds,
        rungs=[_rung(ladder, each) for each in ladder.reached],
        sentences=list(sentences(ladder)),
    )
    console.file.write(encode(document) + "\n")


def _rung(ladder: Ladder, each: MeasuredRung) -> RungJson:
    return RungJson(
        name=each.rung.name,
        run_id=each.run_id,
        trace=str(each.trace_file),
        calls=round(each.measured.calls, 3),
        fetches=round(each.measured.fetches, 3),
        latency_s=round(each.measured.latency_s, 3),
        own_s=round(each.measured.own_s, 3),
        measured_s=round(each.measured.seconds, 3),
        predicted_s=round(each.predicted.seconds, 3),
        off=round(each.off, 5),
        faster=round(ladder.faster(each), 3),
        claim=None if each.rung.claim is None else _claim(each.rung.claim),
        as_run=AsRunJson(
            measured_s=round(each.ran_s, 4),
            predicted_s=round(each.predicted_ran_s, 4),
            off=round(each.off_as_run, 5),
        ),
        gate=RungGateJson(
            passed=each.verdict.passed,
            failed=list(each.failed),
            contradicts=list(ladder.unconfirmed.get(each.rung.name, ())),
        ),
    )


def _claim(claim: Claim) -> ClaimJson:
    return ClaimJson(seconds=(claim.low_s, claim.high_s), faster=(claim.low_x, claim.high_x))
