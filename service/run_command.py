"""`trading-graph run`: from the words of the command line to the exit code.

What will serve is said first; only then is anything heavy imported, which takes seconds.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from graph.backend_choice import BackendChoice
from graph.options import Debate, Options, Order
from otel.redaction import Redactor
from service.choice import backend_choice, default_date
from service.guarded import DONE, guarded
from service.log import logging_to
from service.settings import Settings
from toolkit.as_of import AsOf
from toolkit.symbols import parse_symbol


def run_command(symbol: str, asked: Mapping[str, Any]) -> int:
    """Run the analysis and return the exit code; every failure is one sentence on stderr."""
    talk = Console(stderr=True)

    def work(settings: Settings, redactor: Redactor) -> int:
        choice = backend_choice(
            settings,
            offline=asked["offline"],
            data=asked["data"],
            cache=not asked["no_cache"],
            pool=not asked["no_pool"],
        )
        options = _options(symbol, asked, choice)
        announce(talk, options, choice)
        with logging_to(settings.log_file, redactor):
            return _run(options, choice, settings, redactor, asked, talk)

    return guarded(talk, work)


def _options(symbol: str, asked: Mapping[str, Any], choice: BackendChoice) -> Options:
    return Options(
        symbol=parse_symbol(symbol),
        as_of=AsOf.parse(asked["as_of"] or default_date(choice.data)),
        analysts=tuple(f"{name}_analyst" for name in asked["analysts"]),
        analyst_turns=asked["analyst_turns"],
        debate=Debate(asked["debate"]),
        debate_rounds=asked["debate_rounds"],
        risk_rounds=asked["risk_rounds"],
        dispatch=Order(asked["dispatch"]),
        tools=Order(asked["tools"]),
        agent_budget_s=asked["agent_budget"],
        prefetch=asked["prefetch"],
    )


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
) -> int:
    with talk.status("loading"):
        from service.langsmith_mode import langsmith_mode
        from service.result import show, show_json
        from service.run_session import RunSession

    langsmith = langsmith_mode(settings, offline=asked["offline"])
    out = Path(asked["out"] or settings.out)
    session = RunSession(settings, out, talk, redactor, langsmith=langsmith)
    result = asyncio.run(session.run(options, choice))
    present = show_json if asked["as_json"] else show
    present(result, settings, Console(file=sys.stdout))
    return DONE
