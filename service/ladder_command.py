"""`trading-graph ladder`: the same analysis from all sequential to a warm cache, side by side."""

import asyncio
import sys

from rich.console import Console

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.redaction import Redactor
from trading_graph.service.choice import EMBEDDED_DATE
from trading_graph.service.errors import BadSettings
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.full_scale import Latencies
from trading_graph.service.guarded import guarded
from trading_graph.service.log import logging_to
from trading_graph.service.settings import Settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.symbols import parse_symbol

_LONGEST_CALL_S = 50.0
_LONGEST_FETCH_S = 8.0
"""The clients give up on a call after 60 s, and on a host that is silent for 10 s."""


def ladder_command(
    symbol: str, date: str | None, latencies: Latencies, *, as_json: bool
) -> ExitCode:
    """Climb the ladder and return the exit code; every failure is one sentence on stderr.

    It always runs on the offline model and the embedded data: latencies have to be equal.
    """
    talk = Console(stderr=True)

    def work(settings: Settings, redactor: Redactor) -> ExitCode:
        _refuse_timeouts(latencies)
        asked, as_of = parse_symbol(symbol), AsOf.parse(date or EMBEDDED_DATE)
        with logging_to(settings.log_file, redactor):
            return _climb(asked, as_of, latencies, settings, redactor, talk, as_json=as_json)

    return guarded(talk, work)


def _refuse_timeouts(latencies: Latencies) -> None:
    for what, took, longest in (
        ("call", latencies.call_s * latencies.scale, _LONGEST_CALL_S),
        ("fetch", latencies.fetch_s * latencies.scale, _LONGEST_FETCH_S),
    ):
        if took > longest:
            raise BadSettings(
                f"A {what} of {took:g} s would run into the client's time limit; choose a "
                f"--scale that keeps it below {longest:g} s."
            )


def _climb(
    symbol: str,
    as_of: AsOf,
    latencies: Latencies,
    settings: Settings,
    redactor: Redactor,
    talk: Console,
    *,
    as_json: bool,
) -> ExitCode:
    with talk.status("loading"), collection_paused():
        from trading_graph.service.ladder import climb, compared, rungs
        from trading_graph.service.ladder_report import show, show_json
        from trading_graph.service.langsmith_mode import LangSmithMode
        from trading_graph.service.run_session import RunSession

    steps = rungs(symbol, as_of, latencies)
    session = RunSession(settings, settings.out, talk, redactor, langsmith=LangSmithMode.OFF)
    results = asyncio.run(climb(steps, session, talk))
    ladder = compared(steps, results, latencies)
    out = Console(file=sys.stdout)
    if as_json:
        show_json(ladder, symbol, str(as_of), out)
    else:
        show(ladder, out)
    return ExitCode.OK if ladder.holds else ExitCode.CHECK_FAILED
