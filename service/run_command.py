"""`trading-graph run`: from the words of the command line to the exit code.

What will serve is said first; only then is anything heavy imported, which takes seconds.
"""

import asyncio
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.options import Options
from trading_graph.otel.collection import collection_paused
from trading_graph.otel.redaction import Redactor
from trading_graph.service.choice import backend_choice, default_date
from trading_graph.service.errors import NotResumable
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.guarded import guarded
from trading_graph.service.log import logging_to
from trading_graph.service.run_request import RunRequest
from trading_graph.service.settings import Settings
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.symbols import parse_symbol

if TYPE_CHECKING:
    from trading_graph.service.result import Result
    from trading_graph.service.run_session import RunSession


def run_command(symbol: str, asked: Mapping[str, Any]) -> ExitCode:
    """Run the analysis and return the exit code; every failure is one sentence on stderr."""
    talk = Console(stderr=True)

    def work(settings: Settings, redactor: Redactor) -> ExitCode:
        choice = backend_choice(
            settings,
            offline=asked["offline"],
            data=asked["data"],
            cache=not asked["no_cache"],
            pool=not asked["no_pool"],
        )
        options = _request(symbol, asked, settings).options(default_date(choice.data))
        announce(talk, options, choice)
        with logging_to(settings.log_file, redactor):
            return _run(options, choice, settings, redactor, asked, talk)

    return guarded(talk, work)


def resume_command(word: str, asked: Mapping[str, Any]) -> ExitCode:
    """Go on with a killed run and return the exit code; every failure is one sentence on stderr."""
    talk = Console(stderr=True)

    def work(settings: Settings, redactor: Redactor) -> ExitCode:
        # Not above: a run that begins does not need it.
        from trading_graph.service.run_order import RunOrder
        from trading_graph.service.taking_up import kept_order

        out = Path(asked["out"] or settings.out)
        run_id = _interrupted_run(word, out)
        order: RunOrder = kept_order(out, run_id.hex)
        choice = order.choice(settings)
        order.check(choice)
        announce(talk, order.options, choice)
        with logging_to(settings.log_file, redactor):
            offline = order.langsmith is order.langsmith.OFF
            session = _session(settings, redactor, asked, talk, offline=offline)
            result = asyncio.run(session.resume(run_id, choice))
            return _presented(result, settings, asked)

    return guarded(talk, work)


def _interrupted_run(word: str, out: Path) -> uuid.UUID:
    """The id that a word is, or that of the newest interrupted run; raises NotResumable."""
    from trading_graph.service.run_standing import interrupted_runs

    if word != "last":
        try:
            return uuid.UUID(word)
        except ValueError:
            raise NotResumable(
                f"{word} is no run's id; name one of {out}, or `last` for the newest that was "
                "interrupted."
            ) from None
    interrupted = interrupted_runs(out)
    if not interrupted:
        raise NotResumable(f"No run in {out} was interrupted.")
    return uuid.UUID(interrupted[-1].run_id)


def _request(symbol: str, asked: Mapping[str, Any], settings: Settings) -> RunRequest:
    """What the words ask for; a budget that they do not name is that of the settings.

    Raises BadSymbol or BadDate: what does not fit the bounds of a request is told in their words.
    """
    given = {name: asked[name] for name in RunRequest.model_fields.keys() - {"symbol"}}
    if given["date"]:
        given["date"] = str(AsOf.parse(given["date"]))
    for name in ("max_seconds", "max_calls", "max_tokens"):
        given[name] = given[name] or getattr(settings, name)
    return RunRequest(symbol=parse_symbol(symbol), **given)


def announce(talk: Console, options: Options, choice: BackendChoice) -> None:
    """Say which model, which data and which mode will serve."""
    simulated = " · latencies are simulated" if choice.simulated else ""
    talk.print(
        f"{options.symbol} as of {options.as_of} · model: {choice.model_label} · "
        f"data: {choice.data_label}{simulated}",
        highlight=False,
        soft_wrap=True,
    )


def _run(
    options: Options,
    choice: BackendChoice,
    settings: Settings,
    redactor: Redactor,
    asked: Mapping[str, Any],
    talk: Console,
) -> ExitCode:
    session = _session(settings, redactor, asked, talk, offline=asked["offline"])
    return _presented(asyncio.run(session.run(options, choice)), settings, asked)


def _session(
    settings: Settings,
    redactor: Redactor,
    asked: Mapping[str, Any],
    talk: Console,
    *,
    offline: bool,
) -> "RunSession":
    with talk.status("loading"), collection_paused():
        from trading_graph.service.langsmith_mode import langsmith_mode
        from trading_graph.service.run_session import RunSession

    langsmith = langsmith_mode(settings, offline=offline)
    out = Path(asked["out"] or settings.out)
    return RunSession(settings, out, talk, redactor, langsmith=langsmith)


def _presented(result: "Result", settings: Settings, asked: Mapping[str, Any]) -> ExitCode:
    from trading_graph.service.result import show, show_json

    present = show_json if asked["as_json"] else show
    present(result, settings, Console(file=sys.stdout))
    return ExitCode.OK
