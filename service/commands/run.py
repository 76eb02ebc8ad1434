"""`trading-graph run`: make a run, or resume one.

The command first prints which model and which data will serve. Only then does it import the
engine, which takes seconds.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.lazy_import import load
from trading_graph.service.log import logging_to
from trading_graph.service.run.holdings_input import merge
from trading_graph.service.run.request import RunRequest, default_date
from trading_graph.service.settings import Settings, backend_choice, read_settings
from trading_graph.toolkit.as_of import AsOf, utc_now
from trading_graph.toolkit.symbols import parse_symbol

if TYPE_CHECKING:
    from trading_graph.service.run.session import RunSession

_RESUME_WORDS = {"resume", "out", "as_json"}
"""What may be combined with --resume: everything else is stored in the order of the run."""


def run_command(*, symbol: str | None, resume: str | None, **words: Any) -> ExitCode:
    """Make a run or resume one, and return the exit code."""
    context = click.get_current_context()
    if resume is not None:
        _refuse_other_words(context)
        return _resume(resume, words)
    if symbol is None:
        raise click.UsageError("Missing argument 'SYMBOL'.", context)
    if words["prefetch"] and words["no_cache"]:
        raise click.UsageError(
            "--prefetch hands on what it fetches through the cache; give one of "
            "--prefetch and --no-cache"
        )
    return _begin(symbol, words)


def _refuse_other_words(context: click.Context) -> None:
    flags = [
        each.opts[0]
        for each in context.command.get_params(context)
        if each.name
        and each.name not in _RESUME_WORDS
        and context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    ]
    if flags:
        raise click.UsageError(
            f"--resume goes on with what the run was asked to do; leave out: {', '.join(flags)}"
        )


def _begin(symbol: str, words: Mapping[str, Any]) -> ExitCode:
    talk, settings = Console(stderr=True), read_settings()
    choice = backend_choice(
        settings,
        offline=words["offline"],
        data=words["data"],
        cache=not words["no_cache"],
        pool=not words["no_pool"],
    )
    request = read_request(symbol, words, settings, default_date(choice.data))
    _announce(talk, request, choice)
    with logging_to(settings.log_file, settings.redactor):
        session = load_session(talk)(settings, _out(words, settings), talk, words["offline"])
        (result,) = asyncio.run(session.runs(request, choice))
        session.show(result, as_json=words["as_json"])
    return ExitCode.OK


def _resume(word: str, words: Mapping[str, Any]) -> ExitCode:
    talk, settings = Console(stderr=True), read_settings()
    sessions, out = load_session(talk), _out(words, settings)
    run_id, order = sessions.interrupted(word, out, settings)
    choice = order.choice(settings)
    _announce(talk, order.request, choice)
    with logging_to(settings.log_file, settings.redactor):
        session = sessions(settings, out, talk, order.offline)
        result = asyncio.run(session.resume(run_id, choice))
        session.show(result, as_json=words["as_json"])
    return ExitCode.OK


def load_session(talk: Console) -> "type[RunSession]":
    """The class that makes runs; its import takes seconds."""
    # Not above: a new run first prints what will serve.
    with talk.status("loading"):
        session: type[RunSession] = load("service.run.session:RunSession")
    return session


def _out(words: Mapping[str, Any], settings: Settings) -> Path:
    return Path(words["out"] or settings.out)


def read_request(
    symbol: str, words: Mapping[str, Any], settings: Settings, default_date: str
) -> RunRequest:
    """The request of the words; the settings give a budget that they do not name.

    Raises BadSymbolError, BadDateError or BadHoldingsError: their messages explain these fields
    better than bounds do.
    """
    values = {each.name: words[each.name] for each in fields(RunRequest) if each.name != "symbol"}
    values["date"] = str(AsOf.parse(values["date"] or default_date))
    holdings = merge(words["holdings"], words["cash"])
    values |= {"holdings": holdings.positions, "cash": holdings.cash}
    for name in ("max_seconds", "max_calls", "max_tokens"):
        values[name] = values[name] or getattr(settings, name)
    return RunRequest(symbol=parse_symbol(symbol), **values)


def _announce(talk: Console, request: RunRequest, choice: BackendChoice) -> None:
    """Print which model and which data will serve."""
    line = f"{request.symbol} as of {request.date} · {choice.announcement}"
    talk.print(line, highlight=False, soft_wrap=True)
    if age := choice.old_data(utc_now().date()):
        talk.print(age, highlight=False, soft_wrap=True)
